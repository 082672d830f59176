//! The index arithmetic of shaders/lib/walk.wgsl, in Rust, from the same parameters, with overflow checks.

use wgpu_norm::kernel::{Kernel, Slot};
use wgpu_norm::recipe::Step;
use wgpu_norm::source::Team;

/// What a lane finds at one of its vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Where the vector lies in the binding.
    pub(crate) offset: u32,
    /// Number of its item in the whole tensor, of the group that this is a run of, or of the block that this is a row of.
    pub(crate) group: u32,
    /// Number of a row in its block.
    pub(crate) row: u32,
    pub(crate) partner: u32,
    /// Where the partial result of its task goes, or those of its channels.
    pub(crate) partial: u32,
    pub(crate) partials: u32,
}

/// The item that a team takes in `row` of a workgroup, and its part.
fn team(step: &Step, workgroup: u32, row: u32, team: u32) -> (u32, u32) {
    let (p, teams) = (&step.params, step.variant.tile.teams);
    let (chunk, part) = (workgroup / p.parts, workgroup % p.parts);
    if step.variant.row_blocks {
        assert_eq!(teams, 1, "{step:#?}");
        let (block, of_block) = (chunk / p.chunks_per_block, chunk % p.chunks_per_block);
        let row = of_block * p.chunk + row;
        let number = match row < p.rows_per_block {
            true => block * p.rows_per_block + row,
            false => p.items,
        };
        return (part, number);
    }
    (part, (chunk * p.chunk + row) * teams + team)
}

