use crate::context::Context;
use crate::error::{Error, Result};
use crate::ops::BatchNorm;
#[cfg(doc)]
use crate::plan::Plan;
use crate::sync::Statistics;
use crate::tensor::Tensor;

/// Statistics of all ranks on the device: what the second half of the forward pass reads.
#[derive(Debug, Clone)]
pub struct Moments {
    norm: BatchNorm,
    pub(super) statistics: Tensor,
    /// Means and unbiased variances, which the running statistics take in: `[2, C]`.
    pub(super) averages: Tensor,
}

impl Moments {
    /// Room for those of `norm`.
    ///
    /// # Errors
    /// Those of [`Tensor::uninit`].
    pub fn new(context: &Context, norm: BatchNorm) -> Result<Self> {
        let channels = norm.num_features;
        Ok(Self {
            statistics: Tensor::uninit(context, &[4, channels])?,
            averages: Tensor::uninit(context, &[2, channels])?,
            norm,
        })
    }

    /// Replaces them by those of `all` ranks, before all work that is submitted later.
    ///
    /// # Errors
    /// [`Error::Shape`] if `all` has another number of channels, [`Error::OneValue`] if it has less than two values per channel.
    pub fn write(&self, all: &Statistics) -> Result<()> {
        let channels = self.norm.num_features;
        all.expect_channels(channels)?;
        if all.count() < 2 {
            return Err(Error::OneValue {
                norm: "batch_norm over all ranks",
                unit: "channel",
                shape: vec![all.count() as usize, channels],
            });
        }
        self.statistics.write(&all.moments(self.norm.eps))?;
        self.averages.write(&all.averages())
    }

    /// What the backward pass reads, as [`Plan::statistics_shape`] describes: `[4, C]`.
    #[must_use]
    pub const fn statistics(&self) -> &Tensor {
        &self.statistics
    }
}
