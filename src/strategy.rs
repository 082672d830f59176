//! The strategy ladder: how a walk over items is spread over lanes, teams, workgroups and launches.
//!
//! How an item is reduced depends on its shape and on the device, never on the number of items: the order of a reduction, hence every
//! bit of its result, is the same in a batch of one and of a million. Their number says only how many of them a workgroup takes.

mod shared;
mod views;

pub(crate) use shared::{shared, shared_rows};
pub(crate) use views::{
    by_rows, by_runs, channel_columns, column_chunk, column_vectors, columns_are_faster,
    hold_columns, holds_channels, in_fours, looped_columns, row_tile, same_partners, short_runs,
    split_is_shorter, sum_columns, summed_chunk,
};

use crate::caps::Caps;
use crate::geometry::Walk;
use crate::source::{Team, Tile};

/// How a group is reduced.
///
/// | strategy | launches | bytes moved forward | backward |
/// |---|---|---|---|
/// | resident | 1 | 2N | 3N |
/// | looped | 1 | 3N, the second reading from cache where a group fits it | 5N |
/// | split | 3 | 3N | 5N |
///
/// N is the size of the tensor in bytes. The gradients of weight and bias come with the sums of the groups in batch and instance norm, and with
/// those of the channels of a group in group norm that is split or kept channel by channel; on software devices those of layer and RMS norm are
/// summed up in registers on the way. Else they are sums over channels in a launch of their own, which reads 2N more.
///
/// Groups that are columns of the tensor (batch norm of `[N, C]`, norms with channels last, layer norm over the channels) are taken four at a
/// time on software devices, so that they are loaded as vectors, too. These walk a tensor row by row, as it lies in memory, rather than group by group, where
/// groups are many columns or short runs. Running statistics of batch norm with a momentum are updated by the launch
/// that finds those of the batch, and evaluation is one launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// One team of lanes per group, the group in its registers.
    Resident,
    /// One team of lanes per group, which reads it twice.
    Looped,
    /// Several teams per group: partial results, merged by a second launch, used by a third.
    Split,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Resident, Self::Looped, Self::Split];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resident => "resident",
            Self::Looped => "looped",
            Self::Split => "split",
        }
    }
}

/// What a kernel keeps in registers per vector of the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// The input.
    Forward,
    /// x̂ and `grad_output`.
    Backward,
}

/// Loop iterations that an invocation may run in all. Mesa 22.3's lavapipe stops it silently after 65,535, all its
/// loops counted together.
pub(crate) const MAX_ITERATIONS: u32 = 60_000;

/// Iterations that the kernels' loops run per vector of a lane, at most: `normalize_groups` loads, sums, squares and writes
/// each, and counts its blocks of 8 or more twice over.
pub(crate) const ITERATIONS_PER_VECTOR: u32 = 6;

/// Vectors per lane that a task may have.
pub(crate) const MAX_LANE_VECTORS: u32 = MAX_ITERATIONS / ITERATIONS_PER_VECTOR - 64;

/// A walk in vectors, spread over lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Elements per vector.
    pub(crate) vector: u32,
    /// Lanes of a team are spread over neighbouring items, since an item has no neighbouring elements.
    pub(crate) across: bool,
    /// No vector of an item lies beside another one of it, but beside one of the next item.
    pub(crate) apart: bool,
}

impl Layout {
    pub(crate) fn of(walk: &Walk) -> Self {
        let vector = if walk.is_vectorizable() { 4 } else { 1 };
        // Runs shorter than a 16-byte access, and the next item right behind them.
        let beside = walk.runs > 1 && walk.item_stride == walk.run_length;
        Self {
            vector,
            across: walk.run_length < 4 && beside,
            apart: walk.run_length == vector && beside,
        }
    }

    pub(crate) const fn vectors(&self, walk: &Walk) -> u32 {
        walk.elements() / self.vector
    }
}

/// Lanes and teams for tasks of `vectors` vectors.
pub(crate) fn tile(layout: Layout, vectors: u32, load: Load, caps: &Caps) -> Tile {
    if caps.cpu {
        cpu_tile(layout, vectors, load, caps)
    } else {
        gpu_tile(layout, vectors, load, caps)
    }
}

