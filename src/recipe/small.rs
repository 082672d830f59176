//! The launches that walk no tensor: one merges partial results, one has a lane per channel.

use super::Step;
use super::params::{common_params, walk_params};
use crate::activation::Activation;
use crate::caps::Caps;
use crate::geometry::{Partner, Problem, Walk};
use crate::kernel::{Kernel, Slot};
use crate::params::Params;
use crate::source::{Positions, Slots, Storage, Team, Tile, Variant};
use crate::strategy::{self, Layout, Load};

/// Partial results of a launch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partials {
    /// Their number.
    pub(super) number: u32,
    /// As many neighbours are those of one part of a group.
    pub(super) beside: u32,
}

impl Partials {
    /// One of each part of a group.
    pub(super) const fn apart(number: u32) -> Self {
        Self { number, beside: 1 }
    }
}

/// What a launch merges: partial results in planes of as many neighbours per item, one plane per part, in vectors of one each of `pack` items.
pub(super) const fn partials(items: u32, partials: Partials, pack: u32) -> Walk {
    let Partials { number, beside } = partials;
    let parts = number / items / beside;
    let items = items / pack;
    Walk {
        items,
        first_item: 0,
        items_per_outer: items,
        outer_stride: 0,
        item_stride: beside,
        runs: parts,
        run_length: beside,
        run_stride: items * beside,
        partner: Partner {
            first: 0,
            multiplier: 1,
            divisor: 1,
            modulus: items,
            per_run: 0,
            runs_per_partner: 1,
            per_element: 0,
        },
    }
}

/// A launch that merges the partial results of `walk`, `part` of an item at a time. With `packed` the walk's elements are vectors of
/// a number of each of four items.
pub(super) fn merge_step(
    problem: &Problem,
    caps: &Caps,
    kernel: Kernel,
    (walk, packed): (&Walk, bool),
    part: u32,
    optional: Slots,
) -> Step {
    let layout = Layout {
        vector: 1,
        across: walk.run_length == 1,
        apart: false,
    };
    let tile = strategy::tile(layout, part, Load::Forward, caps);
    let merged = walk.elements().div_ceil(part);
    let (params, _) = walk_params(problem, walk, layout, tile);
    let pack = if packed { 4 } else { 1 };
    Step {
        kernel,
        variant: Variant {
            vector: pack,
            packed,
            long_words: caps.long_words() && packed,
            partner_vector: packed,
            one_run: false,
            runs_of_one: params.run_length == 1,
            same_partners: false,
            ..plain_variant(problem, tile, optional)
        },
        params: Params {
            parts: merged,
            part_vectors: part,
            plane: walk.items * walk.elements(),
            groups: problem.groups.items / pack,
            ..params
        },
        workgroups: walk.items.div_ceil(tile.teams) * merged,
        window: None,
        renamed: Vec::new(),
    }
}

/// A launch of one lane for each of so many channels: `teams` channels per workgroup, or all of them in one.
pub(super) fn channel_step(
    problem: &Problem,
    caps: &Caps,
    (kernel, items): (Kernel, u32),
    single_workgroup: bool,
) -> Step {
    let tile = Tile {
        lanes: 1,
        teams: 256.min(caps.max_workgroup_size),
        team: Team::Single,
    };
    Step {
        kernel,
        variant: plain_variant(problem, tile, Slots::default()),
        params: Params {
            items,
            all_items: items,
            ..common_params(problem)
        },
        workgroups: if single_workgroup {
            1
        } else {
            items.div_ceil(tile.teams)
        },
        window: None,
        renamed: Vec::new(),
    }
}

/// The slots that are there because the layer has a weight or a bias.
pub(super) fn affine_slots(problem: &Problem) -> Slots {
    Slots::default()
        .with_if(problem.weight, Slot::Weight)
        .with_if(problem.bias, Slot::Bias)
}

const fn plain_variant(problem: &Problem, tile: Tile, optional: Slots) -> Variant {
    Variant {
        tile,
        vector: 1,
        packed: false,
        by_rows: false,
        row_blocks: false,
        affine_of_row: false,
        grouped_columns: false,
        affine_of_group: false,
        columns: 1,
        at_once: 1,
        held: 16,
        full: false,
        loads_once: false,
        resident: false,
        runs: false,
        one_run: true,
        runs_of_one: false,
        one_outer: true,
        same_partners: true,
        runs_share_partners: false,
        hold_affine: false,
        partner_vector: false,
        partner_constant: true,
        items_are_groups: true,
        centered: problem.centered,
        batch_statistics: problem.batch_statistics,
        cumulative: false,
        zero_centered_weight: false,
        activation: Activation::None,
        storage: Storage::F32,
        long_words: false,
        lengths: false,
        positions: Positions::Any,
        optional,
    }
}
