use super::statistics::NO_RANKS;
use super::{from_message, to_message};
use crate::error::{Result, same_length};

/// What the input gradient needs of each channel: sum(g) and sum(g * x̂), g the gradient of what stands before weight and bias without the
/// weight; of one rank's shard, or of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums {
    count: u64,
    gradient: Vec<f64>,
    product: Vec<f64>,
}

impl Sums {
    /// From their parts over `count` values per channel, each `[C]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the two differ in length.
    pub fn new(count: u64, gradient: Vec<f64>, product: Vec<f64>) -> Result<Self> {
        same_length("the sums of g * x̂", gradient.len(), product.len())?;
        Ok(Self {
            count,
            gradient,
            product,
        })
    }

    /// From the planes that the device wrote.
    pub(crate) fn from_exported(count: u64, exported: &[f32]) -> Result<Self> {
        let wide = |values: &[f32]| values.iter().map(|&value| value.into()).collect();
        let (gradient, product) = exported.split_at(exported.len() / 2);
        Self::new(count, wide(gradient), wide(product))
    }

    /// Those over the shards of all `ranks`, added up in this order, which decides about the last bits.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the numbers of channels differ, [`Error::Missing`](crate::Error::Missing) if there
    /// are no ranks.
    pub fn merge(ranks: &[Self]) -> Result<Self> {
        let (first, others) = ranks.split_first().ok_or(NO_RANKS)?;
        let mut all = first.clone();
        for rank in others {
            same_length("sums", all.channels(), rank.channels())?;
            all.count += rank.count;
            for (own, other) in [
                (&mut all.gradient, &rank.gradient),
                (&mut all.product, &rank.product),
            ] {
                own.iter_mut().zip(other).for_each(|(a, b)| *a += b);
            }
        }
        Ok(all)
    }

    /// What a rank sends to the others: the count, then both sums of all channels, 1 + 2C numbers.
    #[must_use]
    pub fn to_message(&self) -> Vec<f64> {
        to_message(self.count, [&self.gradient, &self.product])
    }

    /// What [`Sums::to_message`] made.
    ///
    /// # Errors
    /// [`Error::Missing`](crate::Error::Missing) or [`Error::Value`](crate::Error::Value) if it is nothing of the kind.
    pub fn from_message(message: &[f64]) -> Result<Self> {
        let (count, [gradient, product]) = from_message(message)?;
        Self::new(count, gradient, product)
    }

    /// Values per channel.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// C.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.gradient.len()
    }

    /// sum(g), `[C]`: the gradient of the bias over these shards.
    #[must_use]
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    /// sum(g * x̂), `[C]`: the gradient of the weight over these shards.
    #[must_use]
    pub fn product(&self) -> &[f64] {
        &self.product
    }

    /// What the second half of the backward pass reads: the averages of both, `[2, C]`; 0 without values.
    #[must_use]
    pub fn averages(&self) -> Vec<f32> {
        let count = self.count.max(1) as f64;
        let sums = self.gradient.iter().chain(&self.product);
        sums.map(|sum| (sum / count) as f32).collect()
    }
}
