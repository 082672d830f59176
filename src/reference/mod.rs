//! What every normalization computes, on the CPU in f64: the definition that the GPU kernels are measured against.
//!
//! Slow and obvious on purpose, written from the formulas of the papers, with nothing shared with the kernels.
//! Every normalization divides the elements of the input into groups and takes each group's statistics in two passes:
//!
//! ```text
//! mean   = sum(x) / n                              var = sum((x - mean)²) / n        (the biased variance)
//! rstd   = 1 / sqrt(var + eps)                     0 where var + eps = 0
//! output = (x - mean) * rstd * weight + bias
//! ```
//!
//! | norm | a group | weight and bias | source | PyTorch |
//! |---|---|---|---|---|
//! | batch | channel | per channel | [arXiv:1502.03167](https://arxiv.org/abs/1502.03167), algorithm 1 | `F.batch_norm` |
//! | layer | row of trailing dimensions | per column | [arXiv:1607.06450](https://arxiv.org/abs/1607.06450), equations 3 and 4 | `F.layer_norm` |
//! | instance | sample and channel | per channel | [arXiv:1607.08022](https://arxiv.org/abs/1607.08022) | `F.instance_norm` |
//! | group | sample and C / G neighbouring channels | per channel | [arXiv:1803.08494](https://arxiv.org/abs/1803.08494), equations 1 to 7 | `F.group_norm` |
//! | RMS | row of trailing dimensions | weight per column | [arXiv:1910.07467](https://arxiv.org/abs/1910.07467), equation 4 | `F.rms_norm` |
//!
//! RMS norm has mean = 0 in these formulas, so that var = sum(x²) / n. In evaluation with running statistics, batch and
//! instance norm take mean and var from these instead, per channel.
//!
//! The gradients, with x̂ = (x - mean) * rstd and g = `grad_output` * weight, averages taken over the group:
//!
//! ```text
//! grad_input  = rstd * (g - average(g) - x̂ * average(g * x̂))     RMS norm: without average(g)
//! grad_input  = rstd * g                                          with running statistics, which are constants
//! grad_weight = sum(grad_output * x̂)                              over all elements that share the weight
//! grad_bias   = sum(grad_output)
//! ```
//!
//! Running statistics move by `running = (1 - momentum) * running + momentum * batch` to the mean and the *unbiased*
//! variance var * n / (n - 1), averaged over the samples for instance norm; see [`forward`] for when.
//!
//! What may surround a norm is a [`Block`]: `s` the input of the norm, `act` an [`Activation`], sums per element.
//!
//! ```text
//! batch, instance, group  output = act(x̂ * weight + bias + residual)            s = input
//! layer, RMS              output = act(x̂ * weight + bias)                       s = input + residual = residual_output
//!
//! h                       grad_output * act'(x̂ * weight + bias + residual), which takes the place of grad_output above
//! grad_residual           batch, instance, group: h          layer, RMS: grad_input
//! grad_input              layer and RMS norm with a residual: that above + grad_residual_output
//! ```
//!
//! A weight may be stored as its distance from 1 and count as 1 + weight, whose gradient is the same. Weight and bias may be
//! those of each sample. Padding is taken out of the tensors before all this, so that n counts none of it, and all results
//! there are 0; a group of less than two elements does not move the running statistics.
//!
//! The second derivative, of `sum(grad_input * u)`, with averages `< >` over the group and g = `grad_output` * weight, follows
//! from the formula of `grad_input` by `dx̂/dx v = rstd * (v - <v> - x̂ * <x̂ * v>)` and `drstd/dx = -rstd² * x̂ / n`:
//!
//! ```text
//! with respect to grad_output  weight * b        b = rstd * (u - <u> - x̂ * <u * x̂>)
//!                 weight       sum(grad_output * b)                over all elements that share the weight
//!                 input        -rstd² * (<g * x̂> * (u - <u>) + <u * x̂> * (g - <g>)
//!                                        + x̂ * (<g * u> - <g> * <u> - 3 * <g * x̂> * <u * x̂>))
//!                              RMS norm: <u> = <g> = 0 in all three; with running statistics b = rstd * u, and 0
//! ```

