//! From a norm and a shape to a [`Problem`]: the only place where norms differ.

use super::{Mode, Norm};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::geometry::{self, Lengths, Problem, RunningUpdate, Sizes};

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
            lengths: None,
        }))
    }

    /// Where the samples of `problem`, which is this norm on an input of `shape`, end if they have lengths.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the input has no dimension for them.
    pub fn lengths(&self, shape: &[usize], problem: &Problem) -> Result<Lengths> {
        let rank = shape.len();
        let reason = "the input has no dimension that they could be along";
        let dimension = self.length_dimension(rank);
        let dimension = dimension.ok_or(Error::Unexpected("lengths", reason))?;
        let product = |sizes: &[usize]| sizes.iter().product::<usize>() as u32;
        let (samples, positions) = (shape[0] as u32, shape[dimension] as u32);
        let (groups, elements) = (problem.groups.items, problem.groups.elements());
        // Batch norm, or running statistics: the groups of a block are the channels.
        let per_channel = matches!(self, Self::Batch(_)) || !problem.batch_statistics;
        let channels = self.channel_dimension(rank).map(|channel| shape[channel]);
        let groups_per_block = match channels {
            Some(channels) if per_channel => channels as u32,
            _ => groups / samples,
        };
        let samples_per_group = samples * groups_per_block / groups;
        // Dimensions of points, of which layer and RMS norm have a group each.
        let points = match (self, self.channel_dimension(rank)) {
            (Self::Layer(_) | Self::Rms(_), Some(_)) => rank,
            (Self::Layer(_) | Self::Rms(_), None) => rank - self.parameter_shape().len(),
            _ => 0,
        };
        let (groups_per_position, group_elements) = if dimension < points {
            (product(&shape[dimension + 1..points]), elements)
        } else {
            (0, elements / samples_per_group / positions)
        };
        Ok(Lengths {
            sample_elements: problem.elements / samples,
            position_stride: product(&shape[dimension + 1..]),
            positions,
            groups_per_block,
            samples_per_group,
            groups_per_position,
            group_elements,
        })
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
