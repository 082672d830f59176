use super::Block;
use crate::error::{Error, Result};
use crate::ops::Norm;

/// Where the dimension of the channels is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channels {
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
    /// Where the channels are: by default where PyTorch has them, in layer and RMS norm last.
    fn channels(&self) -> Channels {
        self.channels.unwrap_or(match self.norm {
            Norm::Layer(_) | Norm::Rms(_) => Channels::Last,
            _ => Channels::First,
        })
    }

    /// `shape` with its dimensions in PyTorch's order, in which the norm itself takes them.
    pub(super) fn usual_shape(&self, shape: &[usize]) -> Result<Vec<usize>> {
        let mut usual = shape.to_vec();
        let dimensions = usual.get_mut(1..).unwrap_or_default();
        match (&self.norm, self.channels()) {
            (Norm::Layer(_) | Norm::Rms(_), Channels::First) => {
                let rank = self.norm.parameter_shape().len();
                if rank != 1 {
                    return Err(Error::Value {
                        name: "the rank of normalized_shape",
                        expected: "1 where rows are the channels of [N, C, ...]",
                        got: rank.to_string(),
                    });
                }
                self.at_least(2, shape)?;
                dimensions.rotate_left(1);
            }
            (Norm::Layer(_) | Norm::Rms(_), Channels::Last) | (_, Channels::First) => {}
            (_, Channels::Last) => dimensions.rotate_right(usize::from(shape.len() > 1)),
        }
        Ok(usual)
    }

    fn at_least(&self, min: usize, shape: &[usize]) -> Result<()> {
        let rank = shape.len();
        if rank >= min {
            return Ok(());
        }
        Err(Error::Rank {
            norm: self.norm.name(),
            min,
            max: 8,
            rank,
            shape: shape.to_vec(),
        })
    }

    /// The sizes of a tensor of this usual shape, which must fit the norm.
    pub(super) fn sizes(&self, usual: &[usize]) -> Sizes {
        let product = |sizes: &[usize]| sizes.iter().copied().fold(1, usize::saturating_mul);
        let (n, c, s) = match self.norm {
            Norm::Layer(_) | Norm::Rms(_) => {
                let rank = usual.len() - self.norm.parameter_shape().len();
                let (leading, row) = usual.split_at(rank);
                let rest = leading.get(1..).unwrap_or_default();
                let n = leading.first().copied().unwrap_or(1);
                (n, product(row), product(rest))
            }
            _ => (usual[0], usual[1], product(&usual[2..])),
        };
        let channels = self.channels();
        Sizes { n, c, s, channels }
    }
}
