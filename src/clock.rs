//! Time on the clock, where there is one: browsers' WebAssembly has none in the standard library.

use std::time::Duration;
#[cfg(not(target_family = "wasm"))]
use std::time::Instant;

/// A point in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(#[cfg(not(target_family = "wasm"))] Instant);

#[cfg(not(target_family = "wasm"))]
impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(target_family = "wasm")]
impl Clock {
    pub(crate) const fn start() -> Self {
        Self()
    }

    pub(crate) const fn elapsed(self) -> Duration {
        Duration::ZERO
    }
}
