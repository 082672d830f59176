//! One walk over a tensor, laid out for a device: the part of a launch that all kernels share.

use std::ops::Range;

use super::Step;
use super::small::common_params;
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Problem, Slice, Walk};
use crate::kernel::Kernel;
use crate::params::Params;
use crate::source::{Slots, Tile, Variant};
use crate::strategy::{self, Layout, Load, Strategy};

/// Which of the two views of a tensor a launch walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Groups,
    Channels,
}

/// The walk over one slice of the tensor, spread over parts, teams and lanes.
#[derive(Debug, Clone, Copy)]
struct Job {
    /// Elements of the tensor before the slice, and in it.
    first: u32,
    elements: u32,
    walk: Walk,
    layout: Layout,
    tile: Tile,
    parts: u32,
    /// Number of the first part, of all that the items have in the whole tensor.
    first_part: u32,
    part_vectors: u32,
    held: u32,
    resident: bool,
    /// Items that a team takes, one after the other.
    chunk: u32,
    /// The partial results are per channel, one for each team, not per item.
    by_channel: bool,
    /// Weight and bias are the same for all items of a team, which keeps them.
    hold_affine: bool,
}

/// The walk over the whole tensor: one kernel, launched for each slice.
#[derive(Debug, Clone)]
pub(super) struct Jobs<'a> {
    problem: &'a Problem,
    caps: &'a Caps,
    view: View,
    jobs: Vec<Job>,
    /// Parts of an item, in all slices.
    pub(super) parts: u32,
}

impl<'a> Jobs<'a> {
    /// Whole groups, one team each. `strategy` says whether they stay in registers.
    pub(super) fn whole_groups(
        problem: &'a Problem,
        caps: &'a Caps,
        load: Load,
        strategy: Strategy,
    ) -> Result<Self> {
        let layout = Layout::of(&problem.groups);
        let vectors = layout.vectors(&problem.groups);
        let tile = strategy::tile(layout, vectors, load, caps);
        let lane_vectors = vectors.div_ceil(tile.lanes);
        let resident = strategy == Strategy::Resident;
        let slices = problem.slices(caps)?;
        let refused = if resident && lane_vectors > strategy::max_held(layout, load, caps) {
            Some("a group does not fit the registers of a workgroup")
        } else if lane_vectors > strategy::MAX_LANE_VECTORS {
            Some("a lane would have to run too many loop iterations")
        } else if slices[0].groups.elements() < problem.groups.elements() {
            Some("a group does not fit one binding")
        } else {
            None
        };
        if let Some(reason) = refused {
            return Err(Error::Strategy {
                strategy: strategy.name(),
                reason,
            });
        }
        let held = if resident {
            strategy::held(lane_vectors)
        } else {
            strategy::block(layout)
        };
        let chunk = strategy::chunk(layout, tile, vectors, caps);
        let job = |slice: Slice| Job {
            first: slice.first,
            elements: slice.elements,
            walk: slice.groups,
            layout,
            tile,
            parts: 1,
            first_part: 0,
            part_vectors: vectors,
            held,
            resident,
            chunk,
            by_channel: false,
            hold_affine: resident && chunk > 1 && problem.groups.same_partners(),
        };
        Ok(Self {
            problem,
            caps,
            view: View::Groups,
            jobs: slices.into_iter().map(job).collect(),
            parts: 1,
        })
    }

    /// A walk in parts. Without `forced`, a part is as long as the ladder says; a forced split has several parts
    /// even where one would do.
    pub(super) fn in_parts(
        problem: &'a Problem,
        caps: &'a Caps,
        view: View,
        forced: bool,
    ) -> Result<Self> {
        let (mut jobs, mut first_part, mut all_parts) = (Vec::new(), 0, 0);
        for slice in problem.slices(caps)? {
            let walk = view.of_slice(&slice);
            let layout = Layout::of(&walk);
            let vectors = layout.vectors(&walk);
            let mut most = strategy::max_part(layout, caps);
            if forced {
                most = most.min(vectors.div_ceil(3));
            }
            let (parts, part_vectors) = strategy::parts(vectors, most);
            let tile = strategy::tile(layout, part_vectors, Load::Forward, caps);
            jobs.push(Job {
                first: slice.first,
                elements: slice.elements,
                walk,
                layout,
                tile,
                parts,
                first_part,
                part_vectors,
                held: strategy::block(layout),
                resident: false,
                chunk: strategy::chunk(layout, tile, part_vectors, caps),
                by_channel: false,
                hold_affine: false,
            });
            all_parts = first_part + parts;
            // What comes after the last item are further parts of the first ones.
            if walk.first_item + walk.items == view.of(problem).items {
                first_part = all_parts;
            }
        }
        Ok(Self {
            problem,
            caps,
            view,
            jobs,
            parts: all_parts,
        })
    }

