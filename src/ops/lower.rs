//! From a norm and a shape to a [`Problem`]: the only place where norms differ.

use super::{Mode, Norm};
use crate::error::Result;
use crate::geometry::{self, Problem, RunningUpdate, Sizes};

impl Norm {
    /// What this norm computes on an input of `shape`, or `None` if the input has no elements.
    ///
    /// # Errors
    /// Those of [`Norm::validate_shape`].
    pub fn lower(&self, shape: &[usize], mode: Mode) -> Result<Option<Problem>> {
        let elements = self.validate_shape(shape, mode)? as u32;
        if elements == 0 {
            return Ok(None);
        }
        let samples = shape[0] as u32;
        let batch_statistics = self.uses_batch_statistics(mode);
        let views = match self {
            Self::Batch(_) => geometry::per_channel(channels_first(shape)),
            // The running statistics are per channel, whatever the batch's were.
            Self::Instance(_) if !batch_statistics => geometry::per_channel(channels_first(shape)),
            Self::Instance(n) => geometry::per_sample(channels_first(shape), n.num_features as u32),
            Self::Group(n) => geometry::per_sample(channels_first(shape), n.num_groups as u32),
            Self::Layer(_) | Self::Rms(_) => {
                let d = self.parameter_shape().iter().product::<usize>() as u32;
                let rows = elements / d;
                match self.per_sample() {
                    true => geometry::per_row_of_sample(samples, rows / samples, d),
                    false => geometry::per_row(rows, d),
                }
            }
        };
        let views = match self {
            Self::Layer(_) | Self::Rms(_) => views,
            _ if self.per_sample() => views.per_sample(samples),
            _ => views,
        };
        let running = (batch_statistics && mode.update_running)
            .then(|| self.running_momentum())
            .flatten()
            .map(|momentum| RunningUpdate {
                momentum: momentum.map(|factor| factor as f32),
                channels: self.parameter_shape()[0] as u32,
            });
        Ok(Some(Problem {
            elements,
            groups: views.groups,
            channels: views.channels,
            centered: !matches!(self, Self::Rms(_)),
            eps: self.eps(),
            batch_statistics,
            running,
            weight: self.has_weight(),
            bias: self.has_bias(),
            per_sample: self.per_sample(),
            zero_centered_weight: self.zero_centered_weight(),
            activation: self.activation(),
            residual: None,
        }))
    }
}

/// `[N, C, *]` as N, C and the product of the rest. All fit u32: the product does, and none is 0.
fn channels_first(shape: &[usize]) -> Sizes {
    Sizes {
        n: shape[0] as u32,
        c: shape[1] as u32,
        s: shape[2..].iter().product::<usize>() as u32,
    }
}
