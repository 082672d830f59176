//! The rung between one subgroup and a split: the subgroups of a workgroup share a group and keep it in registers.

use super::{FEW_HELD, Layout, Load, Strategy, choose, held, in_fours, keeps_more};
use crate::caps::Caps;
use crate::geometry::Problem;
use crate::source::{Team, Tile};

/// The team for a group whose vectors do not fit the registers of one subgroup, and the vectors that each lane keeps, if a workgroup of a software
/// device can share it.
///
/// Each subgroup has a part of its own, and a workgroup one group, as to Mesa a barrier in a loop means that all of the loop is in memory. On lavapipe
/// without AVX-512, two cores, in percent of the speed of a copy:
///
/// | | shared | read twice |
/// |---|---|---|
/// | batch norm 32x64x56x56, forward and backward | 57, 60 | 48, 40 |
/// | batch norm 64x256x14x14 | 55, 58 | 49, 41 |
/// | instance norm 8x64x128x128 | 65, 67 | 51, 42 |
/// | group norm 16x128x32x32, forward | 66 | 47 |
///
/// What one subgroup can keep is faster there: 78 and 70 for groups of 2,048, 60 and 64 when shared. Lanes that keep 64 vectors instead of 32 gain a
/// point or two for twice the time to compile; subgroups whose vectors alternate run at 40 instead of 68. With AVX-512 it has not been measured.
pub(crate) fn shared(problem: &Problem, load: Load, caps: &Caps) -> Option<(Tile, u32)> {
    let groups = &problem.groups;
    let layout = Layout::of(groups);
    let (size, most) = caps.subgroups?;
    let in_columns = in_fours(problem, caps).is_some() || layout.across || layout.apart;
    let measured = caps.slow_loads && keeps_more(layout, caps) && size == most;
    if !measured || in_columns || problem.lengths.is_some() {
        return None;
    }
    let vectors = layout.vectors(groups);
    if choose(layout, vectors, load, caps) == Strategy::Resident {
        return None;
    }
    // A subgroup loads one weight and one bias.
    let one_channel = groups.partner.is_constant() || !(problem.weight || problem.bias);
    let unit = match load {
        _ if one_channel => vectors,
        Load::Forward if groups.partner.per_element == 0 => groups.run_length / layout.vector,
        _ => return None,
    };
    let mut kept = (FEW_HELD / 2..=FEW_HELD).rev();
    match kept.find(|kept| unit.is_multiple_of(kept * size)) {
        Some(kept) => team(size, vectors / size / kept, kept, caps),
        None if one_channel => uneven(size, vectors, caps),
        None => None,
    }
}

/// Lanes that have not all as many vectors.
fn uneven(size: u32, vectors: u32, caps: &Caps) -> Option<(Tile, u32)> {
    let of_lane = vectors.div_ceil(size);
    let subgroups = held(of_lane.div_ceil(FEW_HELD));
    team(size, subgroups, held(of_lane.div_ceil(subgroups)), caps)
}

fn team(size: u32, subgroups: u32, kept: u32, caps: &Caps) -> Option<(Tile, u32)> {
    let tile = Tile {
        lanes: subgroups * size,
        teams: 1,
        team: Team::Subgroups { size },
    };
    (tile.lanes <= caps.max_workgroup_size).then_some((tile, kept))
}
