use super::statistics::Statistics;
use crate::error::{Error, Result};
use crate::ops::Norm;

/// Weight, bias and running statistics of a layer, in f64; each `None` where the layer has none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// Shape [`Norm::affine_shape`].
    pub weight: Option<Vec<f64>>,
    /// The same shape.
    pub bias: Option<Vec<f64>>,
    /// `[C]`.
    pub running_mean: Option<Vec<f64>>,
    /// `[C]`, unbiased variances.
    pub running_var: Option<Vec<f64>>,
    /// Number of updates of the running statistics so far.
    pub num_batches_tracked: u64,
}

impl Parameters {
    /// Those of a new layer: weight 1 (0 if stored as the distance from it), bias 0, running mean 0, running variance 1, where `norm` has them.
    #[must_use]
    pub fn new(norm: &Norm) -> Self {
        let one = if norm.zero_centered_weight() {
            0.0
        } else {
            1.0
        };
        let filled = |has: bool, value: f64| has.then(|| vec![value; len(norm)]);
        Self {
            weight: filled(norm.has_weight(), one),
            bias: filled(norm.has_bias(), 0.0),
            running_mean: filled(norm.tracks_running_stats(), 0.0),
            running_var: filled(norm.tracks_running_stats(), 1.0),
            num_batches_tracked: 0,
        }
    }

    /// Checks that there is what `norm` has, weight and bias of `shape`, and nothing else.
    pub(super) fn validate(&self, norm: &Norm, shape: &[usize]) -> Result<()> {
        let running = norm.tracks_running_stats();
        let own = norm.parameter_shape();
        for (name, has, values, shape) in [
            ("weight", norm.has_weight(), &self.weight, shape),
            ("bias", norm.has_bias(), &self.bias, shape),
            ("running_mean", running, &self.running_mean, &own),
            ("running_var", running, &self.running_var, &own),
        ] {
            match values {
                None if has => return Err(Error::Missing(name, "the configuration has it")),
                Some(_) if !has => {
                    return Err(Error::Unexpected(name, "the configuration has none"));
                }
                Some(values) if values.len() != product(shape) => {
                    return Err(Error::Shape {
                        tensor: name,
                        expected: shape.to_vec(),
                        got: vec![values.len()],
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The bias at an index of it; 0 where there is none.
    pub(super) fn bias_at(&self, index: usize) -> f64 {
        self.bias.as_ref().map_or(0.0, |bias| bias[index])
    }

    /// The running statistics, as those to normalize with.
    pub(super) fn running(&self) -> Option<Statistics> {
        Some(Statistics {
            mean: self.running_mean.clone()?,
            var: self.running_var.clone()?,
            count: Vec::new(),
        })
    }

    /// Moves the running statistics, where there are any, towards those of a batch, and counts the batch.
    ///
    /// `batch` has one group per channel, or one per sample and channel; then the samples are averaged. Groups of less than two
    /// elements, which have no unbiased variance, are left out, and so is a batch without any other.
    pub(super) fn update_running(&mut self, norm: &Norm, batch: &Statistics) {
        let Some(momentum) = norm.running_momentum() else {
            return;
        };
        if batch.count.iter().all(|count| *count < 2) {
            return;
        }
        self.num_batches_tracked = self.num_batches_tracked.saturating_add(1);
        let factor = momentum.unwrap_or(1.0 / self.num_batches_tracked as f64);
        let unbiased = (batch.var.iter().zip(&batch.count)).map(|(var, count)| {
            let n = *count as f64;
            var * n / (n - 1.0)
        });
        let unbiased: Vec<f64> = unbiased.collect();
        for (running, values) in [
            (&mut self.running_mean, &batch.mean),
            (&mut self.running_var, &unbiased),
        ] {
            let channels = norm.parameter_shape()[0];
            for (channel, value) in running.iter_mut().flatten().enumerate() {
                let of_channel = (values.iter().zip(&batch.count)).skip(channel);
                let counted = of_channel
                    .step_by(channels)
                    .filter(|(_, count)| **count >= 2);
                let samples = counted.clone().count();
                if samples > 0 {
                    let average = counted.map(|(value, _)| value).sum::<f64>() / samples as f64;
                    *value = (1.0 - factor) * *value + factor * average;
                }
            }
        }
    }
}

/// The number of elements of a parameter; a number over any memory if it does not fit `usize`.
fn len(norm: &Norm) -> usize {
    product(&norm.parameter_shape())
}

fn product(shape: &[usize]) -> usize {
    shape.iter().copied().fold(1, usize::saturating_mul)
}
