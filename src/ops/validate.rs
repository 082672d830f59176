//! What a configuration and a shape must fulfil, checked before anything is allocated.

use super::{LayerNorm, Mode, Norm, RmsNorm};
use crate::activation::Activation;
use crate::error::{Error, Result};

/// Largest rank of a tensor that layer and RMS norm take: any number of leading dimensions would do,
/// a bound keeps mistakes visible.
const MAX_RANK: usize = 8;

impl Norm {
    /// Checks the configuration alone.
    ///
    /// # Errors
    /// [`Error::Value`] for eps below 0, an eps, momentum or slope that is NaN or that f32 cannot hold, a size of 0,
    /// channels first with a `normalized_shape` of several dimensions;
    /// [`Error::Groups`] if the groups do not divide the channels; [`Error::Limit`] for sizes beyond 32-bit indices.
    pub fn validate(&self) -> Result<()> {
        // The device computes in f32.
        let eps = self.eps() as f32;
        value(
            "eps",
            "at least 0 and within f32",
            self.eps(),
            eps >= 0.0 && eps.is_finite(),
        )?;
        // Also where no running statistics are kept: a norm with NaN would not equal itself.
        let momentum = match self {
            Self::Batch(n) => n.momentum,
            Self::Instance(n) => n.momentum,
            _ => None,
        };
        if let Some(momentum) = momentum {
            let holds = (momentum as f32).is_finite();
            value("momentum", "finite and within f32", momentum, holds)?;
        }
        if let Activation::LeakyRelu(slope) = self.activation() {
            let holds = (slope as f32).is_finite();
            value(
                "the slope of leaky_relu",
                "finite and within f32",
                slope,
                holds,
            )?;
        }
        let parameters = self.parameter_shape();
        if let Some(&zero) = parameters.iter().find(|&&size| size == 0) {
            let name = match self {
                Self::Layer(_) | Self::Rms(_) => "every dimension of normalized_shape",
                Self::Group(_) => "num_channels",
                Self::Batch(_) | Self::Instance(_) => "num_features",
            };
            return value(name, "at least 1", zero, false);
        }
        value(
            "the rank of normalized_shape",
            "1 to 8",
            parameters.len(),
            (1..=MAX_RANK).contains(&parameters.len()),
        )?;
        if let (Self::Layer(_) | Self::Rms(_), Some(_)) = (self, self.channel_dimension(0)) {
            value(
                "the rank of normalized_shape",
                "1 where rows are the channels of [N, C, ...]",
                parameters.len(),
                parameters.len() == 1,
            )?;
        }
        elements(&parameters)?;
        if let Some(samples) = self.virtual_batch_size() {
            value("virtual_batch_size", "at least 1", samples, samples > 0)?;
            if self.per_sample() {
                let reason = "weights of each sample go with the statistics of all samples";
                return Err(Error::Unexpected("virtual_batch_size", reason));
            }
        }
        if let Self::Group(n) = self {
            value("num_groups", "at least 1", n.num_groups, n.num_groups > 0)?;
            if n.num_channels % n.num_groups != 0 {
                return Err(Error::Groups {
                    num_groups: n.num_groups,
                    num_channels: n.num_channels,
                });
            }
        }
        Ok(())
    }

