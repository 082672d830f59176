use crate::error::{Error, Result};

/// Where the elements of a weight lie in a slice, and to which output channel each belongs.
///
/// | layer | shape of the weight | layout |
/// |---|---|---|
/// | PyTorch's `Linear` | `[out, in]` | `Layout::new(&[out, in], 0)` |
/// | burn's `Linear`, Keras' `Dense` | `[in, out]` | `Layout::new(&[in, out], 1)` |
/// | PyTorch's and burn's `Conv2d`, grouped or not | `[out, in / groups, kh, kw]` | `Layout::new(&[out, in / groups, kh, kw], 0)` |
/// | their `ConvTranspose2d` | `[in, out / groups, kh, kw]` | `Layout::new(&[in, out / groups, kh, kw], 1).groups(0, groups)` |
/// | Keras' `Conv2D` | `[kh, kw, in, out]` | `Layout::new(&[kh, kw, in, out], 3)` |
/// | Keras' `Conv2DTranspose` | `[kh, kw, out, in]` | `Layout::new(&[kh, kw, out, in], 2)` |
/// | Keras' `DepthwiseConv2D` | `[kh, kw, in, multiplier]` | `Layout::new(&[kh, kw, in, multiplier], 3).groups(2, in)` |
///
/// Any other order in memory is [`Layout::strided`]. The same in one and three spatial dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    shape: Vec<usize>,
    /// `None`: contiguous, and the slice has no element more.
    strides: Option<Vec<usize>>,
    channel_axis: usize,
    /// An axis of the input channels, and the number of groups that it consists of.
    groups: Option<(usize, usize)>,
}

impl Layout {
    /// A contiguous tensor whose output channels are the dimension `channel_axis`.
    #[must_use]
    pub fn new(shape: &[usize], channel_axis: usize) -> Self {
        Self {
            shape: shape.to_vec(),
            strides: None,
            channel_axis,
            groups: None,
        }
    }

    /// The same with steps from an element to the next one of each dimension, in elements, from the start of the slice.
    /// Other elements may lie between them.
    #[must_use]
    pub fn strided(shape: &[usize], strides: &[usize], channel_axis: usize) -> Self {
        Self {
            strides: Some(strides.to_vec()),
            ..Self::new(shape, channel_axis)
        }
    }

    /// The dimension `axis` consists of `groups` groups of neighbours, each of which has output channels of its own:
    /// there are `groups` times as many as `channel_axis` is long, the first group's first.
    ///
    /// For grouped transposed and depthwise convolutions. In a grouped convolution `[out, in / groups, kh, kw]` the
    /// dimension of the output channels has them all, and there is nothing to say.
    #[must_use]
    pub fn groups(mut self, axis: usize, groups: usize) -> Self {
        self.groups = Some((axis, groups));
        self
    }

    /// Checks the layout against a slice of `length` elements and a norm of `channels` channels.
    pub(super) fn validate(&self, channels: usize, length: usize) -> Result<()> {
        self.validate_axes()?;
        let groups = self.groups.map_or(1, |(_, groups)| groups);
        let got = self.shape[self.channel_axis].saturating_mul(groups);
        if got != channels {
            return Err(Error::Channels {
                expected: channels,
                got,
                dimension: self.channel_axis,
                shape: self.shape.clone(),
            });
        }
        match &self.strides {
            Some(strides) => self.validate_strides(strides, length),
            None => match self.elements() {
                expected if expected == length => Ok(()),
                expected => Err(Error::Length {
                    shape: self.shape.clone(),
                    expected,
                    got: length,
                }),
            },
        }
    }

    fn validate_axes(&self) -> Result<()> {
        let rank = self.shape.len();
        let has = |name, axis| match axis {
            axis if axis < rank => Ok(()),
            axis => Err(Error::Axis { name, axis, rank }),
        };
        has("the axis of the output channels", self.channel_axis)?;
        let Some((axis, num_groups)) = self.groups else {
            return Ok(());
        };
        has("the axis of the groups", axis)?;
        if axis == self.channel_axis {
            return Err(Error::Value {
                name: "the axis of the groups",
                expected: "another one than that of the output channels",
                got: axis.to_string(),
            });
        }
        let num_channels = self.shape[axis];
        if num_groups == 0 || !num_channels.is_multiple_of(num_groups) {
            return Err(Error::Groups {
                num_groups,
                num_channels,
            });
        }
        Ok(())
    }

    /// Checks that all elements lie in the slice, each in a place of its own: one that two channels share cannot be folded.
    fn validate_strides(&self, strides: &[usize], length: usize) -> Result<()> {
        let error = |reason: String| {
            Err(Error::Strides {
                shape: self.shape.clone(),
                strides: strides.to_vec(),
                reason,
            })
        };
        if strides.len() != self.shape.len() {
            let (got, rank) = (strides.len(), self.shape.len());
            return error(format!("{got} strides for {rank} dimensions"));
        }
        if self.shape.contains(&0) {
            return Ok(());
        }
        let steps = (self.shape.iter().zip(strides))
            .map(|(&size, &stride)| (size as u128 - 1).saturating_mul(stride as u128));
        let last = steps.fold(0, u128::saturating_add);
        if last >= length as u128 {
            return error(format!("the last element is at {last} of {length}"));
        }
        // More elements than places: at least two share one, and there may be too many to look at.
        let elements = self.elements();
        if elements > length {
            return error(format!("{elements} elements in {length} places overlap"));
        }
        let mut taken = vec![false; length];
        let mut shared = None;
        self.visit(|at, _| {
            if std::mem::replace(&mut taken[at], true) {
                shared = Some(at);
            }
        });
        shared.map_or(Ok(()), |at| {
            error(format!("two elements overlap at {at} of {length}"))
        })
    }

    /// The number of elements, or a number over any memory.
    fn elements(&self) -> usize {
        if self.shape.contains(&0) {
            return 0;
        }
        self.shape.iter().copied().fold(1, usize::saturating_mul)
    }

    /// Calls `visit` with the place in the slice and the output channel of every element. The layout must be valid.
    pub(super) fn visit(&self, mut visit: impl FnMut(usize, usize)) {
        if self.shape.contains(&0) {
            return;
        }
        let strides = match &self.strides {
            Some(strides) => strides.clone(),
            None => contiguous(&self.shape),
        };
        let mut index = vec![0; self.shape.len()];
        loop {
            let at = index.iter().zip(&strides).map(|(i, stride)| i * stride);
            visit(at.sum(), self.channel(&index));
            let more = |&axis: &usize| index[axis] + 1 < self.shape[axis];
            let Some(axis) = (0..index.len()).rev().find(more) else {
                return;
            };
            index[axis] += 1;
            index[axis + 1..].fill(0);
        }
    }

    fn channel(&self, index: &[usize]) -> usize {
        let in_group = index[self.channel_axis];
        let Some((axis, groups)) = self.groups else {
            return in_group;
        };
        let group = index[axis] / (self.shape[axis] / groups);
        group * self.shape[self.channel_axis] + in_group
    }
}

fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}
