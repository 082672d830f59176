use super::{from_message, to_message};
use crate::error::{Error, Result, same_length};

/// Count, mean and m2, the sum of squared distances from the mean, of each channel: of one rank's shard, or of several.
///
/// In f64, which holds the two f32 of a mean from the device, and a m2 that f32 could not.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    count: u64,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

impl Statistics {
    /// From their parts, mean and m2 `[C]`; without values (`count` 0) the two do not matter.
    ///
    /// # Errors
    /// [`Error::Shape`] if mean and m2 differ in length.
    pub fn new(count: u64, mean: Vec<f64>, m2: Vec<f64>) -> Result<Self> {
        same_length("m2", mean.len(), m2.len())?;
        Ok(Self { count, mean, m2 })
    }

    /// From the planes that the device wrote: mean, its low part, m2 in units of scale², scale.
    pub(crate) fn from_exported(count: u64, exported: &[f32]) -> Result<Self> {
        let wide = |value: &f32| f64::from(*value);
        let (means, squares) = exported.split_at(exported.len() / 2);
        let (high, low) = means.split_at(means.len() / 2);
        let (m2, scale) = squares.split_at(squares.len() / 2);
        let mean = high.iter().zip(low).map(|(h, l)| wide(h) + wide(l));
        let m2 = m2
            .iter()
            .zip(scale)
            .map(|(m2, s)| wide(m2) * wide(s).powi(2));
        Self::new(count, mean.collect(), m2.collect())
    }

    /// Those of the union of the shards of all `ranks`, in this order, which decides about the last bits.
    ///
    /// Of two sets by Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances", Stanford
    /// STAN-CS-79-773, 1979), set after set:
    ///
    /// ```text
    /// count = count_a + count_b                     delta = mean_b - mean_a
    /// mean  = mean_a + delta * count_b / count      m2    = m2_a + m2_b + delta² * count_a * count_b / count
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers of channels differ, [`Error::Missing`] if there are no ranks.
    pub fn merge(ranks: &[Self]) -> Result<Self> {
        let (first, others) = ranks.split_first().ok_or(NO_RANKS)?;
        let mut all = first.clone();
        for rank in others {
            all.add(rank)?;
        }
        Ok(all)
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        other.expect_channels(self.channels())?;
        if self.count == 0 {
            self.clone_from(other);
            return Ok(());
        }
        if other.count == 0 {
            return Ok(());
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let own = self.mean.iter_mut().zip(&mut self.m2);
        for ((mean, m2), (other_mean, other_m2)) in own.zip(other.mean.iter().zip(&other.m2)) {
            let delta = other_mean - *mean;
            *mean += delta * b / (a + b);
            *m2 += other_m2 + delta * delta * (a * b / (a + b));
        }
        self.count += other.count;
        Ok(())
    }

    /// What a rank sends to the others: the count, the mean and the m2 of all channels, 1 + 2C numbers.
    #[must_use]
    pub fn to_message(&self) -> Vec<f64> {
        to_message(self.count, [&self.mean, &self.m2])
    }

    /// What [`Statistics::to_message`] made.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Value`] if it is nothing of the kind.
    pub fn from_message(message: &[f64]) -> Result<Self> {
        let (count, [mean, m2]) = from_message(message)?;
        Self::new(count, mean, m2)
    }

    /// Values per channel.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// C.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.mean.len()
    }

    /// The means, `[C]`.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The sums of squared distances from the mean, `[C]`.
    #[must_use]
    pub fn m2(&self) -> &[f64] {
        &self.m2
    }

    /// The biased variances, `[C]`; 0 without values.
    #[must_use]
    pub fn var(&self) -> Vec<f64> {
        self.m2_over(self.count)
    }

    /// The unbiased variances, `[C]`; 0 with less than two values.
    #[must_use]
    pub fn unbiased_var(&self) -> Vec<f64> {
        self.m2_over(self.count.saturating_sub(1))
    }

    fn m2_over(&self, count: u64) -> Vec<f64> {
        let average = |m2: &f64| if count == 0 { 0.0 } else { m2 / count as f64 };
        self.m2.iter().map(average).collect()
    }

    pub(crate) fn expect_channels(&self, channels: usize) -> Result<()> {
        same_length("statistics", channels, self.channels())
    }

    /// The planes that normalize: mean, its low part, rstd and biased variance.
    pub(crate) fn moments(&self, eps: f64) -> Vec<f32> {
        let var = self.var();
        let high = self.mean.iter().map(|&mean| mean as f32);
        let low = self
            .mean
            .iter()
            .map(|&mean| (mean - f64::from(mean as f32)) as f32);
        let rstd = var.iter().map(|var| match var + eps {
            0.0 => 0.0,
            sum => sum.sqrt().recip() as f32,
        });
        let planes = high.chain(low).chain(rstd);
        planes.chain(var.iter().map(|&var| var as f32)).collect()
    }

    /// The planes that the running statistics take in: mean and unbiased variance.
    pub(crate) fn averages(&self) -> Vec<f32> {
        let values = self.mean.iter().copied().chain(self.unbiased_var());
        values.map(|value| value as f32).collect()
    }
}

pub(super) const NO_RANKS: Error = Error::Missing("the part of a rank", "there are no ranks");
