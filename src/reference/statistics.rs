use crate::error::Result;
use crate::ops::{Norm, elements};

/// What an element of the input belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Index of the group that it is normalized with.
    pub(super) group: usize,
    /// Index of its weight and bias: the channel, or the column of the row.
    pub(super) parameter: usize,
}

/// The place of every element, in order; `running`: batch and instance norm normalize with running statistics, by channel.
///
/// `shape` must fit `norm`, and there must be memory for as many places as the input has elements.
pub(super) fn places(norm: &Norm, running: bool, shape: &[usize]) -> Vec<Place> {
    match norm {
        Norm::Batch(_) => channels_first(shape, |_, c| c),
        Norm::Instance(_) if running => channels_first(shape, |_, c| c),
        Norm::Instance(layer) => channels_first(shape, |n, c| n * layer.num_features + c),
        Norm::Group(layer) => {
            let channels_per_group = layer.num_channels / layer.num_groups;
            channels_first(shape, |n, c| n * layer.num_groups + c / channels_per_group)
        }
        Norm::Layer(_) | Norm::Rms(_) => rows(shape, norm.parameter_shape().iter().product()),
    }
}

/// The places in a `[N, C, ...]` tensor, with the group of a sample n and channel c.
fn channels_first(shape: &[usize], group: impl Fn(usize, usize) -> usize) -> Vec<Place> {
    let mut places = Vec::new();
    if shape.contains(&0) {
        return places;
    }
    let spatial: usize = shape[2..].iter().product();
    for n in 0..shape[0] {
        for c in 0..shape[1] {
            for _s in 0..spatial {
                places.push(Place {
                    group: group(n, c),
                    parameter: c,
                });
            }
        }
    }
    places
}

/// The places in a tensor of rows of `columns` elements.
fn rows(shape: &[usize], columns: usize) -> Vec<Place> {
    let mut places = Vec::new();
    if shape.contains(&0) {
        return places;
    }
    let rows = shape.iter().product::<usize>() / columns;
    for row in 0..rows {
        for column in 0..columns {
            places.push(Place {
                group: row,
                parameter: column,
            });
        }
    }
    places
}

/// Mean and variance of every group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statistics {
    pub(super) mean: Vec<f64>,
    /// The biased variance.
    pub(super) var: Vec<f64>,
    /// Number of elements of a group; 0 for running statistics, which are of no one batch.
    pub(super) count: usize,
}

impl Statistics {
    /// Those of the input itself, in two passes.
    pub(super) fn of_batch(
        norm: &Norm,
        shape: &[usize],
        places: &[Place],
        input: &[f64],
    ) -> Result<Self> {
        let groups = groups(norm, shape)?;
        let mean = match norm {
            Norm::Rms(_) => vec![0.0; groups],
            _ => means(groups, places, input),
        };
        let squares = (places.iter().zip(input)).map(|(place, x)| (x - mean[place.group]).powi(2));
        let var = averages(groups, places, squares);
        Ok(Self {
            mean,
            var,
            count: input.len() / groups.max(1),
        })
    }
}

/// The number of groups with statistics of their own.
fn groups(norm: &Norm, shape: &[usize]) -> Result<usize> {
    match norm {
        Norm::Batch(layer) => Ok(layer.num_features),
        Norm::Instance(layer) => elements(&[shape[0], layer.num_features]),
        Norm::Group(layer) => elements(&[shape[0], layer.num_groups]),
        Norm::Layer(_) | Norm::Rms(_) => {
            elements(&shape[..shape.len() - norm.parameter_shape().len()])
        }
    }
}

/// The mean of every group, as its first element plus the average distance from it: exact for a constant group.
fn means(groups: usize, places: &[Place], input: &[f64]) -> Vec<f64> {
    let mut first = vec![0.0; groups];
    for (place, x) in places.iter().zip(input).rev() {
        first[place.group] = *x;
    }
    let distances = (places.iter().zip(input)).map(|(place, x)| x - first[place.group]);
    let averages = averages(groups, places, distances);
    (first.iter().zip(averages))
        .map(|(x, distance)| x + distance)
        .collect()
}

/// The average over every group of one value per element; 0 for a group without elements.
pub(super) fn averages(
    groups: usize,
    places: &[Place],
    values: impl Iterator<Item = f64>,
) -> Vec<f64> {
    let mut sums = vec![0.0; groups];
    for (place, value) in places.iter().zip(values) {
        sums[place.group] += value;
    }
    let count = (places.len() / groups.max(1)).max(1);
    sums.into_iter().map(|sum| sum / count as f64).collect()
}
