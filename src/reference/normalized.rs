use super::statistics::{Place, Statistics, averages};
use crate::ops::Norm;

/// An input with its statistics, and what all passes need of it. Without padding.
#[derive(Debug)]
pub(super) struct Normalized {
    pub(super) places: Vec<Place>,
    pub(super) statistics: Statistics,
    /// 1 / sqrt(var + eps) of each group.
    pub(super) rstd: Vec<f64>,
    /// x̂ = (x - mean) * rstd of each element.
    pub(super) values: Vec<f64>,
    /// Whether mean and var depend on the input.
    of_batch: bool,
    /// Whether there is a mean: not in RMS norm.
    centered: bool,
}

impl Normalized {
    /// With `running` statistics, or with those of the input in so many groups.
    pub(super) fn new(
        norm: &Norm,
        running: Option<Statistics>,
        groups: usize,
        places: Vec<Place>,
        input: &[f64],
    ) -> Self {
        let (of_batch, centered) = (running.is_none(), !matches!(norm, Norm::Rms(_)));
        let statistics =
            running.unwrap_or_else(|| Statistics::of_batch(groups, centered, &places, input));
        let rstd: Vec<f64> = (statistics.var.iter())
            .map(|var| rstd(*var, norm.eps()))
            .collect();
        let values = (places.iter().zip(input))
            .map(|(place, x)| (x - statistics.mean[place.group]) * rstd[place.group])
            .collect();
        Self {
            places,
            statistics,
            rstd,
            values,
            of_batch,
            centered,
        }
    }

    /// The gradient of `sum(x̂ * grad_values)` with respect to the input.
    pub(super) fn backward(&self, grad_values: &[f64]) -> Vec<f64> {
        let g = grad_values;
        if !self.of_batch {
            return self.map(|i, group| self.rstd[group] * g[i]);
        }
        let mean_g = self.means(g);
        let mean_gx = self.averages(|i| g[i] * self.values[i]);
        self.map(|i, group| {
            self.rstd[group] * (g[i] - mean_g[group] - self.values[i] * mean_gx[group])
        })
    }

    /// The gradient of `sum(backward(g) * u)` with respect to the input. That with respect to g is `backward(u)`,
    /// since backward is a symmetric matrix.
    pub(super) fn double_backward(&self, g: &[f64], u: &[f64]) -> Vec<f64> {
        if !self.of_batch {
            return vec![0.0; self.places.len()];
        }
        let (mean_g, mean_u) = (self.means(g), self.means(u));
        let mean_gx = self.averages(|i| g[i] * self.values[i]);
        let mean_ux = self.averages(|i| u[i] * self.values[i]);
        let mean_gu = self.averages(|i| g[i] * u[i]);
        self.map(|i, k| {
            let along = mean_gu[k] - mean_g[k] * mean_u[k] - 3.0 * mean_gx[k] * mean_ux[k];
            let sum = mean_gx[k] * (u[i] - mean_u[k])
                + mean_ux[k] * (g[i] - mean_g[k])
                + self.values[i] * along;
            -self.rstd[k].powi(2) * sum
        })
    }

    /// The average of every group; 0 in RMS norm, through whose mean nothing flows.
    fn means(&self, values: &[f64]) -> Vec<f64> {
        if self.centered {
            self.averages(|i| values[i])
        } else {
            vec![0.0; self.rstd.len()]
        }
    }

    fn averages(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let values = (0..self.places.len()).map(value);
        averages(&self.statistics.count, &self.places, values)
    }

    /// One number per element, from its index and its group.
    fn map(&self, value: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let places = self.places.iter().enumerate();
        places.map(|(i, place)| value(i, place.group)).collect()
    }
}

/// 1 / sqrt(var + eps), and 0 where that is 1 / 0: a constant group then gives the bias and no gradient.
fn rstd(var: f64, eps: f64) -> f64 {
    if var + eps == 0.0 {
        return 0.0;
    }
    1.0 / (var + eps).sqrt()
}
