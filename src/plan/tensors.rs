//! The tensors that a pass takes, and what must hold of them.

use super::operands::{InPlace, Operands};
use super::{Plan, clear};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::geometry::Residual;
use crate::kernel::Slot;
#[cfg(doc)]
use crate::ops::Norm;
use crate::tensor::Tensor;

/// The tensors of a forward pass.
#[derive(Debug, Clone, Copy)]
pub struct ForwardTensors<'a> {
    /// Input, of the plan's shape.
    pub input: &'a Tensor,
    /// Output, of the plan's shape; may be the input or the residual itself.
    pub output: &'a Tensor,
    /// What is added, of the plan's shape: after weight and bias, `output = activation(norm(input) + residual)`, by batch, instance and
    /// group norm; before the norm, `output = activation(norm(input + residual))`, by layer and RMS norm. `None` adds nothing.
    pub residual: Option<&'a Tensor>,
    /// Where layer and RMS norm with a residual write `input + residual`, which is the input of the backward pass; of the plan's shape;
    /// may be the input or the residual itself.
    pub residual_output: Option<&'a Tensor>,
    /// Weight, if the norm has one.
    pub weight: Option<&'a Tensor>,
    /// Bias, if the norm has one.
    pub bias: Option<&'a Tensor>,
    /// Where what the backward pass needs goes, of shape [`Plan::statistics_shape`]; `None` if there will be no backward pass.
    pub statistics: Option<&'a Tensor>,
    /// Running statistics, if the norm keeps them; ignored in modes that neither read nor update them.
    pub running: Option<Running<'a>>,
    /// Lengths of the samples, `[N]` of U32, along [`Norm::length_dimension`]; one over its size counts as its size. What lies behind is
    /// padding: it is not looked at, counts in no statistics, and all results there are 0. A group of less than two elements does not move
    /// the running statistics. `None`: all samples have full length. Such passes are computed by
    /// [`Strategy::Split`](crate::Strategy::Split), whatever the plan's strategy is.
    pub lengths: Option<&'a Tensor>,
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
    /// The input of the forward pass, or its [`ForwardTensors::residual_output`].
    pub input: &'a Tensor,
    /// What the forward pass left, of shape [`Plan::statistics_shape`].
    pub statistics: &'a Tensor,
    /// Weight, if the norm has one.
    pub weight: Option<&'a Tensor>,
    /// Bias, if the norm has one and an activation, whose derivative is computed again; ignored without an activation.
    pub bias: Option<&'a Tensor>,
    /// The residual of the forward pass of a batch, instance or group norm with an activation, if there was one; ignored without an
    /// activation.
    pub residual: Option<&'a Tensor>,
    /// Gradient of the output, of the plan's shape.
    pub grad_output: &'a Tensor,
    /// Gradient of the `residual_output` of layer and RMS norm, which is added to that of the input; `None` counts as 0.
    pub grad_residual_output: Option<&'a Tensor>,
    /// Gradient of the input, of the plan's shape; may be `grad_output`, the input, the residual or `grad_residual_output` itself.
    ///
    /// In layer and RMS norm it is the gradient of the residual as well: both are those of their sum.
    pub grad_input: Option<&'a Tensor>,
    /// Gradient of the residual of batch, instance and group norm, of the plan's shape: `grad_output` times the derivative of the
    /// activation. May be `grad_output` or the residual itself.
    pub grad_residual: Option<&'a Tensor>,
    /// Gradient of the weight.
    pub grad_weight: Option<&'a Tensor>,
    /// Gradient of the bias.
    pub grad_bias: Option<&'a Tensor>,
    /// The lengths of the forward pass, if there were any.
    pub lengths: Option<&'a Tensor>,
}

impl<'a> ForwardTensors<'a> {
    /// Input and output; the rest is `None`, to be set by field or by `..ForwardTensors::new(..)`.
    #[must_use]
    pub const fn new(input: &'a Tensor, output: &'a Tensor) -> Self {
        Self {
            input,
            output,
            residual: None,
            residual_output: None,
            weight: None,
            bias: None,
            statistics: None,
            running: None,
            lengths: None,
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
            bias: None,
            residual: None,
            grad_output,
            grad_residual_output: None,
            grad_input: None,
            grad_residual: None,
            grad_weight: None,
            grad_bias: None,
            lengths: None,
        }
    }

    /// The gradients of weight and bias of a tensor without elements.
    pub(super) fn clear_parameters(&self, encoder: &mut wgpu::CommandEncoder) {
        for gradient in [self.grad_weight, self.grad_bias].into_iter().flatten() {
            clear(encoder, gradient);
        }
    }
}

