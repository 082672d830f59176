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

mod activation;
mod parameters;
mod statistics;
#[cfg(test)]
mod tests;

pub use parameters::Parameters;

use crate::error::{Error, Result};
use crate::ops::{Mode, Norm, elements};
use statistics::{Place, Statistics, averages, places};

/// What [`forward`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// Shape of the input.
    pub output: Vec<f64>,
    /// The means that normalized, one per group in order: batch `[C]`, instance `[N * C]`, group `[N * num_groups]`,
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
    /// Shape of the weight; `None` where there is none.
    pub grad_weight: Option<Vec<f64>>,
    /// Shape of the bias; `None` where there is none.
    pub grad_bias: Option<Vec<f64>>,
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
    let normalized = Normalized::new(norm, mode, shape, input, parameters)?;
    let output = (normalized.placed_values())
        .map(|(place, value)| {
            value * parameters.weight_at(place.parameter) + parameters.bias_at(place.parameter)
        })
        .collect();

    let mut running = parameters.clone();
    if norm.uses_batch_statistics(mode) && mode.update_running && !input.is_empty() {
        running.update_running(norm, &normalized.statistics);
    }
    Ok(Forward {
        output,
        mean: normalized.statistics.mean,
        var: normalized.statistics.var,
        running_mean: running.running_mean,
        running_var: running.running_var,
        num_batches_tracked: running.num_batches_tracked,
    })
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
    let normalized = Normalized::new(norm, mode, shape, input, parameters)?;
    length(shape, grad_output)?;
    let mut grad_weight = parameters.weight.as_ref().map(|w| vec![0.0; w.len()]);
    let mut grad_bias = parameters.bias.as_ref().map(|b| vec![0.0; b.len()]);
    for ((place, value), grad) in normalized.placed_values().zip(grad_output) {
        if let Some(grad_weight) = &mut grad_weight {
            grad_weight[place.parameter] += grad * value;
        }
        if let Some(grad_bias) = &mut grad_bias {
            grad_bias[place.parameter] += grad;
        }
    }
    let grad_values: Vec<f64> = (normalized.places.iter().zip(grad_output))
        .map(|(place, grad)| grad * parameters.weight_at(place.parameter))
        .collect();
    Ok(Gradients {
        grad_input: normalized.grad_input(norm, mode, &grad_values),
        grad_weight,
        grad_bias,
    })
}

/// The input with its statistics, and what both passes need of it.
struct Normalized {
    places: Vec<Place>,
    statistics: Statistics,
    /// 1 / sqrt(var + eps) of each group.
    rstd: Vec<f64>,
    /// x̂ = (x - mean) * rstd of each element.
    values: Vec<f64>,
}

impl Normalized {
    fn new(
        norm: &Norm,
        mode: Mode,
        shape: &[usize],
        input: &[f64],
        parameters: &Parameters,
    ) -> Result<Self> {
        norm.validate_shape(shape, mode)?;
        parameters.validate(norm)?;
        length(shape, input)?;
        let running = parameters
            .running()
            .filter(|_| !norm.uses_batch_statistics(mode));
        let places = places(norm, running.is_some(), shape);
        let statistics = match running {
            Some(running) => running,
            None => Statistics::of_batch(norm, shape, &places, input)?,
        };
        let rstd: Vec<f64> = statistics
            .var
            .iter()
            .map(|var| rstd(*var, norm.eps()))
            .collect();
        let values = (places.iter().zip(input))
            .map(|(place, x)| (x - statistics.mean[place.group]) * rstd[place.group])
            .collect();
        Ok(Self {
            places,
            statistics,
            rstd,
            values,
        })
    }

    /// Where each element belongs, and its x̂.
    fn placed_values(&self) -> impl Iterator<Item = (&Place, &f64)> {
        self.places.iter().zip(&self.values)
    }

    /// `grad_input` from g = `grad_output` * weight.
    fn grad_input(&self, norm: &Norm, mode: Mode, grad_values: &[f64]) -> Vec<f64> {
        let groups = self.rstd.len();
        if !norm.uses_batch_statistics(mode) {
            return (self.placed_values().zip(grad_values))
                .map(|((place, _), grad)| self.rstd[place.group] * grad)
                .collect();
        }
        let through_mean = match norm {
            Norm::Rms(_) => vec![0.0; groups],
            _ => averages(groups, &self.places, grad_values.iter().copied()),
        };
        let products = (self.values.iter().zip(grad_values)).map(|(value, grad)| value * grad);
        let through_var = averages(groups, &self.places, products);
        (self.placed_values().zip(grad_values))
            .map(|((place, value), grad)| {
                let group = place.group;
                self.rstd[group] * (grad - through_mean[group] - value * through_var[group])
            })
            .collect()
    }
}

/// 1 / sqrt(var + eps), and 0 where that is 1 / 0: a constant group then gives the bias and no gradient.
fn rstd(var: f64, eps: f64) -> f64 {
    if var + eps == 0.0 {
        return 0.0;
    }
    1.0 / (var + eps).sqrt()
}

fn length(shape: &[usize], values: &[f64]) -> Result<()> {
    let expected = elements(shape)?;
    if values.len() == expected {
        return Ok(());
    }
    Err(Error::Length {
        shape: shape.to_vec(),
        expected,
        got: values.len(),
    })
}
