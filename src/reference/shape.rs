use super::Block;
use crate::error::Result;
use crate::ops::Mode;
#[cfg(doc)]
use crate::ops::Norm;

/// Where the dimension of the channels is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    /// `[N, C, ...]`
    First,
    /// `[N, ..., C]`
    Last,
}

/// A tensor as `[N, C, S]` or `[N, S, C]`. Layer and RMS norm: C is the elements of a row, N the first dimension (1 if the
/// whole tensor is one row), S the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    pub(super) n: usize,
    pub(super) c: usize,
    pub(super) s: usize,
    pub(super) channels: Channels,
}

impl Sizes {
    /// Channel and point in space of every element of a sample, in order of memory.
    pub(super) fn of_sample(self) -> impl Iterator<Item = (usize, usize)> {
        let (outer, inner) = match self.channels {
            Channels::First => (self.c, self.s),
            Channels::Last => (self.s, self.c),
        };
        (0..outer).flat_map(move |o| {
            (0..inner).map(move |i| match self.channels {
                Channels::First => (o, i),
                Channels::Last => (i, o),
            })
        })
    }

    pub(super) const fn is_empty(self) -> bool {
        self.n == 0 || self.c == 0 || self.s == 0
    }
}

impl Block {
    /// Where the channels are; the elements of a row count as channels that are last.
    fn channels(&self, rank: usize) -> Channels {
        match self.norm.channel_dimension(rank) {
            Some(1) => Channels::First,
            _ => Channels::Last,
        }
    }

    /// The sizes of an input of this shape, which must fit the norm.
    pub(super) fn sizes(&self, shape: &[usize], mode: Mode) -> Result<Sizes> {
        self.norm.validate_shape(shape, mode)?;
        let product = |sizes: &[usize]| sizes.iter().copied().fold(1, usize::saturating_mul);
        let channels = self.channels(shape.len());
        let (n, c, s) = match self.norm.channel_dimension(shape.len()) {
            Some(dimension) => {
                let mut spatial = shape.to_vec();
                let c = spatial.remove(dimension);
                (shape[0], c, product(&spatial[1..]))
            }
            None => {
                let rank = shape.len() - self.norm.parameter_shape().len();
                let (leading, row) = shape.split_at(rank);
                let rest = leading.get(1..).unwrap_or_default();
                (
                    leading.first().copied().unwrap_or(1),
                    product(row),
                    product(rest),
                )
            }
        };
        Ok(Sizes { n, c, s, channels })
    }
}
