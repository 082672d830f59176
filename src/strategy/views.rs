//! Rungs for the view of a tensor that a launch walks: group by group, run by run, by columns or row by row.

use super::{
    FEW_HELD, Layout, Load, MAX_LANE_VECTORS, Strategy, cpu_tile, held, keeps_more, max_held, tile,
};
use crate::caps::Caps;
use crate::geometry::{Problem, Slice, Walk};
use crate::source::Tile;

/// Vectors of a row whose columns a team keeps in registers, with several numbers each. On lavapipe pieces of 16 vectors per lane are
/// faster than those of 32, whose text is longer, and of 8, which are too short for the cache: 1.1, 0.9 and 1.05 of the speed of a copy
/// for the sums of 1024x4096. In words of 64 bits the text is shorter, and what a row costs beside its loads weighs more: each begins with the numbers
/// of its group and in a page of its own. Without AVX-512 the backward pass of 64x65536 takes 0.95 of the time with 32.
/// Single elements are fewer per vector: 32 of them keep partial sums below 1 % of the tensor.
pub(crate) fn column_vectors(layout: Layout, caps: &Caps) -> u32 {
    let of_lane = if layout.vector == 4 && !keeps_more(layout, caps) {
        16
    } else {
        32
    };
    of_lane * row_tile(caps).lanes
}

/// Rows of which a team reads a piece, where there is nothing to sum up: enough that loading what they share does not count,
/// few enough for 64 workgroups.
pub(crate) fn column_chunk(rows: &Walk, parts: u32) -> u32 {
    let many = u64::from(rows.items) * u64::from(parts) / 64;
    (many.clamp(32, 256) as u32).min(rows.items)
}

/// Whether a launch that reads groups in parts does so by columns, with their weight and bias in registers. On lavapipe a load
/// costs the same whether it comes from memory or from the cache; GPUs have caches for this.
pub(crate) const fn hold_columns(problem: &Problem, caps: &Caps) -> bool {
    caps.cpu && problem.groups.same_partners() && (problem.weight || problem.bias)
}

/// Whether launches that read groups in parts go through the runs that these consist of, one after the other, in each of which weight and
/// bias are the same (group norm): runs of at least two steps of a subgroup of 8 lanes. On lavapipe the backward pass of 16x128x32x32 in 32
/// groups reaches 0.54 of the speed of a copy so, and 0.27 without.
pub(crate) fn by_runs(problem: &Problem) -> bool {
    const MIN_RUN: u32 = 64;
    // Their sums take no more than 0.5 % of the tensor and 0.5 MiB.
    let few =
        |runs: &Walk| 8 * u64::from(runs.items) <= u64::from(problem.elements) / 50 + (1 << 19);
    problem.groups.run_length >= MIN_RUN && problem.groups.by_runs().as_ref().is_some_and(few)
}

/// A group of several channels as columns of vectors: their number, the vectors of each, and the channels of a vector. A column is a run, or
/// what lies at the same place of each run where these have the channels of a point beside each other.
pub(crate) const fn channel_columns(groups: &Walk, layout: Layout) -> (u32, u32, u32) {
    let run_vectors = groups.run_length / layout.vector;
    match groups.partner.per_element {
        0 => (groups.runs, run_vectors, 1),
        _ => (run_vectors, groups.runs, layout.vector),
    }
}

/// Whether groups of several channels fit the registers channel by channel: their sums then give the gradients of weight and bias (3N), which else
/// take a launch of their own or a split (5N). On lavapipe without AVX-512 group norm of 16x128x32x32 runs at 0.68 of the speed of a copy so, and
/// at 0.39 split. Channels last are walked [`by_rows`], but for slow loads in words of 64 bits, with which that was measured: with AVX-512 the
/// backward pass of 16x32x32x128 takes 7.7 ms by rows, and 11 to 13 channel by channel.
pub(crate) fn holds_channels(problem: &Problem, caps: &Caps) -> bool {
    let groups = &problem.groups;
    let layout = Layout::of(groups);
    let tile = tile(layout, layout.vectors(groups), Load::Backward, caps);
    let several = groups.run_length > 1 && !groups.partner.is_constant();
    let slow = caps.slow_loads && caps.long_words();
    let last = || slow && several && by_rows(problem, caps);
    if !(problem.weight || problem.bias) || !(by_runs(problem) || last()) {
        return false;
    }
    let (columns, vectors, _) = channel_columns(groups, layout);
    vectors >= tile.lanes
        && columns * held(vectors.div_ceil(tile.lanes)) <= max_held(layout, Load::Backward, caps)
}

