//! What passes through a network while it trains: mean, variance and histogram of activations and gradients, computed on the GPU.
//!
//! An [`Observer`] takes a tensor of one shape; the statistics are those of the norms, accurate at any offset.
//!
//! ```no_run
//! use wgpu_norm::observe::{Observer, uniform_edges};
//! use wgpu_norm::{Context, Tensor};
//! # fn main() -> wgpu_norm::Result<()> {
//! let context = Context::new()?;
//! let activations = Tensor::from_slice(&context, &[-3.0, -0.5, 0.25, 0.5, 9.0, f32::NAN], &[2, 3])?;
//! let observer = Observer::new(&context, &[2, 3], &uniform_edges(-1.0, 1.0, 4))?;
//! let histogram = observer.observe(&activations)?.histogram;
//! assert_eq!(histogram.counts, [0, 1, 1, 1]); // from -1, -0.5, 0 and 0.5 on
//! assert_eq!((histogram.below, histogram.above, histogram.nan), (1, 1, 1));
//! # Ok(())
//! # }
//! ```

pub use crate::plan::{Observed, Observer};

/// Mean and variance of all values of a tensor; NaN or infinite if one of them is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Number of values.
    pub count: u64,
    /// Their mean; 0 if there are none.
    pub mean: f64,
    /// Their biased variance, the average squared distance from the mean; 0 if there are none.
    pub var: f64,
}

/// How many values lie in each bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Edges of the bins: bin k holds the values from `edges[k]` (included) to `edges[k + 1]` (excluded).
    pub edges: Vec<f32>,
    /// Values per bin.
    pub counts: Vec<u32>,
    /// Values below the first edge, -∞ among them.
    pub below: u32,
    /// Values from the last edge on, ∞ among them.
    pub above: u32,
    /// Values that are NaN.
    pub nan: u32,
}

/// What an [`Observer`] sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Mean and variance.
    pub moments: Moments,
    /// Histogram.
    pub histogram: Histogram,
}

/// The edges of `bins` bins of equal width from `low` to `high`.
#[must_use]
pub fn uniform_edges(low: f32, high: f32, bins: usize) -> Vec<f32> {
    let width = (f64::from(high) - f64::from(low)) / bins.max(1) as f64;
    let edge = |k| (f64::from(low) + width * k as f64) as f32;
    (0..bins).map(edge).chain([high]).collect()
}