mod activation;
mod block;
mod normalized;
mod padding;
mod parameters;
mod pass;
mod shape;
mod statistics;
#[cfg(test)]
mod tests;

pub use block::{Block, Tensors};
pub use padding::valid_from_lengths;
pub use parameters::Parameters;

#[cfg(doc)]
use crate::activation::Activation;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::ops::{Mode, Norm};

/// What [`forward`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// Shape of the input.
    pub output: Vec<f64>,
    /// Input + residual, in a [`Block`] that adds them before the norm; shape of the input.
    pub residual_output: Option<Vec<f64>>,
    /// The means that normalized, one per group in order: batch `[C]` (of each virtual batch), instance `[N * C]`, group `[N * num_groups]`,
    /// layer and RMS norm `[rows]` (RMS norm: 0). With running statistics in evaluation: those, `[C]`.
    pub mean: Vec<f64>,
    /// The biased variances that normalized (RMS norm: mean squares), as many as means.
    pub var: Vec<f64>,
    /// `[C]`, after the update; `None` where none are kept.
    pub running_mean: Option<Vec<f64>>,
    /// `[C]`, after the update; `None` where none are kept.
    pub running_var: Option<Vec<f64>>,
    /// Number of updates of the running statistics, this call's included.
    pub num_batches_tracked: u64,
}

/// What [`backward`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Shape of the input.
    pub grad_input: Vec<f64>,
    /// Shape of the input; `None` where there is no residual.
    pub grad_residual: Option<Vec<f64>>,
    /// Shape of the weight; `None` where there is none.
    pub grad_weight: Option<Vec<f64>>,
    /// Shape of the bias; `None` where there is none.
    pub grad_bias: Option<Vec<f64>>,
}

/// What [`Block::double_backward`] returns: the gradients of a function of `grad_input`.
#[derive(Debug, Clone, PartialEq)]
pub struct DoubleGradients {
    /// With respect to the input, of its shape.
    pub grad_input: Vec<f64>,
    /// With respect to the weight, of its shape; `None` where there is none. The bias has no influence.
    pub grad_weight: Option<Vec<f64>>,
    /// With respect to `grad_output`, of the shape of the input.
    pub grad_grad_output: Vec<f64>,
}

/// Normalizes `input` of shape `shape`; formulas and sources at the [module](self).
///
/// The running statistics are updated, and `num_batches_tracked` counts one up, if they are kept, if `mode` asks for the
/// update, if the batch's own statistics normalize, and if the input has elements. A momentum of `None` stands for
/// 1 / `num_batches_tracked` after the increment: the average of all batches. The statistics of a group without elements
/// are 0.
///
/// # Errors
/// Those of [`Norm::validate_shape`]; [`Error::Length`] if `input` does not have the elements of `shape`;
/// [`Error::Missing`], [`Error::Unexpected`] or [`Error::Shape`] if a parameter is absent that `norm` has,
/// present that it has not, or of another length.
pub fn forward(
    norm: &Norm,
    mode: Mode,
    shape: &[usize],
    input: &[f64],
    parameters: &Parameters,
) -> Result<Forward> {
    Block::new(norm).forward(mode, &Tensors::new(shape, input, parameters))
}

/// The gradients of `sum(output * grad_output)`; formulas at the [module](self).
///
/// Takes the arguments that [`forward`] took, with the parameters as they were before it, and `grad_output` of the same
/// shape as `input`. Without elements the gradients of weight and bias are 0.
///
/// # Errors
/// Those of [`forward`]; [`Error::Length`] if `grad_output` does not have the elements of `shape`.
pub fn backward(
    norm: &Norm,
    mode: Mode,
    shape: &[usize],
    input: &[f64],
    parameters: &Parameters,
    grad_output: &[f64],
) -> Result<Gradients> {
    let tensors = Tensors::new(shape, input, parameters);
    Block::new(norm).backward(mode, &tensors, grad_output, None)
}
