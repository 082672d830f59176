//! The index arithmetic of shaders/lib/walk.wgsl, in Rust, from the same parameters, with overflow checks.

use wgpu_norm::recipe::Step;
use wgpu_norm::source::Team;

/// What a lane finds at one of its vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Where the vector lies in the binding.
    pub(crate) offset: u32,
    /// Number of its item in the whole tensor.
    pub(crate) item: u32,
    pub(crate) partner: u32,
    /// Where the partial result of its task goes.
    pub(crate) partial: u32,
}

/// What one lane does: `visit` gets each of its vectors. Returns their number.
fn lane(step: &Step, index: u32, lane: u32, visit: &mut impl FnMut(Found)) -> u32 {
    let (p, lanes) = (&step.params, step.variant.tile.lanes);
    let (part, local) = (index / p.items, index % p.items);
    let outer = local / p.items_per_outer;
    let inner = local - outer * p.items_per_outer;
    let base = p.base + outer * p.outer_stride + inner * p.item_stride;
    let item = p.first_item + local;
    let partial = p.first_partial + part * p.all_items + item;
    let partner_of_item =
        p.partner_first + item * p.partner_multiplier / p.partner_divisor % p.partner_modulus;
    // A lane without vectors stops after this; the compiler may load what it would load first, that of the first vector.
    let begin = part * p.part_vectors;
    let end = (begin + p.part_vectors).min(p.item_vectors);
    let first = begin + lane;
    if index >= p.tasks || first >= end {
        return 0;
    }
    let vectors = (end - first).div_ceil(lanes);
    let mut run = first / p.run_length;
    let mut within = first - run * p.run_length;
    for _ in 0..vectors {
        assert!(run == 0 || !step.variant.one_run, "{step:#?}");
        visit(Found {
            offset: base + run * p.run_stride + within,
            item,
            partner: partner_of_item + run * p.partner_per_run + within * p.partner_per_element,
            partial,
        });
        run += p.step_runs;
        within += p.step_within;
        if within >= p.run_length {
            within -= p.run_length;
            run += 1;
        }
    }
    vectors
}

/// All lanes of all workgroups that are dispatched; returns the most vectors of one lane.
pub(crate) fn walk(step: &Step, workgroups: u32, mut visit: impl FnMut(Found)) -> u32 {
    let tile = step.variant.tile;
    let mut most = 0;
    for workgroup in 0..workgroups {
        for k in 0..tile.tasks_per_team {
            for local in 0..tile.workgroup_size() {
                let (lane_index, team) = match tile.team {
                    Team::Workgroup { across: true } => (local / tile.teams, local % tile.teams),
                    _ => (local % tile.lanes, local / tile.lanes),
                };
                let index = (workgroup * tile.tasks_per_team + k) * tile.teams + team;
                most = most.max(lane(step, index, lane_index, &mut visit));
            }
        }
    }
    most
}

/// The partial results that a merging launch reads, by index.
pub(crate) fn merge(step: &Step, mut visit: impl FnMut(u32)) {
    let (p, lanes) = (&step.params, step.variant.tile.lanes);
    for index in 0..p.tasks {
        let begin = index / p.items * p.part_vectors;
        let end = (begin + p.part_vectors).min(p.item_vectors);
        for lane in 0..lanes {
            for part in (begin + lane..end).step_by(lanes as usize) {
                visit(part * p.items + index % p.items);
            }
        }
    }
}