/// A CPU runs a workgroup's subgroups one after the other and pays for barriers, so: one subgroup per workgroup, unless a group must be [`shared`].
/// Measured on lavapipe, 2 cores: layer norm 32768x64 takes 10 ms so, 1,100 ms with 256 lanes and barriers.
fn cpu_tile(layout: Layout, vectors: u32, load: Load, caps: &Caps) -> Tile {
    let (width, subgroups) = match caps.subgroups {
        Some((min, max)) if min == max && min <= caps.max_workgroup_size => (min, true),
        _ => (8.min(caps.max_workgroup_size), false),
    };
    let lanes = cpu_lanes(layout, vectors, load).unwrap_or(width);
    let lanes = lanes.min(width);
    let team = match subgroups {
        _ if lanes == 1 => Team::Single,
        true => Team::Subgroup { min_size: width },
        false => Team::Workgroup { across: false },
    };
    Tile {
        lanes,
        teams: width / lanes,
        team,
    }
}

/// Lanes of an item, if fewer than a subgroup has.
///
/// Short items have a lane each: a reduction over lanes costs more than it spreads. On lavapipe the backward pass of rows of 48 takes 1.8 ns
/// per element so and 1.9 with 8 lanes, that of rows of 64 2.0 and 1.7.
///
/// Vectors that lie apart are pieces of 64 bytes of a row of the tensor where two lanes share an item: layer norm over 64 channels of
/// `[21, 64, 3600]` takes 1.9 ns per element forward and 2.3 backward, and 2.6 and 3.0 with 8 lanes.
fn cpu_lanes(layout: Layout, vectors: u32, load: Load) -> Option<u32> {
    let single = match load {
        _ if layout.across => MAX_LANE_VECTORS / 2,
        Load::Forward => 16,
        Load::Backward => 12,
    };
    if vectors <= single {
        return Some(1);
    }
    let two_are_enough = layout.apart && vectors <= 2 * FEW_HELD;
    two_are_enough.then_some(2)
}

/// Items that a team takes, one after the other. A workgroup costs 0.1 µs on lavapipe, as much as 500 elements: it gets 32,768,
/// so that loading what all items share does not count either. But lavapipe gives each core as many workgroups, in order, so that a last
/// chunk of fewer items leaves one waiting: 16 chunks at least. GPUs have enough workgroups in flight.
pub(crate) fn chunk(layout: Layout, tile: Tile, (items, vectors): (u32, u32), caps: &Caps) -> u32 {
    let per_workgroup = tile.teams * vectors.max(1) * layout.vector;
    if caps.cpu {
        let most = 64.min(items / tile.teams / 16).max(1);
        largest_power_of_two((32_768 / per_workgroup).clamp(1, most))
    } else {
        1
    }
}

/// Lanes per item by its elements, as QuACK's `threads_per_row` (measured on H100).
const GPU_LANES: [(u32, u32); 5] = [(64, 8), (128, 16), (3072, 32), (6144, 64), (16_384, 128)];

fn gpu_tile(layout: Layout, vectors: u32, load: Load, caps: &Caps) -> Tile {
    let most = largest_power_of_two(256.min(caps.max_workgroup_size));
    if layout.across {
        // 32 neighbouring items make a 128-byte access; 8 lanes share each.
        let lanes = (vectors / 32).max(1).next_power_of_two().min(8).min(most);
        return gpu_across(lanes, most);
    }
    let elements = vectors * layout.vector;
    let rung = GPU_LANES.iter().find(|(limit, _)| elements <= *limit);
    let mut lanes = rung
        .map_or(256, |(_, lanes)| *lanes)
        .min(vectors.next_power_of_two())
        .min(most);
    while lanes < most && vectors.div_ceil(lanes) > max_held(layout, load, caps) {
        lanes *= 2;
    }
    let (lanes, team) = match caps.subgroups {
        _ if lanes == 1 => (1, Team::Single),
        Some((min, max)) if max <= most => {
            // A team is a slice of the smallest subgroup or whole subgroups of any size.
            let lanes = if lanes <= min { lanes } else { lanes.max(max) };
            (lanes, Team::Subgroup { min_size: min })
        }
        _ => (lanes, Team::Workgroup { across: false }),
    };
    Tile {
        lanes,
        teams: most / lanes,
        team,
    }
}

const fn gpu_across(lanes: u32, most: u32) -> Tile {
    Tile {
        lanes,
        teams: most / lanes,
        team: if lanes == 1 {
            Team::Single
        } else {
            Team::Workgroup { across: true }
        },
    }
}

/// Whether one lane loads what its team needs, for all. Not unless each subgroup is a team: where their sizes differ, a team may be a slice of one.
pub(crate) fn loads_once(tile: Tile, caps: &Caps) -> bool {
    let own_subgroups = match tile.team {
        Team::Subgroup { .. } => caps.subgroups == Some((tile.lanes, tile.lanes)),
        Team::Subgroups { .. } => true,
        Team::Single | Team::Workgroup { .. } => false,
    };
    caps.slow_loads && own_subgroups
}

/// Vectors that a lane keeps at most, unless more are worth the time to compile them: each is a piece of the shader's text.
pub(crate) const FEW_HELD: u32 = 32;

