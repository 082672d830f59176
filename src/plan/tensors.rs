//! The tensors that a pass takes, and what must hold of them.

use super::Plan;
use super::operands::{InPlace, Operands};
use crate::error::{Error, Result};
use crate::kernel::Slot;
use crate::tensor::Tensor;

/// The tensors of a forward pass.
#[derive(Debug, Clone, Copy)]
pub struct ForwardTensors<'a> {
    /// Input, of the plan's shape.
    pub input: &'a Tensor,
    /// Output, of the plan's shape; may be the input itself.
    pub output: &'a Tensor,
    /// Weight, if the norm has one.
    pub weight: Option<&'a Tensor>,
    /// Bias, if the norm has one.
    pub bias: Option<&'a Tensor>,
    /// Where what the backward pass needs goes, of shape [`Plan::statistics_shape`]; `None` if there will be no backward pass.
    pub statistics: Option<&'a Tensor>,
    /// Running statistics, if the norm keeps them; ignored in modes that neither read nor update them.
    pub running: Option<Running<'a>>,
}

/// Running statistics.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// Running mean, `[C]`.
    pub mean: &'a Tensor,
    /// Running unbiased variance, `[C]`.
    pub var: &'a Tensor,
    /// Batches taken in so far, `[1]`, a [`Tensor::counter`].
    pub num_batches_tracked: &'a Tensor,
}

/// The tensors of a backward pass. A gradient that is `None` is not computed.
#[derive(Debug, Clone, Copy)]
pub struct BackwardTensors<'a> {
    /// The input of the forward pass.
    pub input: &'a Tensor,
    /// What the forward pass left, of shape [`Plan::statistics_shape`].
    pub statistics: &'a Tensor,
    /// Weight, if the norm has one.
    pub weight: Option<&'a Tensor>,
    /// Gradient of the output, of the plan's shape.
    pub grad_output: &'a Tensor,
    /// Gradient of the input, of the plan's shape; may be `grad_output` or the input itself.
    pub grad_input: Option<&'a Tensor>,
    /// Gradient of the weight.
    pub grad_weight: Option<&'a Tensor>,
    /// Gradient of the bias.
    pub grad_bias: Option<&'a Tensor>,
}

impl<'a> ForwardTensors<'a> {
    /// Input and output; the rest is `None`, to be set by field or by `..ForwardTensors::new(..)`.
    #[must_use]
    pub const fn new(input: &'a Tensor, output: &'a Tensor) -> Self {
        Self {
            input,
            output,
            weight: None,
            bias: None,
            statistics: None,
            running: None,
        }
    }
}

impl<'a> BackwardTensors<'a> {
    /// What every backward pass reads; the rest is `None`, to be set by field or by `..BackwardTensors::new(..)`.
    #[must_use]
    pub const fn new(input: &'a Tensor, statistics: &'a Tensor, grad_output: &'a Tensor) -> Self {
        Self {
            input,
            statistics,
            weight: None,
            grad_output,
            grad_input: None,
            grad_weight: None,
            grad_bias: None,
        }
    }
}

impl Plan {
    pub(super) fn forward_operands<'a>(
        &'a self,
        tensors: &ForwardTensors<'a>,
    ) -> Result<Operands<'a>> {
        let mut operands = Operands::new(&self.context);
        operands.read(Slot::Input, tensors.input, &self.shape)?;
        let in_place = InPlace::Over(&[Slot::Input], "output over input");
        operands.write(Slot::Output, tensors.output, &self.shape, in_place)?;
        self.affine(
            &mut operands,
            Slot::Weight,
            tensors.weight,
            self.norm.has_weight(),
        )?;
        self.affine(
            &mut operands,
            Slot::Bias,
            tensors.bias,
            self.norm.has_bias(),
        )?;
        if let Some(statistics) = tensors.statistics {
            operands.write(
                Slot::Statistics,
                statistics,
                &self.statistics_shape(),
                InPlace::Never,
            )?;
        }
        self.running(&mut operands, tensors.running)?;
        operands.check_overlaps()?;
        Ok(operands)
    }

    /// Running statistics are needed where they normalize or are updated, elsewhere ignored.
    fn running<'a>(&self, operands: &mut Operands<'a>, running: Option<Running<'a>>) -> Result<()> {
        if !self.needs_running() {
            return Ok(());
        }
        let missing = Error::Missing("running", "this mode reads or updates them");
        let running = running.ok_or(missing)?;
        let shape = self.norm.parameter_shape();
        if self.norm.uses_batch_statistics(self.mode) {
            operands.write(Slot::RunningMean, running.mean, &shape, InPlace::Never)?;
            operands.write(Slot::RunningVar, running.var, &shape, InPlace::Never)?;
            let counter = running.num_batches_tracked;
            operands.write(Slot::NumBatchesTracked, counter, &[1], InPlace::Never)
        } else {
            operands.read(Slot::RunningMean, running.mean, &shape)?;
            operands.read(Slot::RunningVar, running.var, &shape)
        }
    }

    pub(super) fn backward_operands<'a>(
        &'a self,
        tensors: &BackwardTensors<'a>,
    ) -> Result<Operands<'a>> {
        let mut operands = Operands::new(&self.context);
        operands.read(Slot::Input, tensors.input, &self.shape)?;
        operands.read(
            Slot::Statistics,
            tensors.statistics,
            &self.statistics_shape(),
        )?;
        self.affine(
            &mut operands,
            Slot::Weight,
            tensors.weight,
            self.norm.has_weight(),
        )?;
        operands.read(Slot::GradOutput, tensors.grad_output, &self.shape)?;
        if let Some(grad_input) = tensors.grad_input {
            let in_place = InPlace::Over(
                &[Slot::Input, Slot::GradOutput],
                "grad_input over grad_output or over input",
            );
            operands.write(Slot::GradInput, grad_input, &self.shape, in_place)?;
        }
        for (slot, gradient, has) in [
            (
                Slot::GradWeight,
                tensors.grad_weight,
                self.norm.has_weight(),
            ),
            (Slot::GradBias, tensors.grad_bias, self.norm.has_bias()),
        ] {
            if let Some(gradient) = gradient {
                if !has {
                    return Err(Error::Unexpected(
                        slot.name(),
                        "the norm has no such parameter",
                    ));
                }
                operands.write(slot, gradient, &self.norm.parameter_shape(), InPlace::Never)?;
            }
        }
        operands.check_overlaps()?;
        Ok(operands)
    }

    fn affine<'a>(
        &self,
        operands: &mut Operands<'a>,
        slot: Slot,
        tensor: Option<&'a Tensor>,
        has: bool,
    ) -> Result<()> {
        match (tensor, has) {
            (Some(tensor), true) => operands.read(slot, tensor, &self.norm.parameter_shape()),
            (None, false) => Ok(()),
            (None, true) => Err(Error::Missing(slot.name(), "the norm has one")),
            (Some(_), false) => Err(Error::Unexpected(slot.name(), "the norm has none")),
        }
    }
}
