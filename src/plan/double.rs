//! The second derivative, for losses that depend on `grad_input`.

use std::sync::Arc;

use super::operands::{InPlace, Operands};
use super::prepared::Prepared;
use super::{Plan, clear};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::kernel::Slot;
use crate::recipe::{DoubleWanted, Recipe};
use crate::tensor::Tensor;

/// Why norms with neighbours have none.
pub(crate) const ALONE: &str = "the second derivative is that of the norm alone";

/// The tensors of a second derivative. A gradient that is `None` is not computed.
#[derive(Debug, Clone, Copy)]
pub struct DoubleBackwardTensors<'a> {
    /// The input of the forward pass.
    pub input: &'a Tensor,
    /// What the forward pass left, of shape [`Plan::statistics_shape`].
    pub statistics: &'a Tensor,
    /// Weight, if the norm has one.
    pub weight: Option<&'a Tensor>,
    /// Gradient of the output that the backward pass took, of the plan's shape.
    pub grad_output: &'a Tensor,
    /// Gradient of the `grad_input` that the backward pass gave, of the plan's shape.
    pub grad_grad_input: &'a Tensor,
    /// Gradient of the input, of the plan's shape; may be the input, `grad_output` or `grad_grad_input` itself.
    pub grad_input: Option<&'a Tensor>,
    /// Gradient of the weight.
    pub grad_weight: Option<&'a Tensor>,
    /// Gradient of `grad_output`, of the plan's shape; may be the input, `grad_output` or `grad_grad_input` itself.
    pub grad_grad_output: Option<&'a Tensor>,
}

impl<'a> DoubleBackwardTensors<'a> {
    /// What is always read; the rest is `None`, to be set by field or by `..DoubleBackwardTensors::new(..)`.
    #[must_use]
    pub const fn new(
        input: &'a Tensor,
        statistics: &'a Tensor,
        grad_output: &'a Tensor,
        grad_grad_input: &'a Tensor,
    ) -> Self {
        Self {
            input,
            statistics,
            weight: None,
            grad_output,
            grad_grad_input,
            grad_input: None,
            grad_weight: None,
            grad_grad_output: None,
        }
    }
}

impl Plan {
    /// Records the gradients of `sum(grad_input * grad_grad_input)` that have a place in `tensors`, where [`Plan::backward`] gives
    /// `grad_input`: for gradient penalties. The bias has no influence on it. Of norms without activation, and of passes without a
    /// residual; formulas at [`reference`](crate::reference).
    ///
    /// The first use of each set of gradients compiles pipelines and allocates scratch memory, of 48 bytes per group or more.
    ///
    /// ```no_run
    /// use wgpu_norm::{Context, DoubleBackwardTensors, ForwardTensors, LayerNorm, Mode, Plan, Tensor};
    /// # fn main() -> wgpu_norm::Result<()> {
    /// # let context = Context::new()?;
    /// # let tensor = |value| Tensor::full(&context, &[32, 768], value);
    /// # let (input, output, grad_output, grad_grad_input, grad_input) = (tensor(1.0)?, tensor(0.0)?, tensor(1.0)?, tensor(1.0)?, tensor(0.0)?);
    /// let plan = Plan::new(&context, LayerNorm::new(&[768]).affine(false), &[32, 768], Mode::TRAINING)?;
    /// let statistics = Tensor::uninit(&context, &plan.statistics_shape())?;
    /// let mut encoder = context.device().create_command_encoder(&Default::default());
    /// let forward = ForwardTensors { statistics: Some(&statistics), ..ForwardTensors::new(&input, &output) };
    /// plan.forward(&mut encoder, &forward)?;
    /// let tensors = DoubleBackwardTensors::new(&input, &statistics, &grad_output, &grad_grad_input);
    /// let tensors = DoubleBackwardTensors { grad_input: Some(&grad_input), ..tensors };
    /// plan.double_backward(&mut encoder, &tensors)?;
    /// context.queue().submit([encoder.finish()]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the norm has an activation, those of [`Plan::backward`], and [`Error::Limit`] if the sums of the groups
    /// are too large for the device. Nothing is recorded then.
    pub fn double_backward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &DoubleBackwardTensors<'_>,
    ) -> Result<()> {
        let operands = self.double_operands(tensors)?;
        if self.problem.is_none() {
            if let Some(gradient) = tensors.grad_weight {
                clear(encoder, gradient);
            }
            return Ok(());
        }
        let prepared = self.prepared_double(DoubleWanted {
            input: tensors.grad_input.is_some(),
            weight: tensors.grad_weight.is_some(),
            grad_output: tensors.grad_grad_output.is_some(),
        })?;
        prepared.record(&self.context, encoder, "double_backward", &operands)
    }

    pub(super) fn prepared_double(&self, wanted: DoubleWanted) -> Result<Arc<Prepared>> {
        let index = usize::from(wanted.input)
            | usize::from(wanted.weight) << 1
            | usize::from(wanted.grad_output) << 2;
        self.double[index].or_prepare(|| {
            let recipe = |problem| Recipe::double_backward(&problem, self.context.caps(), wanted);
            self.prepared(self.problem.map(recipe).transpose()?, None)
        })
    }

    fn double_operands<'a>(&'a self, tensors: &DoubleBackwardTensors<'a>) -> Result<Operands<'a>> {
        if self.norm.activation() != Activation::None {
            return Err(Error::Unexpected("an activation", ALONE));
        }
        let mut operands = Operands::new(&self.context, self.dtype);
        let (statistics, has_weight) = (self.statistics_shape(), self.norm.has_weight());
        operands.read(Slot::Statistics, tensors.statistics, &statistics)?;
        self.affine(&mut operands, Slot::Weight, tensors.weight, has_weight)?;
        for (slot, tensor) in [
            (Slot::Input, tensors.input),
            (Slot::GradOutput, tensors.grad_output),
            (Slot::GradGradInput, tensors.grad_grad_input),
        ] {
            operands.read(slot, tensor, &self.shape)?;
        }
        let in_place = InPlace::Over(
            &[Slot::Input, Slot::GradOutput, Slot::GradGradInput],
            "grad_input and grad_grad_output over input, grad_output or grad_grad_input",
        );
        for (slot, tensor) in [
            (Slot::GradInput, tensors.grad_input),
            (Slot::GradGradOutput, tensors.grad_grad_output),
        ] {
            if let Some(tensor) = tensor {
                operands.write(slot, tensor, &self.shape, in_place)?;
            }
        }
        if let Some(gradient) = tensors.grad_weight {
            if !has_weight {
                let reason = "the norm has no such parameter";
                return Err(Error::Unexpected(Slot::GradWeight.name(), reason));
            }
            let shape = self.norm.affine_shape(&self.shape);
            operands.write(Slot::GradWeight, gradient, &shape, InPlace::Never)?;
        }
        operands.check_overlaps()?;
        Ok(operands)
    }
}
