//! Walks by columns: a team keeps what some columns of the tensor have in common, or sum up to, in registers, and goes through many rows.

use super::job::{Blocks, Job, Jobs};
use super::view::View;
use super::{STATISTICS_BYTES, SUMS_BYTES};
use crate::caps::Caps;
use crate::error::Result;
use crate::geometry::{Problem, Slice, Walk};
use crate::source::Tile;
use crate::strategy::{self, Layout, Load};

/// What a walk by rows makes: partial statistics or sums of columns, or a number for each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByRows {
    Statistics,
    Sums,
    Elements,
    /// Statistics of all rows, and each element from those, where a lane has so many columns.
    Groups {
        columns: u32,
    },
}

impl<'a> Jobs<'a> {
    /// Columns that fit the registers, of many groups one after the other: whole groups if `resident`.
    /// With `by_channel` the partial results are a number per channel and team, else per group and part.
    pub(super) fn columns(
        problem: &'a Problem,
        caps: &'a Caps,
        (resident, by_channel): (bool, bool),
    ) -> Result<Self> {
        let view = View::of_groups(problem, caps);
        let walk = view.of(problem);
        let layout = Layout::of(&walk);
        let vectors = layout.vectors(&walk);
        let part_vectors = if resident {
            vectors
        } else {
            vectors.min(strategy::column_vectors(layout, caps))
        };
        // Each team has partial results of its own, which for parts of long groups should be few.
        let apart = layout.apart && resident;
        let of_teams = Layout { apart, ..layout };
        let tile = strategy::tile(of_teams, part_vectors, Load::Backward, caps);
        let held = strategy::held(part_vectors.div_ceil(tile.lanes));
        let chunk = if by_channel {
            let rows = Walk {
                run_length: problem.channels.items,
                ..walk
            };
            strategy::summed_chunk(&rows, SUMS_BYTES)
        } else {
            strategy::column_chunk(&walk, vectors.div_ceil(part_vectors))
        };
        let columns = Columns {
            layout,
            tile,
            part_vectors,
            held,
            columns: 1,
            resident,
            chunk,
            by_channel,
        };
        columns.jobs(problem, caps, view)
    }

    /// Rows that the subgroups of a workgroup share, in as many launches as there are no more workgroups at a time than sums of the columns.
    pub(super) fn shared_rows(problem: &'a Problem, caps: &'a Caps) -> Result<Option<Self>> {
        let Some(shared) = strategy::shared_rows(problem, SUMS_BYTES, caps) else {
            return Ok(None);
        };
        let layout = Layout::of(&problem.groups);
        let row = problem.groups.elements();
        let launch = |slice: Slice, begin: u32| {
            let rows = shared.rows_of_launch().min(slice.groups.items - begin);
            Job {
                first: slice.first + begin * row,
                elements: rows * row,
                walk: Walk {
                    items: rows,
                    first_item: slice.groups.first_item + begin,
                    ..slice.groups
                },
                layout,
                tile: shared.tile,
                parts: 1,
                first_part: 0,
                part_vectors: layout.vectors(&problem.groups),
                held: shared.held,
                columns: 1,
                resident: true,
                chunk: shared.at_once,
                blocks: None,
                by_channel: true,
                in_blocks: false,
                at_once: true,
                hold_affine: false,
            }
        };
        let mut jobs: Vec<Job> = Vec::new();
        for slice in problem.slices(caps)? {
            let begins = (0..slice.groups.items).step_by(shared.rows_of_launch() as usize);
            jobs.extend(begins.map(|begin| launch(slice, begin)));
        }
        // No launch has more workgroups than the first one, and no slice more rows.
        let first = jobs.first().map_or(0, |job| job.walk.items);
        Ok(Some(Self {
            problem,
            caps,
            view: View::Groups,
            jobs,
            parts: first.div_ceil(shared.at_once),
        }))
    }

    /// Whether statistics and sums of groups are taken row by row: where groups are columns; and of each vector of columns, to be merged, where groups are
    /// short runs, but in no more than seven eighths of the scratch memory that a plan may take, 1 % of the tensor and 1 MiB.
    pub(super) fn sums_by_rows(problem: &Problem, caps: &Caps) -> bool {
        let bytes = |for_what, bytes: u32| {
            let number = Jobs::rows(problem, caps, for_what).map(|jobs| jobs.partials().number);
            number.map(|number| u64::from(bytes) * u64::from(number))
        };
        let few = || -> Result<bool> {
            let statistics = bytes(ByRows::Statistics, STATISTICS_BYTES)?;
            let sums = bytes(ByRows::Sums, SUMS_BYTES)?;
            let tensor = problem.dtype.bytes(problem.elements.into());
            let most = (tensor / 100 + (1 << 20)) / 8 * 7;
            Ok(statistics + sums <= most.min(caps.max_binding_size))
        };
        let groups = &problem.groups;
        strategy::by_rows(problem, caps)
            && (groups.run_length == 1
                || strategy::short_runs(groups, caps) && few().unwrap_or(false))
    }