/// Whether to split moves less than what `whole` does with groups. On CPUs forward, as it spares the loads of weight and bias that groups read
/// twice need; backward on all devices, as the gradients of these come from the sums over runs (5N) and not from a launch of their own (7N).
/// For groups in registers, unless kept channel by channel, that launch makes it 5N, too, but in more loads: in words of 64 bits, group norm of
/// 16x128x16x16 runs at 0.33 of the speed of a copy when split and at 0.24 with such a launch. Elsewhere it has not been measured.
pub(crate) fn split_is_shorter(
    problem: &Problem,
    load: Load,
    whole: Strategy,
    caps: &Caps,
) -> bool {
    let runs = (problem.weight || problem.bias) && by_runs(problem);
    match (load, whole) {
        (Load::Forward, Strategy::Looped) => hold_columns(problem, caps) || caps.cpu && runs,
        (Load::Backward, Strategy::Looped) => runs,
        (Load::Backward, _) => runs && caps.long_words() && !holds_channels(problem, caps),
        _ => false,
    }
}

/// Whether one launch takes all gradients of layer and RMS norm, rather than one for weight and bias that reads everything again.
/// On lavapipe the backward pass of 4096x768 takes a fifth of the time so. Partial sums of a GPU's many teams would be
/// larger than [`summed_chunk`] allows, or its teams too few: until it is measured there, weight and bias have a launch of their own.
pub(crate) fn sum_columns(problem: &Problem, caps: &Caps) -> bool {
    caps.cpu && same_partners(problem, caps) && problem.lengths.is_none()
}

/// Whether each element of a group has a weight and bias of its own, the same in every group, in the view that launches over groups have.
pub(crate) fn same_partners(problem: &Problem, caps: &Caps) -> bool {
    problem.groups.same_partners()
        || in_fours(problem, caps).is_some_and(|fours| fours.partner.per_run == 1)
}

/// The groups four at a time, where they are columns that are walked [`by_rows`] otherwise.
pub(crate) fn in_fours(problem: &Problem, caps: &Caps) -> Option<Walk> {
    problem.groups.in_fours().filter(|_| by_rows(problem, caps))
}

/// Consecutive rows of which a team sums up `bytes` of partial results per column: as few as keep these below 0.4 % of the tensor and
/// 0.5 MiB, but enough that loading the weight does not count, and no more than a lane may walk, a row in one iteration. As much again is
/// left for the sums of long groups.
pub(crate) fn summed_chunk(rows: &Walk, bytes: u32) -> u32 {
    let (rows, columns) = (rows.items, rows.run_length);
    let most_chunks = (rows / (60 * bytes) + (1 << 19) / bytes / columns).max(1);
    rows.div_ceil(most_chunks)
        .clamp(32, MAX_LANE_VECTORS)
        .min(rows)
}

/// Whether a tensor whose groups are columns, of the whole of it (batch norm without spatial dimensions) or of each sample (instance norm of
/// channels last, layer norm over the channels), or several columns (group norm of channels last, batch norm of [`short_runs`]), is walked row by row,
/// as it lies in memory. A CPU's lane that walks down a column waits for memory at
/// each step: on lavapipe batch norm of 256x1024 is 1.7 times as fast forward, 2.2 times backward and 2.1 times in evaluation by rows as by single
/// columns. Columns that fit the registers are taken [`in_fours`] instead, see [`columns_are_faster`], or of few rows some neighbouring ones are read
/// twice, see [`looped_columns`]. Neighbouring lanes of a GPU read rows as well.
pub(crate) fn by_rows(problem: &Problem, caps: &Caps) -> bool {
    let groups = &problem.groups;
    let rows = groups.by_rows();
    let whole = |slices: Vec<Slice>| {
        let mut channels = slices.iter().map(|slice| slice.channels.items);
        channels.all(|items| items == problem.channels.items)
    };
    // Rows would have to find weights of each sample, or where it ends; these take the walks that need not be by rows.
    caps.cpu
        && !problem.per_sample
        && problem.lengths.is_none()
        && groups.runs > 1
        && rows.is_some_and(|rows| rows.is_vectorizable())
        && (groups.run_length == 1 || few_wide_groups(problem) || short_runs(groups, caps))
        && problem.slices(caps).is_ok_and(whole)
}

