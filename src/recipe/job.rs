//! One walk over a tensor, laid out for a device: the part of a launch that all kernels share.

use std::ops::Range;

use super::Step;
use super::params::walk_params;
use super::small::Partials;
use super::view::View;
use crate::activation::Activation;
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Problem, Slice, Walk};
use crate::kernel::Kernel;
use crate::params::Params;
use crate::source::{Positions, Slots, Storage, Team, Tile, Variant};
use crate::strategy::{self, Layout, Load, Strategy};

/// The walk over one slice of the tensor, spread over parts, teams and lanes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Elements of the tensor before the slice, and in it.
    pub(super) first: u32,
    pub(super) elements: u32,
    pub(super) walk: Walk,
    pub(super) layout: Layout,
    pub(super) tile: Tile,
    pub(super) parts: u32,
    /// Number of the first part, of all that the items have in the whole tensor.
    pub(super) first_part: u32,
    pub(super) part_vectors: u32,
    pub(super) held: u32,
    /// Columns of which a lane holds several vectors each.
    pub(super) columns: u32,
    pub(super) resident: bool,
    /// Items that a team takes, one after the other.
    pub(super) chunk: u32,
    /// Where items are rows, how these share groups.
    pub(super) blocks: Option<Blocks>,
    /// The partial results are per channel, one for each team, not per item.
    pub(super) by_channel: bool,
    /// A lane sums up `held` vectors at a time, until it has all of its share.
    pub(super) in_blocks: bool,
    /// The items of a team are taken at once, not one after the other.
    pub(super) at_once: bool,
    /// Weight and bias are the same for all items of a team, which keeps them.
    pub(super) hold_affine: bool,
}

impl Job {
    /// Partial results of a column of rows, those of the slices before included.
    pub(super) fn parts_until_here(&self) -> u32 {
        let chunks = self
            .blocks
            .map_or(0, |blocks| blocks.rows.div_ceil(self.chunk));
        self.first_part + chunks
    }

    /// Whether each lane has `held` vectors, or in blocks a multiple of them, in every task of a launch over items of so many vectors. It depends on
    /// the number of items: for software devices alone, whose compilers round both texts alike; others may fuse operations of one and not of the other.
    fn is_full(&self, kernel: Kernel, item_vectors: u32, rows: u32, caps: &Caps) -> bool {
        // Statistics of columns hold several rows of each.
        let of_columns = matches!(kernel, Kernel::Statistics | Kernel::NormalizeGroups);
        let (held, held_rows) = match self.blocks.is_some() && of_columns {
            true => (self.columns, self.held / self.columns),
            false => (self.held, 1),
        };
        let of_team = self.tile.lanes * held;
        let lanes_are = match self.in_blocks {
            true => self.part_vectors.is_multiple_of(of_team),
            false => self.part_vectors == of_team,
        };
        // Untested, more than 16 vectors with a weight and a bias each are all loaded before the first is used: layer norm of 4096x768 takes 8 %
        // longer on lavapipe, but not in words of 64 bits.
        let too_many = self.hold_affine && self.resident && self.held > 16 && !caps.long_words();
        !too_many
            && lanes_are
            && item_vectors.is_multiple_of(self.part_vectors)
            && rows.is_multiple_of(self.chunk * self.tile.teams)
            && self.chunk.is_multiple_of(held_rows)
    }
}

/// Rows in blocks, whose columns are groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks {
    /// Number of the first block of the slice in the whole tensor.
    pub(super) first: u32,
    /// Rows of each that lie in the slice.
    pub(super) rows: u32,
}

