use super::statistics::Statistics;
use crate::error::{Error, Result};
use crate::ops::Norm;

/// Weight, bias and running statistics of a layer, in f64; each `None` where the layer has none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// Shape [`Norm::parameter_shape`].
    pub weight: Option<Vec<f64>>,
    /// Shape [`Norm::parameter_shape`].
    pub bias: Option<Vec<f64>>,
    /// `[C]`.
    pub running_mean: Option<Vec<f64>>,
    /// `[C]`, unbiased variances.
    pub running_var: Option<Vec<f64>>,
    /// Number of updates of the running statistics so far.
    pub num_batches_tracked: u64,
}

impl Parameters {
    /// Those of a new layer: weight 1, bias 0, running mean 0, running variance 1, where `norm` has them.
    #[must_use]
    pub fn new(norm: &Norm) -> Self {
        let filled = |has: bool, value: f64| has.then(|| vec![value; len(norm)]);
        Self {
            weight: filled(norm.has_weight(), 1.0),
            bias: filled(norm.has_bias(), 0.0),
            running_mean: filled(norm.tracks_running_stats(), 0.0),
            running_var: filled(norm.tracks_running_stats(), 1.0),
            num_batches_tracked: 0,
        }
    }

    /// Checks that there is what `norm` has, in its length, and nothing else.
    pub(super) fn validate(&self, norm: &Norm) -> Result<()> {
        let running = norm.tracks_running_stats();
        for (name, has, values) in [
            ("weight", norm.has_weight(), &self.weight),
            ("bias", norm.has_bias(), &self.bias),
            ("running_mean", running, &self.running_mean),
            ("running_var", running, &self.running_var),
        ] {
            match values {
                None if has => return Err(Error::Missing(name, "the configuration has it")),
                Some(_) if !has => {
                    return Err(Error::Unexpected(name, "the configuration has none"));
                }
                Some(values) if values.len() != len(norm) => {
                    return Err(Error::Shape {
                        tensor: name,
                        expected: norm.parameter_shape(),
                        got: vec![values.len()],
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The weight at an index of it; 1 where there is none.
    pub(super) fn weight_at(&self, index: usize) -> f64 {
        self.weight.as_ref().map_or(1.0, |weight| weight[index])
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
            count: 0,
        })
    }

    /// Moves the running statistics, where there are any, towards those of a batch, and counts the batch.
    ///
    /// `batch` has one group per channel, or one per sample and channel; then the samples are averaged.
    pub(super) fn update_running(&mut self, norm: &Norm, batch: &Statistics) {
        let Some(momentum) = norm.running_momentum() else {
            return;
        };
        self.num_batches_tracked = self.num_batches_tracked.saturating_add(1);
        let factor = momentum.unwrap_or(1.0 / self.num_batches_tracked as f64);
        let n = batch.count as f64;
        let unbiased: Vec<f64> = batch.var.iter().map(|var| var * n / (n - 1.0)).collect();
        for (running, batch) in [
            (&mut self.running_mean, &batch.mean),
            (&mut self.running_var, &unbiased),
        ] {
            for (channel, value) in running.iter_mut().flatten().enumerate() {
                let average = average_over_samples(batch, channel, norm.parameter_shape()[0]);
                *value = (1.0 - factor) * *value + factor * average;
            }
        }
    }
}

/// The number of elements of a parameter; a number over any memory if it does not fit `usize`.
fn len(norm: &Norm) -> usize {
    let shape = norm.parameter_shape();
    shape.into_iter().fold(1, usize::saturating_mul)
}

/// The average of one channel's entries in `[samples * channels]`.
fn average_over_samples(values: &[f64], channel: usize, channels: usize) -> f64 {
    let samples = values.len() / channels;
    let of_channel = values.iter().skip(channel).step_by(channels);
    of_channel.sum::<f64>() / samples as f64
}
