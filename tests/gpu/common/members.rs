//! Which group and channel an element is of, by the norms' own definition: for the tests of the device and of the ladder.

use wgpu_norm::Norm;

/// The channel of an element.
pub(crate) fn channel_of(norm: &Norm, shape: &[usize], element: usize) -> usize {
    let (inner, channels) = match norm.channel_dimension(shape.len()) {
        Some(dimension) => (&shape[dimension + 1..], shape[dimension]),
        None => (&[][..], norm.parameter_shape().iter().product()),
    };
    element / inner.iter().product::<usize>() % channels
}

/// Its sample.
pub(crate) fn sample_of(shape: &[usize], element: usize) -> usize {
    element / shape[1..].iter().product::<usize>()
}

/// Its group, where the statistics of the batch normalize.
pub(crate) fn group_of(norm: &Norm, shape: &[usize], element: usize) -> usize {
    let channels: usize = norm.parameter_shape().iter().product();
    let channel = channel_of(norm, shape, element);
    let sample = sample_of(shape, element);
    match norm {
        Norm::Batch(n) => {
            let samples = n.virtual_batch_size.unwrap_or(shape[0]);
            sample / samples * channels + channel
        }
        Norm::Instance(_) => sample * channels + channel,
        Norm::Group(n) => sample * n.num_groups + channel / (channels / n.num_groups),
        _ if norm.channel_dimension(shape.len()).is_some() => {
            let points: usize = shape[2..].iter().product();
            sample * points + element % points
        }
        _ => element / channels,
    }
}
