//! What a configuration and a shape must fulfil, checked before anything is allocated.

use super::{Mode, Norm};
use crate::activation::Activation;
use crate::error::{Error, Result};

/// Largest rank of a tensor that layer and RMS norm take: any number of leading dimensions would do,
/// a bound keeps mistakes visible.
const MAX_RANK: usize = 8;

impl Norm {
    /// Checks the configuration alone.
    ///
    /// # Errors
    /// [`Error::Value`] for eps below 0, an eps, momentum or slope that is NaN or that f32 cannot hold, a size of 0;
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
        elements(&parameters)?;
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
    /// [`Error::OneValue`] if batch statistics would be taken over a single value;
    /// [`Error::Limit`] if the elements cannot be counted in 32 bits.
    pub fn validate_shape(&self, shape: &[usize], mode: Mode) -> Result<usize> {
        self.validate()?;
        match self {
            Self::Batch(n) => channels_first(self, shape, 2, n.num_features)?,
            Self::Instance(n) => channels_first(self, shape, 3, n.num_features)?,
            Self::Group(n) => channels_first(self, shape, 2, n.num_channels)?,
            Self::Layer(n) => trailing(self, shape, &n.normalized_shape)?,
            Self::Rms(n) => trailing(self, shape, &n.normalized_shape)?,
        }
        let elements = elements(shape)?;
        if elements > 0 && self.uses_batch_statistics(mode) {
            self.more_than_one_value(shape)?;
        }
        Ok(elements)
    }

    /// Whether this mode normalizes with the statistics of the batch itself:
    /// always, but for batch and instance norm in evaluation with running statistics.
    #[must_use]
    pub const fn uses_batch_statistics(&self, mode: Mode) -> bool {
        mode.batch_statistics || !self.tracks_running_stats()
    }

    fn more_than_one_value(&self, shape: &[usize]) -> Result<()> {
        let spatial: usize = shape.iter().skip(2).product();
        let (values, unit) = match self {
            Self::Batch(_) => (shape[0] * spatial, "channel"),
            Self::Instance(_) => (spatial, "channel and sample"),
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

fn channels_first(norm: &Norm, shape: &[usize], min_rank: usize, channels: usize) -> Result<()> {
    rank(norm, shape, min_rank, 5)?;
    if shape[1] != channels {
        return Err(Error::Channels {
            expected: channels,
            got: shape[1],
            dimension: 1,
            shape: shape.to_vec(),
        });
    }
    Ok(())
}

fn trailing(norm: &Norm, shape: &[usize], normalized_shape: &[usize]) -> Result<()> {
    // Samples are a dimension of their own.
    let samples = usize::from(norm.per_sample());
    rank(norm, shape, normalized_shape.len() + samples, MAX_RANK)?;
    if !shape.ends_with(normalized_shape) {
        return Err(Error::NormalizedShape {
            normalized_shape: normalized_shape.to_vec(),
            shape: shape.to_vec(),
        });
    }
    Ok(())
}