/// Vectors that a lane can keep in registers.
///
/// On lavapipe what does not fit the registers lies on the stack, from where it is read in whole vectors, unlike the tensor: rows of
/// 768 run at 0.58 of the speed of a copy when kept, rows of 4,096 at 0.44 when kept and at 0.37 when read again. But to
/// compile a kernel takes 0.3 s for each 16 vectors, and 7 s for 128.
///
/// In words of 64 bits, whose text is shorter, more is worth that. Without AVX-512 rows of 2,048 run at 0.74 of the speed of a copy forward, and
/// those of 4,096, which are read again, at 0.46; backward, kept and read again, at 0.67 and 0.36, and at 0.63 and 0.36.
/// Kernels of 64 vectors compile in 1 to 5 s, of 128 in 8 to 18.
pub(crate) const fn max_held(layout: Layout, load: Load, caps: &Caps) -> u32 {
    let vectors = match (caps.cpu, load) {
        (true, Load::Forward) if keeps_more(layout, caps) => 2 * FEW_HELD,
        (true, Load::Backward) if keeps_more(layout, caps) => 4 * FEW_HELD,
        (true, _) => FEW_HELD,
        (false, Load::Forward) => 64 / layout.vector,
        (false, Load::Backward) => 32 / layout.vector,
    };
    if caps.cpu || vectors < FEW_HELD {
        vectors
    } else {
        FEW_HELD
    }
}

/// Not where lanes reduce through workgroup memory: what outlives a barrier lies in memory, and is slow there.
const fn keeps_more(layout: Layout, caps: &Caps) -> bool {
    caps.long_words() && layout.vector == 4 && caps.subgroups.is_some()
}

/// Registers for at least `vectors` vectors: one of few sizes, so that inputs of ever new lengths share their pipelines.
/// A third of them may stay empty.
pub(crate) const fn held(vectors: u32) -> u32 {
    let power = vectors.next_power_of_two();
    if power >= 4 && vectors <= power / 4 * 3 {
        power / 4 * 3
    } else {
        power
    }
}

/// Vectors that a lane loads before it sums them up, where they are not kept: enough loads in flight, a short chain of sums.
pub(crate) const fn block(layout: Layout) -> u32 {
    if layout.vector == 4 { 8 } else { 16 }
}

/// Most vectors per task of a split item: work for a workgroup, small enough that a few items fill the device.
/// Partial sums then take 8 bytes per 512 elements or more.
pub(crate) const fn max_part(layout: Layout, caps: &Caps) -> u32 {
    match (caps.cpu, layout.across) {
        (true, true) => 2048,
        (true, false) => 8 * 512,
        (false, true) => 512,
        (false, false) => 16_384 / layout.vector,
    }
}

/// Parts of an item, so that each has at most `most` vectors: their number, and the vectors of each but the last.
pub(crate) const fn parts(vectors: u32, most: u32) -> (u32, u32) {
    // Merging more would be a long serial chain.
    const MOST_PARTS: u32 = 16_384;
    let parts = vectors.div_ceil(most);
    let parts = if parts > MOST_PARTS {
        MOST_PARTS
    } else {
        parts
    };
    let part_vectors = vectors.div_ceil(parts);
    (vectors.div_ceil(part_vectors), part_vectors)
}

/// As many parts or up to a quarter more, if each then has the same multiple of `unit` vectors. On lavapipe without AVX-512 batch norm of
/// 8x3x224x224 is at 0.46 and 0.41 of the speed of a copy in 28 equal parts, forward and backward, and at 0.44 and 0.39 in 25.
pub(crate) fn equal_parts(
    vectors: u32,
    (parts, part_vectors): (u32, u32),
    unit: u32,
) -> (u32, u32) {
    let units = vectors / unit;
    (parts..=parts + parts / 4)
        .find(|parts| vectors.is_multiple_of(unit) && units.is_multiple_of(*parts))
        .map_or((parts, part_vectors), |parts| (parts, vectors / parts))
}

/// The strategy for items of `walk`, if not told otherwise.
pub(crate) fn choose(layout: Layout, vectors: u32, load: Load, caps: &Caps) -> Strategy {
    if vectors > max_part(layout, caps) {
        return Strategy::Split;
    }
    let lanes = tile(layout, vectors, load, caps).lanes;
    if vectors.div_ceil(lanes) <= max_held(layout, load, caps) {
        Strategy::Resident
    } else {
        Strategy::Looped
    }
}

const fn largest_power_of_two(at_most: u32) -> u32 {
    if at_most == 0 {
        1
    } else {
        1 << at_most.ilog2()
    }
}