/// What one lane does: `visit` gets each of its vectors. Returns their number.
fn lane(step: &Step, (part, number): (u32, u32), lane: u32, visit: &mut impl FnMut(Found)) -> u32 {
    let (p, tile) = (&step.params, step.variant.tile);
    let (lanes, apart) = (tile.lanes, tile.step());
    let local = number.min(p.items - 1);
    let outer = local / p.items_per_outer;
    let inner = local - outer * p.items_per_outer;
    let base = p.base + outer * p.outer_stride + inner * p.item_stride;
    let item = p.first_item + local;
    let partial = p.first_partial + part * p.all_items + item;
    let (block, row) = (local / p.rows_per_block, local % p.rows_per_block);
    let group = match step.variant {
        variant if variant.by_rows => p.first_block + block,
        variant if variant.runs => item / p.items_per_group,
        _ => item,
    };
    let partner_of_item =
        p.partner_first + item / p.partner_divisor * p.partner_multiplier % p.partner_modulus;
    // A lane without vectors stops after this; the compiler may load what it would load first, that of the first vector.
    let begin = part * p.part_vectors;
    let end = (begin + p.part_vectors).min(p.item_vectors);
    // Each subgroup has a part of its own.
    let of_subgroup = apart * step.variant.held;
    let (first, end) = match tile.team {
        Team::Subgroups { .. } => {
            let begin = begin + lane / apart * of_subgroup;
            (begin + lane % apart, end.min(begin + of_subgroup))
        }
        _ => (begin + lane, end),
    };
    if number >= p.items || first >= end {
        assert!(!step.variant.full, "{step:#?}");
        return 0;
    }
    let vectors = (end - first).div_ceil(apart);
    if step.kernel == Kernel::GradInputChannels {
        let (columns, partner) = (step.variant.columns, partner_of_item);
        assert_eq!(step.variant.held % columns, 0, "{step:#?}");
        // Runs, or what lies at the same place of each.
        let last = step.variant.partner_vector;
        let (length, rows) = (p.item_vectors / columns, step.variant.held / columns);
        let of_column = if last { 1 } else { p.run_length };
        assert!(
            last && p.run_length == columns || of_column == length,
            "{step:#?}"
        );
        assert!(
            length >= lanes && columns * length == p.item_vectors,
            "{step:#?}"
        );
        let of_lane = (length - lane).div_ceil(lanes);
        assert!(of_lane <= rows, "{step:#?}");
        assert!(of_lane == rows || !step.variant.full, "{step:#?}");
        let channels = if last { 4 } else { 1 };
        for column in 0..columns {
            for k in 0..of_lane {
                let at = lane + k * lanes;
                let (run, within) = if last { (at, column) } else { (column, at) };
                visit(Found {
                    offset: base + run * p.run_stride + within,
                    group: item,
                    row,
                    partner: partner + run * p.partner_per_run + within * p.partner_per_element,
                    partial: (item * columns + column) * channels,
                    partials: channels,
                });
            }
        }
        return columns * of_lane;
    }
    if step.variant.full {
        let (held, columns) = (step.variant.held, step.variant.columns);
        let of_columns = [Kernel::Statistics, Kernel::NormalizeGroups];
        if step.variant.by_rows && of_columns.contains(&step.kernel) {
            assert_eq!(vectors, columns, "{step:#?}");
            assert!(p.chunk.is_multiple_of(held / columns), "{step:#?}");
        } else {
            assert!(vectors.is_multiple_of(held), "{step:#?}");
            assert!(vectors == held || !step.variant.resident);
        }
    }
    let affine = [Slot::Weight, Slot::Bias, Slot::Affine];
    let has_affine = affine.map(|slot| step.variant.optional.contains(slot)) != [false; 3];
    let mut run = first / p.run_length;
    let mut within = first - run * p.run_length;
    for _ in 0..vectors {
        assert!(run == 0 || !step.variant.one_run, "{step:#?}");
        assert!(within == 0 || !step.variant.runs_of_one, "{step:#?}");
        let partner_run = match step.variant.runs_share_partners {
            true => run / p.runs_per_partner,
            false => run,
        };
        let partner =
            partner_of_item + partner_run * p.partner_per_run + within * p.partner_per_element;
        if has_affine
            && step.kernel != Kernel::GradRows
            && matches!(tile.team, Team::Subgroups { .. })
        {
            assert!(step.variant.partner_constant, "{step:#?}");
            // The first lane of the subgroup loads weight and bias for all of it.
            let run = (first - lane % apart) / p.run_length;
            assert_eq!(partner, partner_of_item + run * p.partner_per_run);
        }
        visit(Found {
            offset: base + run * p.run_stride + within,
            group,
            row,
            partner,
            partial,
            partials: 1,
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
    let columns = [Kernel::GradColumns, Kernel::GradRows].contains(&step.kernel);
    let by_channel = columns || step.variant.by_rows;
    let mut most = 0;
    for workgroup in 0..workgroups {
        for row in 0..step.params.chunk {
            for local in 0..tile.workgroup_size() {
                let (lane_index, team_index) = match tile.team {
                    Team::Workgroup { across: true } => (local / tile.teams, local % tile.teams),
                    _ => (local % tile.lanes, local / tile.lanes),
                };
                let task = team(step, workgroup, row, team_index);
                let chunk = workgroup / step.params.parts;
                let first = match step.variant.row_blocks {
                    true => {
                        let chunks = step.params.chunks_per_block;
                        chunk % chunks * step.params.all_items
                            + chunk / chunks * step.params.partner_modulus
                    }
                    false => (chunk * tile.teams + team_index) * step.params.partner_modulus,
                };
                most = most.max(lane(step, task, lane_index, &mut |found| {
                    visit(match by_channel {
                        true => Found {
                            partial: step.params.first_partial + first + found.partner,
                            ..found
                        },
                        false => found,
                    });
                }));
            }
        }
    }
    most
}

/// The partial results that a merging launch reads, and where their sum goes, by index.
pub(crate) fn merge(step: &Step, mut visit: impl FnMut(u32, u32)) {
    let tile = step.variant.tile;
    for workgroup in 0..step.workgroups {
        for team_index in 0..tile.teams {
            let task = team(step, workgroup, 0, team_index);
            for lane_index in 0..tile.lanes {
                lane(step, task, lane_index, &mut |found| {
                    visit(found.offset, found.partial);
                });
            }
        }
    }
}
