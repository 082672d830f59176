//! From a norm and a shape to a [`Problem`]: the only place where norms differ.

use super::{Mode, Norm};
use crate::dtype::DType;
use crate::error::Result;
use crate::geometry::{self, Problem, RunningUpdate, Sizes};

impl Norm {
    /// What this norm computes on an input of `shape`, of F32, or `None` if the input has no elements.
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
        let sizes = self.sizes(shape);
        let views = match self {
            Self::Batch(_) => match self.virtual_batch_size() {
                Some(samples) if batch_statistics => {
                    geometry::per_virtual_batch(sizes, samples as u32)
                }
                _ => geometry::per_channel(sizes),
            },
            // The running statistics are per channel, whatever the batch's were.
            Self::Instance(_) if !batch_statistics => geometry::per_channel(sizes),
            Self::Instance(_) => geometry::per_sample(sizes, sizes.c),
            Self::Group(n) => geometry::per_sample(sizes, n.num_groups as u32),
            Self::Layer(_) | Self::Rms(_) => geometry::per_point(sizes),
        };
        let views = if self.per_sample() {
            views.per_sample(samples)
        } else {
            views
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
            dtype: DType::F32,
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

    /// The sizes of an input that has elements. All fit u32: their product does, and none is 0.
    fn sizes(&self, shape: &[usize]) -> Sizes {
        let elements: usize = shape.iter().product();
        let c = match self.channel_dimension(shape.len()) {
            Some(dimension) => shape[dimension],
            None => self.parameter_shape().iter().product(),
        };
        let (n, last) = match self.channel_dimension(shape.len()) {
            Some(dimension) => (shape[0], dimension != 1),
            None => (elements / c, false),
        };
        Sizes {
            n: n as u32,
            c: c as u32,
            s: (elements / c / n) as u32,
            channels_last: last,
        }
    }
}
