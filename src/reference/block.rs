//! A norm with what may surround it: residual, activation, padding, weights of each sample.

use super::pass::Pass;
use super::{DoubleGradients, Forward, Gradients, Parameters};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::geometry::Residual;
use crate::ops::{Mode, Norm, elements};

/// A norm with its neighbours; the norm alone by default. Formulas at the [module](super).
///
/// ```
/// use wgpu_norm::reference::{Block, Parameters, Tensors};
/// use wgpu_norm::{Activation, BatchNorm, Mode, Norm};
/// # fn main() -> wgpu_norm::Result<()> {
/// let norm = Norm::from(BatchNorm::new(1).eps(0.0).activation(Activation::Relu));
/// let block = Block::new(&norm);
/// let parameters = Parameters::new(&norm);
/// let tensors = Tensors {
///     residual: Some(&[0.0, 0.0, 2.0, 2.0]),
///     ..Tensors::new(&[4, 1], &[1.0, 3.0, 1.0, 3.0], &parameters)
/// };
/// let forward = block.forward(Mode::TRAINING, &tensors)?;
/// assert_eq!(forward.output, [0.0, 1.0, 1.0, 3.0]); // of -1, 1, -1 + 2, 1 + 2
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The norm.
    pub norm: Norm,
}

/// What goes into a pass, beside gradients.
#[derive(Debug, Clone, Copy)]
pub struct Tensors<'a> {
    /// Shape of the input.
    pub shape: &'a [usize],
    /// The input.
    pub input: &'a [f64],
    /// Added to the output before the activation; in layer and RMS norm to the input before the norm. Shape of the input.
    pub residual: Option<&'a [f64]>,
    /// False where an element of the input is padding, which is not looked at: all results there are 0.
    /// Shape of the input; see [`valid_from_lengths`](super::valid_from_lengths).
    pub valid: Option<&'a [bool]>,
    /// Weight, bias and running statistics.
    pub parameters: &'a Parameters,
}

impl<'a> Tensors<'a> {
    /// Without residual and padding.
    #[must_use]
    pub const fn new(shape: &'a [usize], input: &'a [f64], parameters: &'a Parameters) -> Self {
        Self {
            shape,
            input,
            residual: None,
            valid: None,
            parameters,
        }
    }

    /// Checks that everything has the shape of the input.
    pub(super) fn validate(&self) -> Result<()> {
        same_length(self.shape, self.input.len())?;
        let others = [
            self.residual.map(<[f64]>::len),
            self.valid.map(<[bool]>::len),
        ];
        others
            .into_iter()
            .flatten()
            .try_for_each(|got| same_length(self.shape, got))
    }
}

impl Block {
    /// The norm alone.
    #[must_use]
    pub fn new(norm: &Norm) -> Self {
        Self { norm: norm.clone() }
    }

    /// The output, the statistics, and the running statistics after the pass.
    ///
    /// # Errors
    /// Those of the plain [`forward`](super::forward), also for `residual` and `valid`; [`Error::Rank`] or [`Error::Value`] if
    /// the shape has no samples or no channels of the kind that the block speaks of.
    pub fn forward(&self, mode: Mode, tensors: &Tensors<'_>) -> Result<Forward> {
        let pass = Pass::new(self, mode, tensors)?;
        let before = pass.before_activation(self, tensors).into_iter();
        let output = before.map(|x| self.norm.activation().value(x)).collect();
        let statistics = pass.normalized.statistics;
        let mut running = tensors.parameters.clone();
        if self.norm.uses_batch_statistics(mode) && mode.update_running {
            running.update_running(&self.norm, &statistics);
        }
        let residual_output = self
            .residual_before(tensors)
            .map(|_| pass.kept.put_back(pass.input.clone()));
        Ok(Forward {
            output: pass.kept.put_back(output),
            residual_output,
            mean: statistics.mean,
            var: statistics.var,
            running_mean: running.running_mean,
            running_var: running.running_var,
            num_batches_tracked: running.num_batches_tracked,
        })
    }

