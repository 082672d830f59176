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
use crate::source::{Slots, Variant};
use crate::strategy::{self, Strategy};

/// Partial results that a team merges at most in one launch.
const MOST_MERGED: u32 = 16_384;

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
    /// Slots that are bound to another tensor than their name says, and that tensor.
    pub renamed: Vec<(Slot, Slot)>,
}

impl Step {
    /// The tensor behind a slot.
    #[must_use]
    pub fn operand(&self, slot: Slot) -> Slot {
        let renamed = self.renamed.iter().find(|(renamed, _)| *renamed == slot);
        renamed.map_or(slot, |(_, operand)| *operand)
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
    /// Bytes of scratch between two launches that merge.
    pub merged_bytes: u64,
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
            merged_bytes: 0,
        }
    }

    /// Makes room for this many bytes of partial results.
    fn needs_partials(&mut self, bytes: u64) {
        self.partials_bytes = self.partials_bytes.max(bytes);
    }

    /// Merges `parts` pairs of sums of each of `items` items, which lie in `from` in planes `plane` numbers apart:
    /// in one launch, or in two where a lane of a single one would have too many.
    fn merge_sums(
        &mut self,
        problem: &Problem,
        caps: &Caps,
        from: (Slot, u32),
        (items, parts): (u32, u32),
        optional: Slots,
    ) {
        let (mut from, mut parts) = (from, parts);
        if parts > MOST_MERGED {
            let (chunks, chunk) = strategy::parts(parts, MOST_MERGED);
            let sums = Slots::default().with(Slot::Sums);
            let mut first = job::merge_step(
                problem,
                caps,
                Kernel::MergeSums,
                items,
                (parts, chunk),
                sums,
            );
            first.params.plane = from.1;
            first.renamed = vec![(Slot::Partials, from.0), (Slot::Sums, Slot::Merged)];
            self.steps.push(first);
            self.merged_bytes = self.merged_bytes.max(8 * u64::from(items * chunks));
            (from, parts) = ((Slot::Merged, items * chunks), chunks);
        }
        if optional.contains(Slot::Sums) {
            self.sums_bytes = self.sums_bytes.max(8 * u64::from(items));
        }
        let mut last = job::merge_step(
            problem,
            caps,
            Kernel::MergeSums,
            items,
            (parts, parts),
            optional,
        );
        last.params.plane = from.1;
        last.renamed = vec![(Slot::Partials, from.0)];
        self.steps.push(last);
    }
}
