//! From a [`Problem`] and [`Caps`] to the launches that compute it, as plain data. Pure functions, tested without a GPU.

mod backward;
mod columns;
mod double;
mod forward;
mod job;
mod lengths;
mod observe;
mod params;
mod small;
mod sync;
mod view;

pub use backward::Wanted;
pub use double::DoubleWanted;
pub(crate) use observe::MOST_BINS;

use std::ops::Range;

use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Partner, Problem, Walk};
use crate::kernel::{Kernel, Slot};
use crate::params::Params;
use crate::source::{self, Slots, Variant};
use crate::strategy::{self, Layout, Load, Strategy};
use job::Jobs;
use small::Partials;

/// Partial results that a team merges at most in one launch.
const MOST_MERGED: u32 = 16_384;

/// Partial statistics: count, high and low part of the mean, m2, scale.
const STATISTICS_BYTES: u32 = 20;

/// A pair of sums.
const SUMS_BYTES: u32 = 8;

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
    /// The bytes of the tensor that it binds, where the tensor does not fit one binding.
    pub window: Option<Range<u64>>,
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

/// The strategy for a pass over the groups, if not told otherwise.
fn choose(problem: &Problem, caps: &Caps, load: Load) -> Result<Strategy> {
    let in_slice = problem.slices(caps)?[0].groups.elements();
    if in_slice < problem.groups.elements() || problem.lengths.is_some() {
        return Ok(Strategy::Split);
    }
    if let Some(fours) = strategy::in_fours(problem, caps) {
        let layout = Layout::of(&fours);
        let strategy = strategy::choose(layout, layout.vectors(&fours), load, caps);
        let columns = strategy::columns_are_faster(&fours, load, caps);
        let looped = load == Load::Forward
            && !caps.slow_loads
            && strategy::looped_columns(problem, caps).is_some();
        return Ok(match strategy {
            _ if looped => Strategy::Looped,
            Strategy::Resident if columns => Strategy::Resident,
            _ => Strategy::Split,
        });
    }
    // Where loads are slow, groups that fit the registers are loaded once.
    let by_rows = match strategy::short_runs(&problem.groups, caps) {
        true => !caps.slow_loads && Jobs::sums_by_rows(problem, caps),
        false => strategy::by_rows(problem, caps),
    };
    if by_rows {
        let held = load == Load::Backward && strategy::holds_channels(problem, caps);
        return Ok(match held {
            true => Strategy::Resident,
            false => Strategy::Split,
        });
    }
    let layout = Layout::of(&problem.groups);
    let vectors = layout.vectors(&problem.groups);
    if strategy::shared(problem, load, caps).is_some() {
        return Ok(Strategy::Resident);
    }
    let strategy = strategy::choose(layout, vectors, load, caps);
    Ok(
        match strategy::split_is_shorter(problem, load, strategy, caps) {
            true => Strategy::Split,
            false => strategy,
        },
    )
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
    /// Bytes of scratch for weight and bias side by side.
    pub affine_bytes: u64,
}

impl Recipe {
    /// The forward pass.
    ///
    /// # Errors
    /// [`Error::Strategy`] if `strategy` is given and cannot carry the shape, [`Error::Limit`] if something that cannot be split
    /// is larger than a binding of the device.
    pub fn forward(problem: &Problem, caps: &Caps, strategy: Option<Strategy>) -> Result<Self> {
        let strategy = strategy.map(|strategy| lengths::strategy(problem, strategy));
        let mut recipe = forward::recipe(problem, caps, strategy)?;
        recipe.end_samples(problem)?;
        recipe.pack_affine(problem, caps);
        recipe.center_weight(problem);
        recipe.fits_bindings(problem, caps)?;
        Ok(recipe)
    }

    /// The backward pass, for the gradients that are wanted.
    ///
    /// # Errors
    /// [`Error::Strategy`] if `strategy` is given and cannot carry the shape, [`Error::Limit`] if something that cannot be split
    /// is larger than a binding of the device.
    pub fn backward(
        problem: &Problem,
        caps: &Caps,
        strategy: Option<Strategy>,
        wanted: Wanted,
    ) -> Result<Self> {
        let strategy = strategy.map(|strategy| lengths::strategy(problem, strategy));
        let mut recipe = backward::recipe(problem, caps, strategy, wanted)?;
        recipe.center_weight(problem);
        recipe.fits_bindings(problem, caps)?;
        Ok(recipe)
    }

