use crate::error::{Error, Result};
use crate::ops::elements;

/// The elements that are not padding: taken out before a pass, and put back among zeros after it.
#[derive(Debug)]
pub(super) struct Kept {
    /// Their indices, ascending; `None`: there is no padding.
    indices: Option<Vec<usize>>,
    /// Elements with the padding.
    all: usize,
}

impl Kept {
    /// Of a tensor of `all` elements; without `valid` there is no padding.
    pub(super) fn new(all: usize, valid: Option<&[bool]>) -> Self {
        let indices = valid.map(|valid| (0..all).filter(|index| valid[*index]).collect());
        Self { indices, all }
    }

    pub(super) fn take<T: Copy>(&self, values: &[T]) -> Vec<T> {
        match &self.indices {
            Some(indices) => indices.iter().map(|index| values[*index]).collect(),
            None => values.to_vec(),
        }
    }

    pub(super) fn put_back(&self, values: Vec<f64>) -> Vec<f64> {
        let Some(indices) = &self.indices else {
            return values;
        };
        let mut all = vec![0.0; self.all];
        for (index, value) in indices.iter().zip(values) {
            all[*index] = value;
        }
        all
    }
}

/// Which elements of a tensor of `shape` are valid where the sample n ends after `lengths[n]` along dimension `axis`:
/// what [`Tensors::valid`](super::Tensors::valid) takes.
///
/// ```
/// use wgpu_norm::reference::valid_from_lengths;
/// // Two samples of one channel and three points, the second one point long.
/// let valid = valid_from_lengths(&[2, 1, 3], 2, &[3, 1])?;
/// assert_eq!(valid, [true, true, true, true, false, false]);
/// # Ok::<(), wgpu_norm::Error>(())
/// ```
///
/// # Errors
/// [`Error::Axis`] if `axis` is 0 or not of the shape; [`Error::Shape`] if there are not N lengths;
/// [`Error::Value`] for a length over the size of the dimension; [`Error::Limit`] for a shape beyond 32-bit indices.
pub fn valid_from_lengths(shape: &[usize], axis: usize, lengths: &[usize]) -> Result<Vec<bool>> {
    let rank = shape.len();
    if axis == 0 || axis >= rank {
        let name = "the axis of the lengths, 1 or more,";
        return Err(Error::Axis { name, axis, rank });
    }
    if lengths.len() != shape[0] {
        return Err(Error::Shape {
            tensor: "lengths",
            expected: vec![shape[0]],
            got: vec![lengths.len()],
        });
    }
    if let Some(length) = lengths.iter().find(|length| **length > shape[axis]) {
        return Err(Error::Value {
            name: "every length",
            expected: "at most the size of its dimension",
            got: format!("{length} of {}", shape[axis]),
        });
    }
    let count = elements(shape)?;
    // Not of an empty tensor, whose other sizes may not multiply.
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let is_valid = |index| index / stride(axis) % shape[axis] < lengths[index / stride(0)];
    Ok((0..count).map(is_valid).collect())
}
