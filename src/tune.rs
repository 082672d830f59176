//! Measuring on the user's own device which way of computing a problem is the fastest.

mod book;
mod measure;
mod timer;

use std::fmt;
use std::time::Duration;

pub(crate) use book::Book;

use crate::context::Context;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::{Mode, Norm};
use crate::strategy::Strategy;
#[cfg(doc)]
use crate::{Layer, Plan};

/// One way of computing a pass.
///
/// `Candidate::default()` is what the ladder says, from the shape and the device's capabilities alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Candidate {
    /// How groups are reduced; `None` leaves it to the ladder.
    pub strategy: Option<Strategy>,
}

impl Candidate {
    /// The one with this strategy.
    #[must_use]
    pub const fn with_strategy(strategy: Strategy) -> Self {
        Self {
            strategy: Some(strategy),
        }
    }

    /// The ladder's first, then all others.
    fn all() -> impl Iterator<Item = Self> {
        let strategies = Strategy::ALL.map(Self::with_strategy);
        std::iter::once(Self::default()).chain(strategies)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.strategy.map_or("ladder", Strategy::name))
    }
}

/// How a plan computes its passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Tuning {
    /// The forward pass.
    pub forward: Candidate,
    /// The backward pass.
    pub backward: Candidate,
}

impl Tuning {
    /// Both passes with this strategy.
    pub(crate) const fn with_strategy(strategy: Strategy) -> Self {
        let candidate = Candidate::with_strategy(strategy);
        Self {
            forward: candidate,
            backward: candidate,
        }
    }
}

/// What [`Context::autotune`] measured and chose.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// What plans for this problem use from now on.
    pub tuning: Tuning,
    /// Candidates of the forward pass and the median of their times, the ladder's first. Those that launch the same as one before, and
    /// those that cannot carry the shape, are left out.
    pub forward: Vec<(Candidate, Duration)>,
    /// The same for the backward pass, with all gradients.
    pub backward: Vec<(Candidate, Duration)>,
    /// Whether the times are the device's own, by timestamp queries, or on the clock from submission to completion.
    pub timestamps: bool,
}

impl fmt::Display for Tuned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pass, times, chosen) in [
            ("forward", &self.forward, self.tuning.forward),
            ("backward", &self.backward, self.tuning.backward),
        ] {
            for (candidate, time) in times {
                let mark = if *candidate == chosen { "*" } else { " " };
                let milliseconds = 1e3 * time.as_secs_f64();
                writeln!(f, "{mark} {pass:8} {candidate:8} {milliseconds:9.3} ms")?;
            }
        }
        Ok(())
    }
}

impl Context {
    /// Measures all ways of computing `norm` on inputs of `shape` in `mode` on this device, with random data in memory of its own, and
    /// remembers the fastest. Plans made afterwards for the same problem with this context or a clone, with whatever eps and
    /// momentum, use it; so do new [`Layer`]s and shapes that a layer has not met. Forward and backward pass are chosen separately.
    ///
    /// Without this call every plan follows the ladder, and its results are the same bits on every run. Another candidate adds up
    /// in another order, so which one is chosen shows in the last bits; results with one choice are repeatable again.
    ///
    /// Candidates take turns in 9 rounds. One takes the ladder's place only if its median is at least 5 % less and it is faster in 7 of these,
    /// and that once more against the ladder's alone. Takes 0.2 to 2 s on lavapipe, with compilation, and four times the tensor's memory. Measure while nothing
    /// else uses the device. Blocks; not for browsers.
    ///
    /// # Errors
    /// Those of [`Plan::new`], [`Error::OutOfMemory`], [`Error::DeviceLost`]. Nothing is remembered then.
    pub fn autotune(&self, norm: impl Into<Norm>, shape: &[usize], mode: Mode) -> Result<Tuned> {
        self.autotune_of(DType::F32, norm, shape, mode)
    }

    /// [`Context::autotune`] for plans of another type of data.
    ///
    /// # Errors
    /// Those of [`Plan::of_dtype`], and of [`Context::autotune`].
    pub fn autotune_of(
        &self,
        dtype: DType,
        norm: impl Into<Norm>,
        shape: &[usize],
        mode: Mode,
    ) -> Result<Tuned> {
        let norm = norm.into();
        let tuned = measure::tuned(self, &norm, shape, dtype, mode)?;
        let key = book::key(&norm, shape, dtype, mode);
        self.book().insert(self.caps(), key, tuned.tuning);
        Ok(tuned)
    }

    /// All choices of [`Context::autotune`] as text, one line each after some that name the device: to be stored, and given to
    /// [`Context::import_tunings`] in a later run.
    #[must_use]
    pub fn export_tunings(&self) -> String {
        self.book().to_text(self)
    }

    /// Takes the choices that [`Context::export_tunings`] gave, beside those that are there already. Returns their number.
    ///
    /// A choice that this device cannot carry, as only a changed file has, is not used: plans follow the ladder then.
    ///
    /// # Errors
    /// [`Error::ForeignTunings`] if they were measured with another device, driver or version of this crate, [`Error::Tunings`] if the
    /// text is something else. Nothing is taken then.
    pub fn import_tunings(&self, text: &str) -> Result<usize> {
        let choices = book::parse(self, text)?;
        let mut book = self.book();
        let count = choices.len();
        for (key, tuning) in choices {
            book.insert(self.caps(), key, tuning);
        }
        Ok(count)
    }

    /// Forgets all choices: plans made afterwards follow the ladder again.
    pub fn forget_tunings(&self) {
        *self.book() = Book::default();
    }

    /// How a plan for this problem is to compute its passes: as was measured, or as the ladder says.
    pub(crate) fn tuning(&self, norm: &Norm, shape: &[usize], dtype: DType, mode: Mode) -> Tuning {
        let book = self.book();
        if book.is_empty() {
            return Tuning::default();
        }
        book.get(self.caps(), &book::key(norm, shape, dtype, mode))
    }
}

/// Whether the strategy cannot carry the shape, which is no failure.
pub(crate) const fn is_refusal<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Strategy { .. }))
}