impl Plan {
    pub(super) fn forward_operands<'a>(
        &'a self,
        tensors: &ForwardTensors<'a>,
    ) -> Result<Operands<'a>> {
        let mut operands = Operands::new(&self.context, self.dtype);
        operands.read(Slot::Input, tensors.input, &self.shape)?;
        let in_place = InPlace::Over(
            &[Slot::Input, Slot::Residual],
            "output over input or over residual",
        );
        operands.write(Slot::Output, tensors.output, &self.shape, in_place)?;
        self.forward_residual(&mut operands, tensors)?;
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
        self.lengths(&mut operands, tensors.lengths)?;
        operands.check_overlaps()?;
        Ok(operands)
    }

    /// The residual and, where it is added before the norm, the sum.
    fn forward_residual<'a>(
        &self,
        operands: &mut Operands<'a>,
        tensors: &ForwardTensors<'a>,
    ) -> Result<()> {
        if let Some(residual) = tensors.residual {
            operands.read(Slot::Residual, residual, &self.shape)?;
        }
        let before = self.norm.residual_place() == Residual::Before;
        match (
            tensors.residual_output,
            tensors.residual.is_some() && before,
        ) {
            (None, false) => Ok(()),
            (Some(sum), true) => {
                let in_place = InPlace::Over(
                    &[Slot::Input, Slot::Residual],
                    "residual_output over input or over residual",
                );
                operands.write(Slot::ResidualOutput, sum, &self.shape, in_place)
            }
            (None, true) => Err(Error::Missing(
                Slot::ResidualOutput.name(),
                "layer and RMS norm with a residual write input + residual",
            )),
            (Some(_), false) => Err(Error::Unexpected(
                Slot::ResidualOutput.name(),
                "only layer and RMS norm with a residual have one",
            )),
        }
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
        let mut operands = Operands::new(&self.context, self.dtype);
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
                &[
                    Slot::Input,
                    Slot::GradOutput,
                    Slot::Residual,
                    Slot::GradResidualOutput,
                ],
                "grad_input over grad_output, input, residual or grad_residual_output",
            );
            operands.write(Slot::GradInput, grad_input, &self.shape, in_place)?;
        }
        self.backward_surroundings(&mut operands, tensors)?;
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
                let shape = self.norm.affine_shape(&self.shape);
                operands.write(slot, gradient, &shape, InPlace::Never)?;
            }
        }
        self.lengths(&mut operands, tensors.lengths)?;
        operands.check_overlaps()?;
        Ok(operands)
    }

    /// What an activation or a residual needs.
    fn backward_surroundings<'a>(
        &self,
        operands: &mut Operands<'a>,
        tensors: &BackwardTensors<'a>,
    ) -> Result<()> {
        let activated = self.norm.activation() != Activation::None;
        if activated {
            let (bias, has) = (tensors.bias, self.norm.has_bias());
            self.affine(operands, Slot::Bias, bias, has)?;
        }
        let before = self.norm.residual_place() == Residual::Before;
        for (slot, tensor, fits, reason) in [
            (
                Slot::Residual,
                tensors.residual,
                !before,
                "the input of layer and RMS norm is the sum with it",
            ),
            (
                Slot::GradResidual,
                tensors.grad_residual,
                !before,
                "that of layer and RMS norm is grad_input",
            ),
            (
                Slot::GradResidualOutput,
                tensors.grad_residual_output,
                before,
                "only layer and RMS norm have a residual_output",
            ),
        ] {
            let Some(tensor) = tensor else {
                continue;
            };
            if !fits {
                return Err(Error::Unexpected(slot.name(), reason));
            }
            if slot == Slot::GradResidual {
                let in_place = InPlace::Over(
                    &[Slot::GradOutput, Slot::Residual],
                    "grad_residual over grad_output or over residual",
                );
                operands.write(slot, tensor, &self.shape, in_place)?;
            } else {
                operands.read(slot, tensor, &self.shape)?;
            }
        }
        if activated && tensors.grad_residual.is_some() && tensors.residual.is_none() {
            let reason = "its gradient goes through the activation";
            return Err(Error::Missing(Slot::Residual.name(), reason));
        }
        Ok(())
    }

    fn lengths<'a>(&self, operands: &mut Operands<'a>, lengths: Option<&'a Tensor>) -> Result<()> {
        let Some(lengths) = lengths else {
            return Ok(());
        };
        if self.norm.length_dimension(self.shape.len()).is_none() {
            let reason = "the input has no dimension that they could be along";
            return Err(Error::Unexpected(Slot::Lengths.name(), reason));
        }
        operands.read(Slot::Lengths, lengths, &self.shape[..1])
    }

    pub(super) fn affine<'a>(
        &self,
        operands: &mut Operands<'a>,
        slot: Slot,
        tensor: Option<&'a Tensor>,
        has: bool,
    ) -> Result<()> {
        match (tensor, has) {
            (Some(tensor), true) => {
                operands.read(slot, tensor, &self.norm.affine_shape(&self.shape))
            }
            (None, false) => Ok(()),
            (None, true) => Err(Error::Missing(slot.name(), "the norm has one")),
            (Some(_), false) => Err(Error::Unexpected(slot.name(), "the norm has none")),
        }
    }
}