    /// Checks the configuration against the shape of an input, and returns the number of elements.
    ///
    /// # Errors
    /// Those of [`Norm::validate`]; [`Error::Rank`], [`Error::Channels`] or [`Error::NormalizedShape`] if the shape does not fit;
    /// [`Error::VirtualBatches`] if the samples cannot be divided into virtual batches;
    /// [`Error::OneValue`] if batch statistics would be taken over a single value;
    /// [`Error::Limit`] if the elements cannot be counted in 32 bits.
    pub fn validate_shape(&self, shape: &[usize], mode: Mode) -> Result<usize> {
        self.validate()?;
        match self {
            Self::Batch(_) | Self::Group(_) => rank(self, shape, 2, 5)?,
            Self::Instance(_) => rank(self, shape, 3, 5)?,
            Self::Layer(LayerNorm { channels_first, .. })
            | Self::Rms(RmsNorm { channels_first, .. }) => {
                // Channels, or weights of each sample, need samples.
                let samples = *channels_first || self.per_sample();
                let min = self.parameter_shape().len() + usize::from(samples);
                rank(self, shape, min, MAX_RANK)?;
            }
        }
        match self.channel_dimension(shape.len()) {
            Some(dimension) => self.channels(shape, dimension)?,
            None => self.trailing(shape)?,
        }
        let elements = elements(shape)?;
        if elements > 0 && self.uses_batch_statistics(mode) {
            self.whole_virtual_batches(shape[0])?;
            self.more_than_one_value(shape, elements)?;
        }
        Ok(elements)
    }

    /// Whether this mode normalizes with the statistics of the batch itself:
    /// always, but for batch and instance norm in evaluation with running statistics.
    #[must_use]
    pub const fn uses_batch_statistics(&self, mode: Mode) -> bool {
        mode.batch_statistics || !self.tracks_running_stats()
    }

    fn more_than_one_value(&self, shape: &[usize], elements: usize) -> Result<()> {
        // The channels of one sample.
        let per_sample = elements / shape[0] / self.parameter_shape()[0];
        let (values, unit) = match self {
            Self::Batch(n) => match n.virtual_batch_size {
                Some(samples) => (
                    samples.saturating_mul(per_sample),
                    "channel and virtual batch",
                ),
                None => (shape[0] * per_sample, "channel"),
            },
            Self::Instance(_) => (per_sample, "channel and sample"),
            _ => return Ok(()),
        };
        if values == 1 {
            return Err(Error::OneValue {
                norm: self.name(),
                unit,
                shape: shape.to_vec(),
            });
        }
        Ok(())
    }

    fn whole_virtual_batches(&self, samples: usize) -> Result<()> {
        match self.virtual_batch_size() {
            Some(size) if !samples.is_multiple_of(size) => Err(Error::VirtualBatches {
                samples,
                virtual_batch_size: size,
            }),
            _ => Ok(()),
        }
    }

    fn channels(&self, shape: &[usize], dimension: usize) -> Result<()> {
        let expected = self.parameter_shape()[0];
        if shape[dimension] == expected {
            return Ok(());
        }
        Err(Error::Channels {
            expected,
            got: shape[dimension],
            dimension,
            shape: shape.to_vec(),
        })
    }

    fn trailing(&self, shape: &[usize]) -> Result<()> {
        let normalized_shape = self.parameter_shape();
        if shape.ends_with(&normalized_shape) {
            return Ok(());
        }
        Err(Error::NormalizedShape {
            normalized_shape,
            shape: shape.to_vec(),
        })
    }
}

/// The number of elements of `shape`, if 32-bit indices reach them all.
pub(crate) fn elements(shape: &[usize]) -> Result<usize> {
    // 2³¹ and not 2³²: sums of an index and a stride must not wrap around.
    const MOST: usize = 1 << 31;
    if shape.contains(&0) {
        return Ok(0);
    }
    let count = shape
        .iter()
        .fold(1usize, |product, &size| product.saturating_mul(size));
    if count > MOST {
        return Err(Error::Limit {
            what: format!("a tensor of shape {shape:?}"),
            needed: count as u64,
            limit: "elements per tensor",
            allowed: MOST as u64,
        });
    }
    Ok(count)
}

fn value<T: std::fmt::Display>(
    name: &'static str,
    expected: &'static str,
    got: T,
    holds: bool,
) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Value {
        name,
        expected,
        got: got.to_string(),
    })
}

fn rank(norm: &Norm, shape: &[usize], min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&shape.len()) {
        return Ok(());
    }
    Err(Error::Rank {
        norm: norm.name(),
        min,
        max,
        rank: shape.len(),
        shape: shape.to_vec(),
    })
}
