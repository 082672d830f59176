use crate::error::Result;
use crate::ops::{Norm, elements};

use super::shape::Sizes;

/// What an element of the input belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Index of the group that it is normalized with.
    pub(super) group: usize,
    /// Index of its weight and bias.
    pub(super) parameter: usize,
}

/// The place of every element, in order of memory; `running`: batch and instance norm normalize with running statistics,
/// by channel. `per_sample`: each sample has weights and biases of its own.
///
/// There must be memory for as many places as the input has elements.
pub(super) fn places(norm: &Norm, sizes: Sizes, running: bool, per_sample: bool) -> Vec<Place> {
    let group = |n: usize, c: usize, s: usize| match norm {
        Norm::Batch(_) | Norm::Instance(_) if running => c,
        Norm::Batch(layer) => match layer.virtual_batch_size {
            Some(samples) => n / samples * sizes.c + c,
            None => c,
        },
        Norm::Instance(_) => n * sizes.c + c,
        Norm::Group(layer) => {
            let channels_per_group = layer.num_channels / layer.num_groups;
            n * layer.num_groups + c / channels_per_group
        }
        // A row is what a sample has at one point.
        Norm::Layer(_) | Norm::Rms(_) => n * sizes.s + s,
    };
    let mut places = Vec::new();
    if sizes.is_empty() {
        return places;
    }
    for n in 0..sizes.n {
        for (c, s) in sizes.of_sample() {
            places.push(Place {
                group: group(n, c, s),
                parameter: if per_sample { n * sizes.c + c } else { c },
            });
        }
    }
    places
}

/// The number of groups with statistics of their own.
pub(super) fn groups(norm: &Norm, sizes: Sizes) -> Result<usize> {
    match norm {
        Norm::Batch(layer) => match layer.virtual_batch_size {
            Some(samples) => elements(&[sizes.n / samples, sizes.c]),
            None => Ok(sizes.c),
        },
        Norm::Instance(_) => elements(&[sizes.n, sizes.c]),
        Norm::Group(layer) => elements(&[sizes.n, layer.num_groups]),
        Norm::Layer(_) | Norm::Rms(_) => elements(&[sizes.n, sizes.s]),
    }
}

/// Mean and variance of every group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statistics {
    pub(super) mean: Vec<f64>,
    /// The biased variance.
    pub(super) var: Vec<f64>,
    /// Number of elements of each group; empty for running statistics, which are of no one batch.
    pub(super) count: Vec<usize>,
}

impl Statistics {
    /// Those of the input itself, in two passes; `centered`: around the mean, and not around 0 as in RMS norm.
    pub(super) fn of_batch(groups: usize, centered: bool, places: &[Place], input: &[f64]) -> Self {
        let mut count = vec![0; groups];
        for place in places {
            count[place.group] += 1;
        }
        let mean = if centered {
            means(&count, places, input)
        } else {
            vec![0.0; groups]
        };
        let squares = (places.iter().zip(input)).map(|(place, x)| (x - mean[place.group]).powi(2));
        let var = averages(&count, places, squares);
        Self { mean, var, count }
    }
}

/// The mean of every group, as its first element plus the average distance from it: exact for a constant group.
fn means(count: &[usize], places: &[Place], input: &[f64]) -> Vec<f64> {
    let mut first = vec![0.0; count.len()];
    for (place, x) in places.iter().zip(input).rev() {
        first[place.group] = *x;
    }
    let distances = (places.iter().zip(input)).map(|(place, x)| x - first[place.group]);
    let averages = averages(count, places, distances);
    (first.iter().zip(averages))
        .map(|(x, distance)| x + distance)
        .collect()
}

/// The average over every group of one value per element, `count` of them; 0 for a group without elements.
pub(super) fn averages(
    count: &[usize],
    places: &[Place],
    values: impl Iterator<Item = f64>,
) -> Vec<f64> {
    let mut sums = vec![0.0; count.len()];
    for (place, value) in places.iter().zip(values) {
        sums[place.group] += value;
    }
    (sums.into_iter().zip(count))
        .map(|(sum, count)| sum / (*count).max(1) as f64)
        .collect()
}
