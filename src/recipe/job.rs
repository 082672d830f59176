//! One walk over a tensor, laid out for a device: the part of a launch that all kernels share.

use super::Step;
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Problem, Walk};
use crate::kernel::{Kernel, Slot};
use crate::params::Params;
use crate::source::{Slots, Team, Tile, Variant};
use crate::strategy::{self, Layout, Load, Strategy};

/// A walk spread over parts, teams and lanes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    problem: &'a Problem,
    walk: Walk,
    layout: Layout,
    tile: Tile,
    pub(super) parts: u32,
    part_vectors: u32,
    held: u32,
    resident: bool,
}

impl<'a> Job<'a> {
    /// Whole groups, one team each. `strategy` says whether they stay in registers.
    pub(super) fn whole_groups(
        problem: &'a Problem,
        caps: &Caps,
        load: Load,
        strategy: Strategy,
    ) -> Result<Self> {
        let layout = Layout::of(&problem.groups);
        let vectors = layout.vectors(&problem.groups);
        let tile = strategy::tile(layout, vectors, load, caps);
        let lane_vectors = vectors.div_ceil(tile.lanes);
        let resident = strategy == Strategy::Resident;
        let refused = if resident && lane_vectors > strategy::max_held(layout, load, caps) {
            Some("a group does not fit the registers of a workgroup")
        } else if lane_vectors > strategy::MAX_LANE_VECTORS {
            Some("a lane would have to run too many loop iterations")
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
        Ok(Self {
            problem,
            walk: problem.groups,
            layout,
            tile,
            parts: 1,
            part_vectors: vectors,
            held,
            resident,
        })
    }

    /// A walk in parts. Without `forced`, a part is as long as the ladder says; a forced split has several parts
    /// even where one would do.
    pub(super) fn in_parts(problem: &'a Problem, walk: Walk, caps: &Caps, forced: bool) -> Self {
        let layout = Layout::of(&walk);
        let vectors = layout.vectors(&walk);
        let mut most = strategy::max_part(layout, caps);
        if forced {
            most = most.min(vectors.div_ceil(3));
        }
        let (parts, part_vectors) = strategy::parts(vectors, most);
        Self {
            problem,
            walk,
            layout,
            tile: strategy::tile(layout, part_vectors, Load::Forward, caps),
            parts,
            part_vectors,
            held: strategy::block(layout),
            resident: false,
        }
    }

    pub(super) const fn tasks(&self) -> u32 {
        self.walk.items * self.parts
    }

    /// The launch of `kernel` over this walk.
    pub(super) fn step(&self, kernel: Kernel, optional: Slots) -> Step {
        let items_are_groups = self.walk == self.problem.groups;
        let p = self.walk.partner;
        let (vector, lanes) = (self.layout.vector, self.tile.lanes);
        let channel_vector = vector == 4 && p.per_element != 0;
        // Where channels are loaded as vectors, partners count vectors too.
        let unit = if channel_vector { vector } else { 1 };
        let run_length = self.walk.run_length / vector;
        let params = Params {
            items: self.walk.items,
            tasks: self.tasks(),
            item_vectors: self.layout.vectors(&self.walk),
            part_vectors: self.part_vectors,
            items_per_outer: self.walk.items_per_outer,
            outer_stride: self.walk.outer_stride / vector,
            item_stride: self.walk.item_stride / vector,
            run_length,
            run_stride: self.walk.run_stride / vector,
            step_runs: lanes / run_length,
            step_within: lanes % run_length,
            partner_multiplier: p.multiplier / unit,
            partner_divisor: p.divisor,
            partner_modulus: p.modulus / unit,
            partner_per_run: p.per_run,
            partner_per_element: p.per_element,
            plane: self.tasks(),
            ..common_params(self.problem)
        };
        Step {
            kernel,
            variant: Variant {
                tile: self.tile,
                vector,
                held: self.held,
                resident: self.resident,
                channel_vector,
                partner_constant: p.is_constant() || !(self.problem.weight || self.problem.bias),
                items_are_groups,
                centered: self.problem.centered,
                batch_statistics: self.problem.batch_statistics,
                cumulative: false,
                optional,
            },
            params,
            workgroups: workgroups(&self.tile, self.tasks()),
            renamed: Vec::new(),
        }
    }
}

/// A launch that merges `parts` partial results of each of `items` items, `part` at a time.
pub(super) fn merge_step(
    problem: &Problem,
    caps: &Caps,
    kernel: Kernel,
    items: u32,
    (parts, part): (u32, u32),
    optional: Slots,
) -> Step {
    let layout = Layout {
        vector: 1,
        across: true,
    };
    let tile = Tile {
        tasks_per_team: 1,
        ..strategy::tile(layout, part, Load::Forward, caps)
    };
    let tasks = items * parts.div_ceil(part);
    Step {
        kernel,
        variant: plain_variant(problem, tile, optional),
        params: Params {
            items,
            tasks,
            item_vectors: parts,
            part_vectors: part,
            plane: items * parts,
            ..common_params(problem)
        },
        workgroups: workgroups(&tile, tasks),
        renamed: Vec::new(),
    }
}

/// A launch of one lane per channel: `teams` channels per workgroup, or all of them in one.
pub(super) fn channel_step(
    problem: &Problem,
    caps: &Caps,
    kernel: Kernel,
    single_workgroup: bool,
) -> Step {
    let items = problem.channels.items;
    let tile = Tile {
        lanes: 1,
        teams: 256.min(caps.max_workgroup_size),
        tasks_per_team: 1,
        team: Team::Single,
    };
    Step {
        kernel,
        variant: plain_variant(problem, tile, Slots::default()),
        params: Params {
            items,
            tasks: items,
            ..common_params(problem)
        },
        workgroups: if single_workgroup {
            1
        } else {
            workgroups(&tile, items)
        },
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
        held: 16,
        resident: false,
        channel_vector: false,
        partner_constant: true,
        items_are_groups: true,
        centered: problem.centered,
        batch_statistics: problem.batch_statistics,
        cumulative: false,
        optional,
    }
}

fn common_params(problem: &Problem) -> Params {
    let count = f64::from(problem.groups.elements());
    let (eps_scale, eps_in_scale) = scaled(problem.eps);
    Params {
        items_per_outer: 1,
        run_length: 1,
        partner_divisor: 1,
        partner_modulus: 1,
        groups: problem.groups.items,
        count: count as f32,
        eps_scale: eps_scale as f32,
        eps_in_scale: eps_in_scale as f32,
        unbiased: (count / (count - 1.0)) as f32,
        scale: 1.0,
        ..Params::default()
    }
}

/// A power of two near the square root of `eps`, and `eps` in units of its square; zeros for zero.
fn scaled(eps: f64) -> (f64, f64) {
    // The scales of the shaders end at 2^-126; an eps below its square is lost beside any variance but 0.
    let scale = eps.sqrt().log2().floor().max(-126.0).exp2();
    if eps == 0.0 {
        (0.0, 0.0)
    } else {
        (scale, eps / (scale * scale))
    }
}

const fn workgroups(tile: &Tile, tasks: u32) -> u32 {
    tasks.div_ceil(tile.teams * tile.tasks_per_team)
}