    /// Columns that are groups, or several of which are one, row by row.
    pub(super) fn rows(problem: &'a Problem, caps: &'a Caps, for_what: ByRows) -> Result<Self> {
        let walk = View::Rows.of(problem);
        let layout = Layout::of(&walk);
        let tile = strategy::row_tile(caps);
        let vectors = layout.vectors(&walk);
        // No more text than narrow rows need.
        let of_row = vectors.div_ceil(tile.lanes).next_power_of_two();
        // Blocks of rows, eight or fewer wide pieces of them, which are kept for a second pass over them; else a row after the other. Pieces of 4 KB
        // for a processor to fetch ahead of, but as long as there are 64 of them: on lavapipe evaluation of batch norm of 256x1024
        // reaches 0.73 of the speed of a copy so, and 0.59 in pieces of 1 KB; with AVX-512 the backward pass of 64x256x14x14 takes 7.2 ms with
        // sums in pieces of 4 KB, 7.6 of 2 KB and 8.3 or more of 1 KB.
        // The text of wide ones takes others than lavapipe minutes to compile.
        let of_64th = if caps.long_words() { of_row / 64 } else { 0 };
        let (columns, held, of_lane) = match for_what {
            ByRows::Statistics => {
                let columns = of_64th.clamp(4, 16).min(of_row);
                let rows = 8.min(64 / columns);
                (columns, rows * columns, columns)
            }
            ByRows::Sums => {
                let of_lane = of_64th.clamp(8, 32).min(of_row);
                (1, of_lane, of_lane)
            }
            ByRows::Elements => (1, of_row.min(32), of_row.min(32)),
            ByRows::Groups { columns } => (columns, 8 * columns, columns),
        };
        let part_vectors = vectors.min(tile.lanes * of_lane);
        // The rows of a block, and what they are summed up to.
        let rows = Walk {
            items: problem.groups.runs,
            run_length: problem.groups.items * problem.groups.run_length,
            ..walk
        };
        let chunk = match for_what {
            ByRows::Statistics => strategy::summed_chunk(&rows, STATISTICS_BYTES),
            ByRows::Sums => strategy::summed_chunk(&rows, SUMS_BYTES),
            ByRows::Elements => {
                let chunk = strategy::column_chunk(&walk, vectors.div_ceil(part_vectors));
                chunk.min(rows.items)
            }
            ByRows::Groups { .. } => rows.items,
        };
        let columns = Columns {
            layout,
            tile,
            part_vectors,
            held,
            columns,
            resident: false,
            chunk,
            by_channel: true,
        };
        columns.jobs(problem, caps, View::Rows)
    }
}

/// A walk by columns: a team goes through a chunk of rows, of which it has a part each.
#[derive(Debug, Clone, Copy)]
struct Columns {
    layout: Layout,
    tile: Tile,
    part_vectors: u32,
    held: u32,
    columns: u32,
    resident: bool,
    chunk: u32,
    by_channel: bool,
}

impl Columns {
    /// Rows of a chunk where a slice has so many: no chunk more for what is left over, as far as a lane may walk.
    fn chunk_of(&self, rows: u32) -> u32 {
        // A row is one iteration: the loops over its vectors are unrolled.
        let most = strategy::MAX_LANE_VECTORS;
        // As many for all teams, if that is possible: the kernels then have nothing to test.
        let power = self.chunk.next_power_of_two();
        if power <= most && rows.is_multiple_of(power * self.tile.teams) {
            return power;
        }
        rows.div_ceil((rows / self.chunk).max(1)).min(most)
    }

    fn jobs<'a>(self, problem: &'a Problem, caps: &'a Caps, view: View) -> Result<Jobs<'a>> {
        let vectors = self.layout.vectors(&view.of(problem));
        let parts = vectors.div_ceil(self.part_vectors);
        let (mut jobs, mut teams): (Vec<Job>, u32) = (Vec::new(), 0);
        for slice in problem.slices(caps)? {
            let walk = view.of_slice(&slice);
            let blocks = (view == View::Rows).then(|| Blocks {
                first: slice.groups.first_item * slice.groups.run_length
                    / slice.groups.columns_per_block(),
                rows: slice.groups.runs,
            });
            if let Some(blocks) = blocks {
                // The same blocks in a slice before: these are further rows of them.
                let same = |job: &&Job| job.blocks.is_some_and(|own| own.first == blocks.first);
                let before = jobs.iter().rev().find(same);
                teams = before.map_or(0, Job::parts_until_here);
            }
            let chunk = self.chunk_of(blocks.map_or(walk.items, |blocks| blocks.rows));
            jobs.push(Job {
                first: slice.first,
                elements: slice.elements,
                walk,
                layout: self.layout,
                tile: self.tile,
                parts,
                first_part: if self.by_channel { teams } else { 0 },
                part_vectors: self.part_vectors,
                held: self.held,
                columns: self.columns,
                resident: self.resident,
                chunk,
                by_channel: self.by_channel,
                blocks,
                in_blocks: false,
                at_once: false,
                hold_affine: !self.by_channel,
            });
            if blocks.is_some() {
                continue;
            }
            // Teams take one item each, then the next: only the last workgroup can have teams without any.
            let per_workgroup = chunk * self.tile.teams;
            let (full, rest) = (walk.items / per_workgroup, walk.items % per_workgroup);
            teams += full * self.tile.teams + rest.min(self.tile.teams);
        }
        if view == View::Rows {
            let all = jobs.iter().map(Job::parts_until_here);
            teams = all.max().unwrap_or(0);
        }
        Ok(Jobs {
            problem,
            caps,
            view,
            jobs,
            parts: if self.by_channel { teams } else { parts },
        })
    }
}