    const fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            steps: Vec::new(),
            partials_bytes: 0,
            sums_bytes: 0,
            merged_bytes: 0,
            affine_bytes: 0,
        }
    }

    /// What is not split into slices must fit a binding.
    fn fits_bindings(&self, problem: &Problem, caps: &Caps) -> Result<()> {
        for (what, needed) in [
            ("the statistics", 16 * u64::from(problem.groups.items)),
            ("weight and bias", 4 * u64::from(problem.channels.items)),
            ("partial results", self.partials_bytes),
            ("partial results", self.merged_bytes),
            ("the sums of the groups", self.sums_bytes),
            ("weight and bias", self.affine_bytes),
        ] {
            if needed > caps.max_binding_size {
                return Err(Error::Limit {
                    what: what.to_owned(),
                    needed,
                    limit: "max_storage_buffer_binding_size",
                    allowed: caps.max_binding_size,
                });
            }
        }
        Ok(())
    }

    /// Tells the launches that read the weight what it stands for.
    fn center_weight(&mut self, problem: &Problem) {
        for step in &mut self.steps {
            let reads =
                step.kernel == Kernel::PackAffine || step.variant.optional.contains(Slot::Weight);
            step.variant.zero_centered_weight = problem.zero_centered_weight && reads;
        }
    }

    /// Weight and bias as one binding for launches that would have one too many.
    fn pack_affine(&mut self, problem: &Problem, caps: &Caps) {
        let mut packed = false;
        for step in &mut self.steps {
            if !source::fits(step.kernel, &step.variant) {
                let optional = step.variant.optional;
                let rest = optional.without(Slot::Weight).without(Slot::Bias);
                step.variant.optional = rest.with(Slot::Affine);
                packed = true;
            }
        }
        if packed {
            self.affine_bytes = 8 * u64::from(problem.channels.items);
            let step = small::channel_step(
                problem,
                caps,
                (Kernel::PackAffine, problem.channels.items),
                false,
            );
            self.steps.insert(0, step);
        }
    }

    /// Makes room for this many partial results of so many bytes.
    fn needs_partials(&mut self, bytes: u32, number: u32) {
        self.partials_bytes = self
            .partials_bytes
            .max(u64::from(bytes) * u64::from(number));
    }

    /// Merges the partial statistics of each group, into `to`: in one launch, or in two where a lane of a single one would have
    /// too many. They are `packed` where each is that of four groups.
    fn merge_statistics(
        &mut self,
        problem: &Problem,
        caps: &Caps,
        (partials, packed): (Partials, bool),
        to: Slot,
    ) {
        let groups = problem.groups.items;
        let pack = if packed { 4 } else { 1 };
        let step = |partials: Partials, part, to| {
            let (kernel, to) = (Kernel::MergeStatistics, Slots::default().with(to));
            let walk = small::partials(groups, partials, pack);
            small::merge_step(problem, caps, kernel, (&walk, packed), part, to)
        };
        let of_group = partials.number / groups;
        if of_group <= MOST_MERGED {
            self.steps.push(step(partials, of_group, to));
            return;
        }
        let (chunks, chunk) = strategy::parts(of_group, MOST_MERGED);
        self.merged_bytes = self
            .merged_bytes
            .max(u64::from(STATISTICS_BYTES) * u64::from(groups * chunks));
        self.steps.push(step(partials, chunk, Slot::Merged));
        let mut last = step(Partials::apart(groups * chunks), chunks, to);
        last.renamed = vec![(Slot::Partials, Slot::Merged)];
        self.steps.push(last);
    }

    /// Merges pairs of partial sums of `items` items, which lie in `from` in planes `plane` numbers apart:
    /// in one launch, or in two where a lane of a single one would have too many.
    fn merge_sums(
        &mut self,
        problem: &Problem,
        caps: &Caps,
        from: (Slot, u32),
        (items, partials): (u32, Partials),
        optional: Slots,
    ) {
        let (mut from, mut partials) = (from, partials);
        // A GPU's neighbouring lanes read neighbouring numbers at the full width of its memory.
        let packed = caps.cpu
            && items.is_multiple_of(4)
            && partials.beside == 1
            && problem.lengths.is_none();
        let pack = if packed { 4 } else { 1 };
        let step = |partials, part, (slot, plane): (Slot, u32), to| {
            let walk = small::partials(items, partials, pack);
            let kernel = Kernel::MergeSums;
            let mut step = small::merge_step(problem, caps, kernel, (&walk, packed), part, to);
            step.params.plane = plane / pack;
            step.renamed = vec![(Slot::Partials, slot)];
            step
        };
        if partials.number / items > MOST_MERGED {
            let (chunks, chunk) = strategy::parts(partials.number / items, MOST_MERGED);
            let mut first = step(partials, chunk, from, Slots::default().with(Slot::Sums));
            first.renamed.push((Slot::Sums, Slot::Merged));
            self.steps.push(first);
            self.merged_bytes = self
                .merged_bytes
                .max(u64::from(SUMS_BYTES) * u64::from(items * chunks));
            partials = Partials::apart(items * chunks);
            from = (Slot::Merged, partials.number);
        }
        if optional.contains(Slot::Sums) {
            self.sums_bytes = self
                .sums_bytes
                .max(u64::from(SUMS_BYTES) * u64::from(items));
        }
        let of_item = partials.number / items;
        self.steps.push(step(partials, of_item, from, optional));
    }

    /// Merges the sums of the `width` runs or columns of each group, `partials` in all, each with the weight of its channel, to the
    /// sums of the group.
    fn merge_runs(&mut self, problem: &Problem, caps: &Caps, partials: u32, width: u32) {
        let groups = &problem.groups;
        let all = groups.items * width;
        let walk = Walk {
            items_per_outer: groups.items,
            outer_stride: 0,
            item_stride: width,
            runs: partials / all,
            run_length: width,
            run_stride: all,
            partner: Partner {
                per_run: 0,
                per_element: 1,
                ..groups.partner
            },
            ..*groups
        };
        self.sums_bytes = self
            .sums_bytes
            .max(u64::from(SUMS_BYTES) * u64::from(groups.items));
        let optional = Slots::default().with(Slot::Sums);
        let mut step = small::merge_step(
            problem,
            caps,
            Kernel::MergeSums,
            (&walk, false),
            walk.elements(),
            optional.with_if(problem.weight, Slot::Weight),
        );
        step.params.plane = partials;
        self.steps.push(step);
    }
}
