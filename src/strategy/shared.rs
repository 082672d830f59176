//! The rung between one subgroup and a split: the subgroups of a workgroup share a group and keep it in registers.

use super::{
    FEW_HELD, Layout, Load, Strategy, choose, held, in_fours, keeps_more, largest_power_of_two,
};
use crate::activation::Activation;
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
/// point or two for twice the time to compile; subgroups whose vectors alternate run at 40 instead of 68.
///
/// With AVX-512 backward alone is faster so, medians of three runs each:
///
/// | | shared | read twice |
/// |---|---|---|
/// | batch norm 32x64x56x56, forward and backward | 57, 76 | 62, 68 |
/// | batch norm 64x256x14x14 | 34, 43 | 38, 42 |
/// | batch norm 8x3x224x224 | 71, 78 | 60, 65 |
/// | instance norm 8x64x128x128 | 69, 90 | 72, 73 |
/// | group norm 16x128x32x32, forward | 62 | 72 |
pub(crate) fn shared(problem: &Problem, load: Load, caps: &Caps) -> Option<(Tile, u32)> {
    let groups = &problem.groups;
    let layout = Layout::of(groups);
    let (size, most) = caps.subgroups?;
    let in_columns = in_fours(problem, caps).is_some() || layout.across || layout.apart;
    let faster = caps.slow_loads || load == Load::Backward;
    let possible = keeps_more(layout, caps) && size == most;
    if !faster || !possible || in_columns || problem.lengths.is_some() {
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
    share(size, vectors, unit, caps)
}

/// The subgroups that share `vectors`, and the vectors that each of their lanes keeps. A subgroup has vectors of one `unit`.
///
/// More than 32 in a lane are worth the time to compile them where a group cannot be shared else, if the processor has few cores: such groups are long,
/// and few of them make a large tensor. On lavapipe as above batch norm of 8x3x224x224, three groups on two cores, runs at 54 and 49 so, forward and
/// backward, and at 48 and 40 when read twice.
fn share(size: u32, vectors: u32, unit: u32, caps: &Caps) -> Option<(Tile, u32)> {
    const FEW_CORES: u32 = 4;
    let least = vectors.div_ceil(caps.max_workgroup_size);
    if least <= FEW_HELD {
        return share_evenly(size, vectors, unit, FEW_HELD, caps);
    }
    let mut kept = (least..=4 * FEW_HELD).filter(|_| caps.cores <= FEW_CORES);
    let kept = kept.find(|kept| unit.is_multiple_of(kept * size))?;
    team(size, vectors / size / kept, kept, caps)
}

/// The same with `most` vectors in a lane and as many in each, half as many or more, if that is possible.
fn share_evenly(size: u32, vectors: u32, unit: u32, most: u32, caps: &Caps) -> Option<(Tile, u32)> {
    let mut kept = (most / 2..=most).rev();
    match kept.find(|kept| unit.is_multiple_of(kept * size)) {
        Some(kept) => team(size, vectors / size / kept, kept, caps),
        None if unit == vectors => {
            let of_lane = vectors.div_ceil(size);
            let subgroups = held(of_lane.div_ceil(most));
            team(size, subgroups, held(of_lane.div_ceil(subgroups)), caps)
        }
        None => None,
    }
}

fn team(size: u32, subgroups: u32, kept: u32, caps: &Caps) -> Option<(Tile, u32)> {
    let tile = Tile {
        lanes: subgroups * size,
        teams: 1,
        team: Team::Subgroups { size },
    };
    (tile.lanes <= caps.max_workgroup_size).then_some((tile, kept))
}

/// How the subgroups of a workgroup share rows, several at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedRows {
    pub(crate) tile: Tile,
    /// Vectors of each row that a lane keeps.
    pub(crate) held: u32,
    /// Rows of a workgroup.
    pub(crate) at_once: u32,
    /// Workgroups of a launch, each with sums of all columns, with which that of the next launch goes on.
    pub(crate) workgroups: u32,
}

impl SharedRows {
    pub(crate) const fn rows_of_launch(&self) -> u32 {
        self.at_once * self.workgroups
    }
}

/// Layer and RMS norm of rows too long for the registers of one subgroup: all gradients in one pass over the tensor, if a workgroup of a software device
/// can share the rows and the sums of the columns, of so many `bytes` each, are few.
///
/// These and the weight are loaded once for all rows of a workgroup: four, as each load of the text has room of its own on the stack, which should not
/// be larger than the first cache. On lavapipe without AVX-512, two cores, in percent of the speed of a copy:
///
/// | | four rows at once | read twice |
/// |---|---|---|
/// | layer norm 64x65536 | 46 | 38 |
/// | RMS norm 64x65536, one sum for each column | 53 | 38 |
/// | the same two with AVX-512 | 56, 65 | 53, 58 |
///
/// There is room for few sums, hence for few workgroups in a launch: one for each core, or long rows would leave some without work. How many rows there
/// are decides nothing about how one is reduced.
pub(crate) fn shared_rows(problem: &Problem, bytes: u32, caps: &Caps) -> Option<SharedRows> {
    const MOST_ROWS: u32 = 4;
    const MOST_OF_ROW: u32 = 16;
    let groups = &problem.groups;
    let layout = Layout::of(groups);
    let (size, most) = caps.subgroups?;
    let possible = keeps_more(layout, caps) && size == most;
    let rows = groups.runs == 1 && groups.same_partners() && problem.lengths.is_none();
    // An activation in so many places takes long to compile.
    if !possible || !rows || problem.activation != Activation::None {
        return None;
    }
    let vectors = layout.vectors(groups);
    if choose(layout, vectors, Load::Backward, caps) == Strategy::Resident {
        return None;
    }
    let sums = u64::from(bytes) * u64::from(groups.elements());
    let cores = caps.cores.max(1);
    if (1 << 20) / sums < u64::from(cores) {
        return None;
    }
    let (tile, held) = share_evenly(size, vectors, vectors, MOST_OF_ROW, caps)?;
    let at_once = largest_power_of_two(groups.items / cores).min(MOST_ROWS);
    // 0.8 % of the tensor and 1 MiB.
    let room = problem.dtype.bytes(problem.elements.into()) / 125 + (1 << 20);
    Some(SharedRows {
        tile,
        held,
        at_once,
        workgroups: (room / sums) as u32 / cores * cores,
    })
}
