//! What passes through the networks while they train, by wgpu-norm's observers, and what batch norm makes of batches of different sizes.

use std::collections::HashMap;

use ndarray::Array2;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use wgpu_norm::Context;
use wgpu_norm::observe::{Histogram, Observation, Observer};

use crate::{
    Result,
    data::Labelled,
    model::{Mlp, Watched},
    norm::upload,
};

/// Steps that are observed: all at first, when most happens, then ever fewer.
const MOMENTS: usize = 60;
/// Sizes of batches whose statistics are compared.
const SIZES: [usize; 8] = [4, 8, 16, 32, 64, 128, 256, 512];
/// Batches of each size.
const BATCHES: usize = 40;

/// The hidden layers in one step.
#[derive(Debug, Default)]
pub(crate) struct Moment {
    pub(crate) step: usize,
    /// Of the inputs of each layer's `ReLU`.
    pub(crate) inputs: Vec<Observation>,
    /// Of their gradients, from the last layer to the first.
    pub(crate) gradients: Vec<Observation>,
}

/// Observes a training.
#[derive(Debug)]
pub(crate) struct Watch {
    context: Context,
    observers: HashMap<Vec<usize>, Observer>,
    pub(crate) moments: Vec<Moment>,
}

impl Watch {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            observers: HashMap::new(),
            moments: Vec::new(),
        }
    }

    /// Whether a step of so many is to be observed: evenly many per square root of time.
    pub(crate) fn wants(&self, step: usize, steps: usize) -> bool {
        let place = |step: usize| (step as f64 / steps as f64).sqrt() * MOMENTS as f64;
        step <= 1 || place(step).floor() > place(step - 1).floor()
    }

    pub(crate) fn begin(&mut self, step: usize) {
        self.moments.push(Moment {
            step,
            ..Moment::default()
        });
    }

    pub(crate) fn see(&mut self, what: Watched, values: &Array2<f32>) -> Result<()> {
        let tensor = upload(&self.context, values)?;
        let shape = tensor.shape().to_vec();
        if !self.observers.contains_key(&shape) {
            let observer = Observer::new(&self.context, &shape, &edges())?;
            self.observers.insert(shape.clone(), observer);
        }
        if let (Some(observer), Some(moment)) =
            (self.observers.get(&shape), self.moments.last_mut())
        {
            let seen = observer.observe(&tensor)?;
            match what {
                Watched::Input => moment.inputs.push(seen),
                Watched::Gradient => moment.gradients.push(seen),
            }
        }
        Ok(())
    }
}

/// Bins 4 % wide, from 10⁻⁴ to 10⁴ on both sides of 0.
fn edges() -> Vec<f32> {
    const SIDE: i32 = 512;
    let edge = |k: i32| {
        let size = |k: i32| 10_f32.powf(-4.0 + 8.0 * (k - 1) as f32 / (SIDE - 1) as f32);
        match k {
            0 => 0.0,
            k if k > 0 => size(k),
            k => -size(-k),
        }
    };
    (-SIDE..=SIDE).map(edge).collect()
}

/// The value below which this share of all values lies, as exactly as the bins tell; not finite if it is in none.
pub(crate) fn quantile(histogram: &Histogram, share: f64) -> f64 {
    let Histogram {
        edges,
        counts,
        below,
        above,
        nan,
    } = histogram;
    let all: u32 = counts.iter().sum::<u32>() + below + above + nan;
    let wanted = share * f64::from(all);
    let mut sum = f64::from(*below);
    if *below > 0 && sum >= wanted {
        return f64::NEG_INFINITY;
    }
    for (edges, &count) in edges.windows(2).zip(counts) {
        let count = f64::from(count);
        if count > 0.0 && sum + count >= wanted {
            let (low, high) = (f64::from(edges[0]), f64::from(edges[1]));
            return low + (high - low) * ((wanted - sum) / count).clamp(0.0, 1.0);
        }
        sum += count;
    }
    if *nan > 0 { f64::NAN } else { f64::INFINITY }
}

/// How far the statistics of batches of one size lie apart, averaged over the units of the last hidden layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) size: usize,
    /// Standard deviation of the batches' means, in standard deviations of the values.
    pub(crate) mean: f64,
    /// Standard deviation of the batches' variances, in variances of the values.
    pub(crate) var: f64,
}

/// The spreads of a trained network with batch norm; none without.
pub(crate) fn spreads(model: &Mlp, images: &Labelled, scale: f32) -> Result<Vec<Spread>> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut order: Vec<usize> = (0..images.len()).collect();
    let mut spreads = Vec::new();
    for size in SIZES.into_iter().filter(|&size| 2 * size <= images.len()) {
        let mut batches = Vec::new();
        for _ in 0..BATCHES {
            let (drawn, _) = order.partial_shuffle(&mut rng, size);
            let (rows, _) = images.batch(drawn, scale);
            let Some(statistics) = model.batch_statistics(rows)? else {
                return Ok(spreads);
            };
            batches.push(statistics);
        }
        spreads.push(spread(size, &batches));
    }
    Ok(spreads)
}

fn spread(size: usize, batches: &[(Vec<f32>, Vec<f32>)]) -> Spread {
    let units = batches.first().map_or(0, |(mean, _)| mean.len());
    let (mut mean, mut var, mut alive) = (0.0, 0.0, 0.0_f64);
    for unit in 0..units {
        let means = batches.iter().map(|(mean, _)| f64::from(mean[unit]));
        let vars = batches.iter().map(|(_, var)| f64::from(var[unit]));
        let (_, of_means) = moments(means);
        let (usual, of_vars) = moments(vars);
        if usual > 0.0 {
            mean += (of_means / usual).sqrt();
            var += of_vars.sqrt() / usual;
            alive += 1.0;
        }
    }
    Spread {
        size,
        mean: mean / alive.max(1.0),
        var: var / alive.max(1.0),
    }
}

/// Mean and unbiased variance.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares = values.map(|x| (x - mean).powi(2));
    (mean, squares.sum::<f64>() / (count - 1.0).max(1.0))
}

/// All that the charts show.
#[derive(Debug)]
pub(crate) struct Observed<'a> {
    pub(crate) title: String,
    pub(crate) without: Vec<Moment>,
    pub(crate) with: Vec<Moment>,
    pub(crate) spreads: Vec<Spread>,
    /// The trained network with batch norm.
    pub(crate) model: &'a Mlp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_values() {
        let context = Context::new().unwrap();
        let mut watch = Watch::new(&context);
        watch.begin(1);
        let values = Array2::from_shape_fn((100, 10), |(i, j)| (i * 10 + j) as f32 / 100.0 - 3.0);
        watch.see(Watched::Input, &values).unwrap();
        let seen = &watch.moments[0].inputs[0];
        for (share, want) in [(0.05, -2.5), (0.25, -0.5), (0.5, 2.0), (0.95, 6.5)] {
            let got = quantile(&seen.histogram, share);
            assert!(
                (got - want).abs() < 0.04 * want.abs() + 0.01,
                "{share}: {got}"
            );
        }
        assert!((seen.moments.mean - 1.995).abs() < 1e-6, "{seen:?}");
    }

    #[test]
    fn the_spread_of_known_batches() {
        let batches = [
            (vec![1.0, 5.0], vec![4.0, 0.0]),
            (vec![3.0, 5.0], vec![4.0, 0.0]),
        ];
        let spread = spread(2, &batches);
        // A variance of 2 between the means, of 4 within: the second unit is constant and does not count.
        assert!((spread.mean - 0.5_f64.sqrt()).abs() < 1e-12);
        assert!(spread.var.abs() < 1e-12);
    }
}