    /// Columns that fit the registers, of many groups one after the other: whole groups if `resident`.
    /// With `by_channel` the partial results are a number per channel and team, else per group and part.
    pub(super) fn columns(
        problem: &'a Problem,
        caps: &'a Caps,
        (resident, by_channel): (bool, bool),
    ) -> Result<Self> {
        let layout = Layout::of(&problem.groups);
        let vectors = layout.vectors(&problem.groups);
        let part_vectors = if resident {
            vectors
        } else {
            vectors.min(strategy::column_vectors(layout, caps))
        };
        let tile = strategy::tile(layout, part_vectors, Load::Backward, caps);
        let chunk = if by_channel {
            strategy::summed_chunk(problem)
        } else {
            strategy::chunk(layout, tile, part_vectors, caps)
        };
        let parts = vectors.div_ceil(part_vectors);
        let (mut jobs, mut teams) = (Vec::new(), 0);
        for slice in problem.slices(caps)? {
            jobs.push(Job {
                first: slice.first,
                elements: slice.elements,
                walk: slice.groups,
                layout,
                tile,
                parts,
                first_part: if by_channel { teams } else { 0 },
                part_vectors,
                held: strategy::held(part_vectors.div_ceil(tile.lanes)),
                resident,
                chunk,
                by_channel,
                hold_affine: !by_channel,
            });
            // Teams take one item each, then the next: only the last workgroup can have teams without any.
            let per_workgroup = chunk * tile.teams;
            let (full, rest) = (
                slice.groups.items / per_workgroup,
                slice.groups.items % per_workgroup,
            );
            teams += full * tile.teams + rest.min(tile.teams);
        }
        Ok(Self {
            problem,
            caps,
            view: View::Groups,
            jobs,
            parts: if by_channel { teams } else { parts },
        })
    }

    /// Items times parts.
    pub(super) const fn tasks(&self) -> u32 {
        self.view.of(self.problem).items * self.parts
    }

    /// The launches of `kernel`.
    pub(super) fn steps(&self, kernel: Kernel, optional: Slots) -> impl Iterator<Item = Step> {
        self.jobs
            .iter()
            .map(move |job| self.step(job, kernel, optional))
    }

    fn step(&self, job: &Job, kernel: Kernel, optional: Slots) -> Step {
        let (walk, p) = (job.walk, job.walk.partner);
        let (vector, lanes) = (job.layout.vector, job.tile.lanes);
        let channel_vector = vector == 4 && p.per_element != 0;
        // Where channels are loaded as vectors, partners count vectors too.
        let unit = if channel_vector { vector } else { 1 };
        let run_length = walk.run_length / vector;
        let all_items = self.view.of(self.problem).items;
        let (window, base) = self.window(job);
        let chunks = walk.items.div_ceil(job.chunk * job.tile.teams);
        // Partial results of one part: a number per item, or vectors of one per channel.
        let per_part = if job.by_channel {
            p.modulus / unit
        } else {
            all_items
        };
        let params = Params {
            chunk: job.chunk,
            chunks,
            items: walk.items,
            first_item: walk.first_item,
            all_items,
            first_partial: job.first_part * per_part,
            item_vectors: job.layout.vectors(&walk),
            part_vectors: job.part_vectors,
            base: base / vector,
            items_per_outer: walk.items_per_outer,
            outer_stride: walk.outer_stride / vector,
            item_stride: walk.item_stride / vector,
            run_length,
            run_stride: walk.run_stride / vector,
            step_runs: lanes / run_length,
            step_within: lanes % run_length,
            partner_first: p.first,
            partner_multiplier: p.multiplier / unit,
            partner_divisor: p.divisor,
            partner_modulus: p.modulus / unit,
            partner_per_run: p.per_run,
            partner_per_element: p.per_element,
            plane: self.parts * per_part,
            ..common_params(self.problem)
        };
        Step {
            kernel,
            variant: Variant {
                tile: job.tile,
                vector,
                held: job.held,
                resident: job.resident,
                one_run: walk.runs == 1,
                hold_affine: job.hold_affine,
                channel_vector,
                partner_constant: p.is_constant() || !(self.problem.weight || self.problem.bias),
                items_are_groups: self.view == View::Groups,
                centered: self.problem.centered,
                batch_statistics: self.problem.batch_statistics,
                cumulative: false,
                optional,
            },
            params,
            workgroups: chunks * job.parts,
            window,
            renamed: Vec::new(),
        }
    }

    /// The bytes of the tensor to bind for `job`, and the elements in them before the first of the slice.
    fn window(&self, job: &Job) -> (Option<Range<u64>>, u32) {
        if self.jobs.len() == 1 {
            return (None, 0);
        }
        let begin = 4 * u64::from(job.first);
        let aligned = begin - begin % u64::from(self.caps.offset_alignment.max(4));
        let window = aligned..begin + 4 * u64::from(job.elements);
        (Some(window), (begin - aligned) as u32 / 4)
    }
}

impl View {
    const fn of(self, problem: &Problem) -> Walk {
        match self {
            Self::Groups => problem.groups,
            Self::Channels => problem.channels,
        }
    }

    const fn of_slice(self, slice: &Slice) -> Walk {
        match self {
            Self::Groups => slice.groups,
            Self::Channels => slice.channels,
        }
    }
}
