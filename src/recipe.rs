//! From a [`Problem`] and [`Caps`] to the launches that compute it, as plain data. Pure functions, tested without a GPU.

mod backward;
mod forward;
mod job;

pub use backward::Wanted;

use crate::caps::Caps;
use crate::error::Result;
use crate::geometry::Problem;
use crate::kernel::{Kernel, Slot};
use crate::params::Params;
use crate::source::Variant;
use crate::strategy::Strategy;

/// One launch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which kernel.
    pub kernel: Kernel,
    /// Which text of it.
    pub variant: Variant,
    /// Its parameters.
    pub params: Params,
    /// Number of workgroups.
    pub workgroups: u32,
    /// Slots that are bound to another tensor than their name says.
    pub renamed: Option<(Slot, Slot)>,
}

impl Step {
    /// The tensor behind a slot.
    #[must_use]
    pub fn operand(&self, slot: Slot) -> Slot {
        match self.renamed {
            Some((renamed, operand)) if renamed == slot => operand,
            _ => slot,
        }
    }

    /// Workgroups in x and y: x alone may not go over the device's limit.
    #[must_use]
    pub const fn grid(&self, caps: &Caps) -> [u32; 2] {
        let rows = self.workgroups.div_ceil(caps.max_workgroups_per_dimension);
        [self.workgroups.div_ceil(rows), rows]
    }
}

/// The launches of one pass, in order, and the memory that they need between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// How groups are reduced.
    pub strategy: Strategy,
    /// The launches.
    pub steps: Vec<Step>,
    /// Bytes of scratch for partial results.
    pub partials_bytes: u64,
    /// Bytes of scratch for sums.
    pub sums_bytes: u64,
}

impl Recipe {
    /// The forward pass.
    ///
    /// # Errors
    /// [`Error::Strategy`](crate::Error::Strategy) if `strategy` is given and cannot carry the shape.
    pub fn forward(problem: &Problem, caps: &Caps, strategy: Option<Strategy>) -> Result<Self> {
        forward::recipe(problem, caps, strategy)
    }

    /// The backward pass, for the gradients that are wanted.
    ///
    /// # Errors
    /// [`Error::Strategy`](crate::Error::Strategy) if `strategy` is given and cannot carry the shape.
    pub fn backward(
        problem: &Problem,
        caps: &Caps,
        strategy: Option<Strategy>,
        wanted: Wanted,
    ) -> Result<Self> {
        backward::recipe(problem, caps, strategy, wanted)
    }

    const fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            steps: Vec::new(),
            partials_bytes: 0,
            sums_bytes: 0,
        }
    }

    /// Makes room for this many bytes of partial results.
    fn needs_partials(&mut self, bytes: u64) {
        self.partials_bytes = self.partials_bytes.max(bytes);
    }

    /// Makes room for two sums per item.
    fn needs_sums(&mut self, items: u32) {
        self.sums_bytes = self.sums_bytes.max(8 * u64::from(items));
    }
}