/// The walk over the whole tensor: one kernel, launched for each slice.
#[derive(Debug, Clone)]
pub(super) struct Jobs<'a> {
    pub(super) problem: &'a Problem,
    pub(super) caps: &'a Caps,
    pub(super) view: View,
    pub(super) jobs: Vec<Job>,
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
        let view = View::of_groups(problem, caps);
        let walk = view.of(problem);
        let layout = Layout::of(&walk);
        let vectors = layout.vectors(&walk);
        let resident = strategy == Strategy::Resident;
        let shared = strategy::shared(problem, load, caps).filter(|_| resident);
        let own = strategy::tile(layout, vectors, load, caps);
        let tile = shared.map_or(own, |(tile, _)| tile);
        let lane_vectors = vectors.div_ceil(tile.lanes);
        let slices = problem.slices(caps)?;
        let too_many = lane_vectors > strategy::max_held(layout, load, caps);
        let refused = if resident && shared.is_none() && too_many {
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
        let held = match shared {
            Some((_, held)) => held,
            None if resident => strategy::held(lane_vectors),
            None => strategy::block(layout),
        };
        let chunk = match shared {
            Some(_) => 1,
            None => strategy::chunk(layout, tile, (walk.items, vectors), caps),
        };
        let job = |slice: Slice| Job {
            first: slice.first,
            elements: slice.elements,
            walk: view.of_slice(&slice),
            layout,
            tile,
            parts: 1,
            first_part: 0,
            part_vectors: vectors,
            held,
            columns: 1,
            resident,
            chunk,
            blocks: None,
            by_channel: false,
            in_blocks: !resident,
            at_once: false,
            hold_affine: resident && chunk > 1 && strategy::same_partners(problem, caps),
        };
        Ok(Self {
            problem,
            caps,
            view,
            jobs: slices.into_iter().map(job).collect(),
            parts: 1,
        })
    }

    /// Whole groups of several channels in registers.
    pub(super) fn held_channels(problem: &'a Problem, caps: &'a Caps) -> Result<Self> {
        let mut jobs = Self::whole_groups(problem, caps, Load::Backward, Strategy::Resident)?;
        for job in &mut jobs.jobs {
            let (columns, vectors, _) = strategy::channel_columns(&job.walk, job.layout);
            job.columns = columns;
            job.held = columns * strategy::held(vectors.div_ceil(job.tile.lanes));
            job.hold_affine = false;
        }
        Ok(jobs)
    }

    /// A walk in parts. Without `forced`, a part is as long as the ladder says; a forced split has several parts
    /// even where one would do.
    pub(super) fn in_parts(
        problem: &'a Problem,
        caps: &'a Caps,
        view: View,
        forced: bool,
    ) -> Result<Self> {
        let (mut jobs, mut all_parts): (Vec<Job>, u32) = (Vec::new(), 0);
        for slice in problem.slices(caps)? {
            let walk = view.of_slice(&slice);
            let layout = Layout::of(&walk);
            let vectors = layout.vectors(&walk);
            let mut most = strategy::max_part(layout, caps);
            if forced {
                most = most.min(vectors.div_ceil(3));
            }
            let mut parts = strategy::parts(vectors, most);
            let tile = strategy::tile(layout, parts.1, Load::Forward, caps);
            let block = strategy::block(layout);
            if caps.cpu {
                // Nothing to test where all lanes have as many blocks.
                parts = strategy::equal_parts(vectors, parts, tile.lanes * block);
            }
            let (parts, part_vectors) = parts;
            // The same items in a slice before: these are further parts of them.
            let same = |job: &&Job| job.walk.first_item == walk.first_item;
            let before = jobs.iter().rev().find(same);
            let first_part = before.map_or(0, |job| job.first_part + job.parts);
            jobs.push(Job {
                first: slice.first,
                elements: slice.elements,
                walk,
                layout,
                tile,
                parts,
                first_part,
                part_vectors,
                held: block,
                columns: 1,
                resident: false,
                chunk: strategy::chunk(layout, tile, (walk.items, part_vectors), caps),
                blocks: None,
                by_channel: false,
                in_blocks: true,
                at_once: false,
                hold_affine: false,
            });
            all_parts = all_parts.max(first_part + parts);
        }
        Ok(Self {
            problem,
            caps,
            view,
            jobs,
            parts: all_parts,
        })
    }

    /// Whether there is one sum of each channel and slice: that of its only part, or of the one team that goes through all groups of the slice.
    pub(super) fn sum_channels_once(&self) -> bool {
        // Each is added to those before, one after the other.
        const MOST_SLICES: usize = 64;
        let whole = self.view.of(self.problem).elements();
        let mut jobs = self.jobs.iter();
        let once = match self.view {
            View::Channels => jobs.all(|job| job.parts == 1),
            // Sums of columns, which need not be channels.
            View::Rows | View::Runs => false,
            View::Groups | View::Fours => {
                let of_all_channels = |job: &Job| job.by_channel && job.walk.elements() == whole;
                self.parts as usize == self.jobs.len() && jobs.all(of_all_channels)
            }
        };
        once && self.jobs.len() <= MOST_SLICES
    }

    /// Partial results: each part's of all items, or each team's of all channels.
    pub(super) fn partials(&self) -> Partials {
        let by_channel = self.jobs.iter().all(|job| job.by_channel);
        let groups = &self.problem.groups;
        let (items, beside) = match self.view {
            View::Rows if self.affine_of_group() => {
                let vectors = groups.run_length / self.jobs[0].layout.vector;
                (groups.items * vectors, vectors)
            }
            View::Rows => (groups.items * groups.run_length, 1),
            _ if by_channel => (self.problem.channels.items, 1),
            View::Fours => (groups.items, 1),
            view => (view.of(self.problem).items, 1),
        };
        Partials {
            number: items * self.parts,
            beside,
        }
    }

    /// Whether items are rows, and groups several columns of one channel.
    const fn affine_of_group(&self) -> bool {
        let groups = &self.problem.groups;
        matches!(self.view, View::Rows) && groups.run_length > 1 && groups.partner.is_constant()
    }

    /// The launches of `kernel`.
    pub(super) fn steps(&self, kernel: Kernel, optional: Slots) -> impl Iterator<Item = Step> {
        self.jobs
            .iter()
            .map(move |job| self.step(job, kernel, optional))
    }

    fn step(&self, job: &Job, kernel: Kernel, optional: Slots) -> Step {
        let (walk, layout) = (job.walk, job.layout);
        let (params, partner_vector) = walk_params(self.problem, &walk, layout, job.tile);
        let (by_rows, fours) = (self.view == View::Rows, self.view == View::Fours);
        let p = walk.partner;
        let groups = &self.problem.groups;
        let columns_per_group = if by_rows { groups.run_length } else { 1 };
        let grouped_columns = columns_per_group > 1;
        // Rows have no numbers of their own, their columns have.
        let all_items = match by_rows {
            true => groups.items * columns_per_group / layout.vector,
            false => self.view.of(self.problem).items,
        };
        let (window, base) = self.window(job);
        let blocks = job.blocks.unwrap_or(Blocks {
            first: 0,
            rows: walk.items,
        });
        let chunks_per_block = blocks.rows.div_ceil(job.chunk * job.tile.teams);
        let chunks = walk.items / blocks.rows * chunks_per_block;
        // Partial results of one part: a number per item or channel of it, or vectors of one per channel.
        let per_part = if job.by_channel && !by_rows {
            params.partner_modulus
        } else if kernel == Kernel::GradInputChannels {
            let (columns, _, channels) = strategy::channel_columns(&walk, layout);
            all_items * columns * channels
        } else {
            all_items
        };
        // Partners of a walk over channels.
        let groups_differ = self.view == View::Channels;
        let affine_of_row = by_rows && groups.partner.per_run != 0;
        let affine_of_group = self.affine_of_group();
        let params = Params {
            chunk: job.chunk,
            parts: job.parts,
            all_items,
            items_per_group: match self.view {
                View::Runs => groups.runs,
                View::Rows if grouped_columns => columns_per_group / layout.vector,
                _ => 1,
            },
            first_partial: job.first_part * per_part + blocks.first * params.partner_modulus,
            part_vectors: job.part_vectors,
            base: base / layout.vector,
            groups: match fours || partner_vector && (groups_differ || by_rows && !grouped_columns)
            {
                true => groups.items / layout.vector,
                false => groups.items,
            },
            rows_per_block: blocks.rows,
            chunks_per_block,
            first_block: blocks.first,
            first_element: job.first - base,
            plane: self.parts * per_part,
            ..params
        };
        let full =
            self.caps.cpu && job.is_full(kernel, params.item_vectors, blocks.rows, self.caps);
        let mut step = Step {
            kernel,
            variant: Variant {
                tile: job.tile,
                vector: layout.vector,
                packed: by_rows && !affine_of_group || fours,
                by_rows,
                row_blocks: by_rows && (all_items > params.partner_modulus || affine_of_row),
                affine_of_row,
                grouped_columns,
                affine_of_group,
                columns: job.columns,
                at_once: if job.at_once { job.chunk } else { 1 },
                held: job.held,
                full,
                resident: job.resident,
                runs: self.view == View::Runs,
                one_run: walk.runs == 1,
                runs_of_one: walk.runs > 1 && params.run_length == 1,
                one_outer: walk.items_per_outer >= walk.items,
                same_partners: p.multiplier.is_multiple_of(p.modulus),
                runs_share_partners: p.runs_per_partner > 1,
                hold_affine: job.hold_affine,
                loads_once: strategy::loads_once(job.tile, self.caps),
                partner_vector: partner_vector && !affine_of_row && !affine_of_group,
                partner_constant: p.is_constant()
                    || matches!(job.tile.team, Team::Subgroups { .. }) && !job.at_once
                    || fours && p.per_run == 0
                    || !(self.problem.weight || self.problem.bias),
                items_are_groups: self.view != View::Channels,
                centered: self.problem.centered,
                batch_statistics: self.problem.batch_statistics,
                cumulative: false,
                zero_centered_weight: false,
                activation: Activation::None,
                storage: Storage::of(self.problem.dtype, self.caps),
                long_words: self.caps.long_words() && layout.vector == 4,
                lengths: false,
                positions: Positions::Any,
                optional,
            },
            params,
            workgroups: chunks * job.parts,
            window,
            renamed: Vec::new(),
        };
        // Workgroups that only fill the grid have no tasks.
        let [x, y] = step.grid(self.caps);
        step.variant.full &= x * y == step.workgroups;
        step
    }

    /// The bytes of the tensor to bind for `job`, and the elements in them before the first of the slice.
    fn window(&self, job: &Job) -> (Option<Range<u64>>, u32) {
        let dtype = self.problem.dtype;
        if dtype.bytes(self.problem.elements.into()) <= self.caps.max_binding_size {
            return (None, job.first);
        }
        let begin = dtype.size() * u64::from(job.first);
        let aligned = begin - begin % u64::from(self.caps.offset_alignment.max(4));
        let before = (begin - aligned) / dtype.size();
        let window = aligned..aligned + dtype.bytes(before + u64::from(job.elements));
        (Some(window), before as u32)
    }
}