    /// The gradients of `sum(output * grad_output) + sum(residual_output * grad_residual_output)`, the second where layer or
    /// RMS norm have a residual, and 0 if `None`.
    ///
    /// # Errors
    /// Those of [`Block::forward`] and of the plain [`backward`](super::backward);
    /// [`Error::Unexpected`] for the gradient of a `residual_output` that there is not.
    pub fn backward(
        &self,
        mode: Mode,
        tensors: &Tensors<'_>,
        grad_output: &[f64],
        grad_residual_output: Option<&[f64]>,
    ) -> Result<Gradients> {
        let pass = Pass::new(self, mode, tensors)?;
        same_length(tensors.shape, grad_output.len())?;
        self.check_residual_gradient(tensors, grad_residual_output)?;
        // Through the activation: the gradient of what it was applied to, and of a residual added there.
        let before = pass.before_activation(self, tensors);
        let grad: Vec<f64> = (before.iter().zip(pass.kept.take(grad_output)))
            .map(|(x, grad)| grad * self.norm.activation().derivative(*x))
            .collect();
        let (grad_weight, grad_bias) = pass.grad_parameters(tensors.parameters, &grad);
        let mut grad_input = pass
            .normalized
            .backward(&pass.times_weight(self, tensors, &grad));
        if let Some(gradient) = grad_residual_output {
            for (sum, more) in grad_input.iter_mut().zip(pass.kept.take(gradient)) {
                *sum += more;
            }
        }
        let grad_input = pass.kept.put_back(grad_input);
        let grad_residual = tensors
            .residual
            .map(|_| match self.residual_before(tensors) {
                Some(_) => grad_input.clone(),
                None => pass.kept.put_back(grad.clone()),
            });
        Ok(Gradients {
            grad_input,
            grad_residual,
            grad_weight,
            grad_bias,
        })
    }

    /// The gradients of `sum(grad_input * grad_grad_input)`, where [`Block::backward`] gives `grad_input`: for gradient
    /// penalties. Of norms without residual and activation.
    ///
    /// # Errors
    /// Those of [`Block::backward`], also for `grad_grad_input`; [`Error::Unexpected`] for a residual or an activation.
    pub fn double_backward(
        &self,
        mode: Mode,
        tensors: &Tensors<'_>,
        grad_output: &[f64],
        grad_grad_input: &[f64],
    ) -> Result<DoubleGradients> {
        let alone = "the second derivative is that of the norm alone";
        if tensors.residual.is_some() {
            return Err(Error::Unexpected("residual", alone));
        }
        if self.norm.activation() != Activation::None {
            return Err(Error::Unexpected("an activation", alone));
        }
        let pass = Pass::new(self, mode, tensors)?;
        same_length(tensors.shape, grad_output.len())?;
        same_length(tensors.shape, grad_grad_input.len())?;
        let (grad, u) = (pass.kept.take(grad_output), pass.kept.take(grad_grad_input));
        let grad_values = pass.times_weight(self, tensors, &grad);
        let back = pass.normalized.backward(&u);
        let grad_weight = tensors.parameters.weight.as_ref().map(|weight| {
            let terms = grad.iter().zip(&back).map(|(grad, back)| grad * back);
            pass.sums(weight.len(), terms)
        });
        let grad_input = pass.normalized.double_backward(&grad_values, &u);
        Ok(DoubleGradients {
            grad_input: pass.kept.put_back(grad_input),
            grad_weight,
            grad_grad_output: pass.kept.put_back(pass.times_weight(self, tensors, &back)),
        })
    }

    /// Checks that there is a `residual_output` that `gradient` can be of.
    fn check_residual_gradient(
        &self,
        tensors: &Tensors<'_>,
        gradient: Option<&[f64]>,
    ) -> Result<()> {
        if let Some(gradient) = gradient {
            let reason = "only layer and RMS norm with a residual give a residual_output";
            self.residual_before(tensors)
                .ok_or(Error::Unexpected("grad_residual_output", reason))?;
            same_length(tensors.shape, gradient.len())?;
        }
        Ok(())
    }

    /// The residual, where it is added before the norm.
    pub(super) fn residual_before<'a>(&self, tensors: &Tensors<'a>) -> Option<&'a [f64]> {
        let before = self.norm.residual_place() == Residual::Before;
        tensors.residual.filter(|_| before)
    }

    pub(super) fn weight_at(&self, parameters: &Parameters, index: usize) -> f64 {
        match &parameters.weight {
            Some(weight) if self.norm.zero_centered_weight() => 1.0 + weight[index],
            Some(weight) => weight[index],
            None => 1.0,
        }
    }
}

fn same_length(shape: &[usize], got: usize) -> Result<()> {
    let expected = elements(shape)?;
    if got == expected {
        return Ok(());
    }
    Err(Error::Length {
        shape: shape.to_vec(),
        expected,
        got,
    })
}
