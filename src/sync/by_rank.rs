use crate::error::{Error, Result};

/// What the ranks send, in the order of the ranks, in whatever order it arrives.
#[derive(Debug, Clone)]
pub struct ByRank<T> {
    parts: Vec<Option<T>>,
}

impl<T> ByRank<T> {
    /// Places for the parts of ranks 0 to `ranks` - 1.
    #[must_use]
    pub fn new(ranks: usize) -> Self {
        Self {
            parts: (0..ranks).map(|_| None).collect(),
        }
    }

    /// Puts the part of `rank` in its place.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no such rank, or if its part is there already.
    pub fn insert(&mut self, rank: usize, part: T) -> Result<()> {
        let refused = |expected, got| Error::Value {
            name: "the rank",
            expected,
            got,
        };
        let ranks = self.parts.len();
        let Some(place) = self.parts.get_mut(rank) else {
            let got = format!("{rank} of {ranks}");
            return Err(refused("below the number of ranks", got));
        };
        if place.is_some() {
            return Err(refused("one whose part is missing", rank.to_string()));
        }
        *place = Some(part);
        Ok(())
    }

    /// The first rank whose part is missing.
    #[must_use]
    pub fn missing(&self) -> Option<usize> {
        self.parts.iter().position(Option::is_none)
    }

    /// The parts of all ranks, in order.
    ///
    /// # Errors
    /// [`Error::Missing`] if one is missing.
    pub fn finish(self) -> Result<Vec<T>> {
        let missing = Error::Missing("the part of a rank", "all ranks take part");
        let parts: Option<Vec<T>> = self.parts.into_iter().collect();
        parts.ok_or(missing)
    }
}