/// Whether groups are many short runs, of one channel each: batch norm of small images. Each run begins far behind the last, where
/// nothing has been fetched ahead. On lavapipe with AVX-512 batch norm of 64x256x14x14 runs at 0.53 of the speed of a copy by rows forward, 0.63 backward and
/// 1.1 in evaluation, and at 0.37, 0.42 and 0.63 run by run; of images of 4x4 and 2x2 evaluation at 0.97 and 0.99, and 0.55 and 0.48.
/// With 8 images, or runs of 784, either is as fast, and of runs of 3,136 rows are slower (0.82, and 1.1). In words of 64 bits: SwiftShader, which has none,
/// compiles such a kernel for minutes.
pub(crate) const fn short_runs(groups: &Walk, caps: &Caps) -> bool {
    const MIN_RUNS: u32 = 8;
    const MAX_RUN: u32 = 512;
    caps.long_words()
        && groups.runs >= MIN_RUNS
        && groups.run_length >= 4
        && groups.run_length <= MAX_RUN
        && groups.run_length.is_multiple_of(4)
        && groups.partner.is_constant()
}

/// Whether a vector of neighbouring columns is of one group, and the sums of all columns take no more than 0.5 % of the tensor and 0.5 MiB.
fn few_wide_groups(problem: &Problem) -> bool {
    let Problem {
        groups, elements, ..
    } = problem;
    let columns = u64::from(groups.items) * u64::from(groups.run_length);
    groups.run_length.is_multiple_of(4)
        && groups.partner.per_element == 1
        && 8 * columns <= u64::from(*elements) / 50 + (1 << 19)
}

/// Whether columns that fit the registers are faster than a walk [`by_rows`], which reads the tensor twice. Backward they are not where the
/// sums of rows give the gradients of weight and bias as well, unless loads are slow and few vectors are held: on lavapipe batch norm of
/// 256x1024 takes 0.50 ms forward by columns and 0.75 by rows, and 0.88 and 0.77 backward, but without AVX-512 3.7 and 4.8; layer norm over the
/// channels of 8x256x28x28 takes 2.7 and 3.8 ms, and 3.8 and 5.8 backward.
pub(crate) fn columns_are_faster(fours: &Walk, load: Load, caps: &Caps) -> bool {
    let layout = Layout::of(fours);
    let vectors = layout.vectors(fours);
    let few = || vectors <= FEW_HELD * tile(layout, vectors, load, caps).lanes;
    match load {
        Load::Forward => true,
        Load::Backward => fours.partner.per_run != 0 || caps.slow_loads && few(),
    }
}

/// Neighbouring vectors of columns of which a lane reads all rows twice, in one launch, where columns are groups with a channel each: pieces of a row
/// as wide as there is one for each core, which lie in a second- or third-level cache until they are read again. On lavapipe with AVX-512 batch norm of 256x1024 runs
/// at 0.64 of the speed of a copy forward so, with 8 vectors, and at 0.45 with 4 or held [`in_fours`]; 512x1024 at 0.59, and 0.32 in fours;
/// 1024x1024 at 0.53, and 0.39 split; 64x4096 at 0.57, and 0.36 in fours. In words of 64 bits, as [`short_runs`].
pub(crate) fn looped_columns(problem: &Problem, caps: &Caps) -> Option<u32> {
    const MAX_ROWS: u32 = 2048;
    let groups = &problem.groups;
    let columns_are_groups = groups.run_length == 1 && groups.partner.per_run == 0;
    let few_rows = caps.long_words() && groups.runs <= MAX_ROWS;
    if !columns_are_groups || !few_rows || !by_rows(problem, caps) {
        return None;
    }
    let whole = |slice: &Slice| slice.groups.runs == groups.runs;
    let slices = problem.slices(caps).ok()?;
    // Of a lane, in a row of one block and of all.
    let of_lane = |columns: u32| columns / 4 / row_tile(caps).lanes;
    let (row, all) = (of_lane(groups.columns_per_block()), of_lane(groups.items));
    let mut widths = [8, 4].into_iter();
    let width = widths.find(|width| row >= *width && all / width >= caps.cores);
    width.filter(|_| slices.iter().all(whole))
}

/// Lanes for a walk by rows: a subgroup, whose lanes need not reduce anything.
pub(crate) fn row_tile(caps: &Caps) -> Tile {
    let across = Layout {
        vector: 4,
        across: false,
        apart: false,
    };
    cpu_tile(across, MAX_LANE_VECTORS, Load::Forward, caps)
}
