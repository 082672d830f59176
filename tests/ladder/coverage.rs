//! Every element read and written exactly once, by whatever recipe; no limit exceeded.

use proptest::prelude::*;
use wgpu_norm::geometry::Problem;
use wgpu_norm::kernel::{Kernel, Slot};
use wgpu_norm::recipe::Step;
use wgpu_norm::source::Team;
use wgpu_norm::{Caps, DType, LayerNorm, Mode, Norm, Recipe, RmsNorm};

use crate::problems::{
    LAVAPIPE, MODES, all_gradients, caps, double_recipes, norm, other_recipes, pick, problem,
    recipe,
};
use crate::{members, simulation};

/// Loop iterations of an invocation that lavapipe of Mesa 22.3 runs.
const LAVAPIPE_ITERATIONS: u32 = 65_535;

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn every_element_exactly_once((norm, shape) in norm(3000), caps in caps(), pick in pick()) {
        if let Some(recipe) = recipe(&norm, &shape, &caps, pick) {
            let problem = problem(&norm, &shape, pick).unwrap().unwrap();
            covers(&norm, &problem, &shape, &recipe, &caps);
        }
    }

    /// Shapes too large to be simulated: their parameters alone.
    #[test]
    fn no_limit_is_exceeded((norm, shape) in norm(1 << 29), caps in caps(), pick in pick()) {
        if let Some(recipe) = recipe(&norm, &shape, &caps, pick) {
            for step in &recipe.steps {
                within_limits(step, &caps);
            }
            let tensor = 4 * shape.iter().product::<usize>() as u64;
            if recipe.partials_bytes > 0 && tensor > 1 << 20 {
                // A split that is forced may give each element a partial of its own.
                prop_assert!(recipe.partials_bytes <= tensor * 5, "{recipe:#?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30_000, ..ProptestConfig::default() })]

    /// The halves of synchronized batch norm, and observers.
    #[test]
    fn every_element_of_a_shard_exactly_once((norm, shape) in norm(1000), caps in caps()) {
        for recipe in other_recipes(&norm, &shape, &caps) {
            let problem = norm.lower(&shape, Mode::TRAINING).unwrap().unwrap();
            covers(&norm, &problem, &shape, &recipe, &caps);
        }
    }

    /// Second derivatives.
    #[test]
    fn every_element_of_a_second_derivative_exactly_once(
        (norm, shape) in norm(1000),
        caps in caps(),
        mode in prop::sample::select(MODES.to_vec()),
        dtype in prop::sample::select(DType::DATA.to_vec()),
    ) {
        for recipe in double_recipes(&norm, &shape, &caps, (dtype, mode)) {
            let problem = norm.lower(&shape, mode).unwrap().unwrap();
            let problem = Problem { dtype, ..problem };
            covers(&norm, &problem, &shape, &recipe, &caps);
            recipe.steps.iter().for_each(|step| double_sums_fit(step, &recipe));
        }
    }
}

/// Rows that the subgroups of a workgroup share: as many in each launch and fewer, equal shares of the lanes and others, tensors of several
/// bindings.
#[test]
fn every_element_of_shared_rows_exactly_once() {
    let shapes = [[1, 8192], [2, 6000], [9, 4100], [203, 4608], [37, 65_536]];
    for (turn, [rows, columns]) in shapes.into_iter().enumerate() {
        for (cores, max_binding_size, dispatch) in [
            (1, 128 << 20, 65_535),
            (2, 128 << 20, 7),
            (2, 1 << 20, 65_535),
        ] {
            let caps = Caps {
                cores,
                max_binding_size,
                max_workgroups_per_dimension: dispatch,
                ..LAVAPIPE
            };
            let norm: Norm = match turn % 2 {
                0 => LayerNorm::new(&[columns]).into(),
                _ => RmsNorm::new(&[columns]).into(),
            };
            let shape = [rows, columns];
            for pick in [DType::F32, DType::BF16].map(all_gradients) {
                let recipe = recipe(&norm, &shape, &caps, pick).unwrap();
                assert_eq!(recipe.steps[0].kernel, Kernel::GradRows);
                let problem = problem(&norm, &shape, pick).unwrap().unwrap();
                covers(&norm, &problem, &shape, &recipe, &caps);
            }
        }
    }
}

fn covers(norm: &Norm, problem: &Problem, shape: &[usize], recipe: &Recipe, caps: &Caps) {
    // Sums of channels that are gradients and those of groups follow each other.
    let same =
        |a: &Step, b: &Step| a.kernel == b.kernel && a.variant.optional == b.variant.optional;
    let passes = recipe.steps.chunk_by(same);
    for steps in passes {
        for step in steps {
            within_limits(step, caps);
        }
        match steps[0].kernel {
            Kernel::UpdateRunning | Kernel::PackAffine => {}
            Kernel::MergeStatistics | Kernel::MergeSums => steps.iter().for_each(merges_all),
            _ => walks_all(norm, shape, problem, steps, caps),
        }
    }
}

/// The launches of one kernel, one per slice of the tensor, touch each element once.
fn walks_all(norm: &Norm, shape: &[usize], problem: &Problem, steps: &[Step], caps: &Caps) {
    let mut seen = vec![false; problem.elements as usize];
    // The task that wrote each partial result.
    let mut partials = vec![None; steps[0].params.plane as usize];
    for (slice, step) in steps.iter().enumerate() {
        let (v, size) = (step.variant.vector, problem.dtype.size());
        let bytes = size * u64::from(problem.elements);
        let window = step.window.clone();
        let window = window.unwrap_or(0..bytes.next_multiple_of(4));
        assert_eq!(window.end % 4, 0);
        assert_eq!(window.start % u64::from(caps.offset_alignment), 0);
        assert!(window.end - window.start <= caps.max_binding_size);
        let [x, y] = step.grid(caps);
        let most = simulation::walk(step, x * y, |found| {
            let end = u64::from(found.offset + 1) * u64::from(v) * size;
            assert!(end <= window.end - window.start);
            let element = (window.start / size) as u32 + found.offset * v;
            for element in element..element + v {
                let seen = &mut seen[element as usize];
                assert!(!std::mem::replace(seen, true), "{element} twice: {step:#?}");
            }
            // Vectors of channels are counted in fours.
            let unit = if step.variant.partner_vector { 4 } else { 1 };
            let group = group_of(norm, shape, !problem.batch_statistics, element);
            let [item, partner] = match step.variant.items_are_groups {
                true => [group, channel_of(norm, shape, element)],
                false => [channel_of(norm, shape, element), group],
            };
            let named = match step.variant {
                variant if variant.affine_of_row => [
                    4 * (found.group * step.params.partner_modulus + found.partner),
                    found.row,
                ],
                variant if variant.affine_of_group => {
                    let p = &step.params;
                    let group = found.group * p.partner_modulus + found.partner;
                    [group / p.items_per_group, found.partner / p.items_per_group]
                }
                variant if variant.grouped_columns => [
                    (found.group * step.params.partner_modulus + found.partner)
                        / step.params.items_per_group,
                    unit * found.partner,
                ],
                variant if variant.by_rows => [
                    unit * (found.group * step.params.partner_modulus + found.partner),
                    unit * found.partner,
                ],
                // Groups in fours: that of the vector's first element.
                variant if variant.packed => [4 * found.group, unit * found.partner],
                _ => [found.group, unit * found.partner],
            };
            assert_eq!(named, [item, partner], "{step:#?}");
            let first = found.offset;
            for partial in found.partial..found.partial + found.partials {
                let writer = &mut partials[partial as usize];
                // Later launches go on where those before stopped.
                if step.kernel == Kernel::GradRows && step.params.first_item != 0 {
                    assert!(writer.is_some(), "goes on with nothing: {step:#?}");
                    *writer = None;
                }
                let writer = writer.get_or_insert((slice, first));
                assert_eq!(writer.0, slice, "two slices write one partial: {step:#?}");
            }
        });
        if step.variant.resident {
            assert!(most <= step.variant.held, "{most} registers: {step:#?}");
        }
    }
    assert!(!seen.contains(&false), "elements left out: {steps:#?}");
    assert!(
        !partials.contains(&None),
        "partials not written: {steps:#?}"
    );
}

/// The channel of an element, or of the channels of all samples the one.
fn channel_of(norm: &Norm, shape: &[usize], offset: u32) -> u32 {
    let channels: usize = norm.parameter_shape().iter().product();
    let channel = members::channel_of(norm, shape, offset as usize);
    let sample = match norm.per_sample() {
        true => members::sample_of(shape, offset as usize),
        false => 0,
    };
    (sample * channels + channel) as u32
}

/// The group of an element; one per channel if `running` statistics normalize.
fn group_of(norm: &Norm, shape: &[usize], running: bool, offset: u32) -> u32 {
    let group = match norm {
        Norm::Batch(_) | Norm::Instance(_) if running => {
            members::channel_of(norm, shape, offset as usize)
        }
        _ => members::group_of(norm, shape, offset as usize),
    };
    group as u32
}

fn merges_all(step: &Step) {
    let partials = step.params.items * step.params.item_vectors;
    let mut seen = vec![false; partials as usize];
    // The sums of a launch that merges statistics go to the planes of their groups.
    let merged = step.params.all_items * step.params.parts;
    let mut written = vec![false; merged as usize];
    simulation::merge(step, |from, to| {
        let seen = &mut seen[from as usize];
        assert!(!std::mem::replace(seen, true), "{from} twice: {step:#?}");
        written[to as usize] = true;
    });
    assert!(!seen.contains(&false), "partials left out: {step:#?}");
    assert!(!written.contains(&false), "sums not written: {step:#?}");
}

/// The six planes of a second derivative's partial results, and those of its sums, lie in the scratch memory.
fn double_sums_fit(step: &Step, recipe: &Recipe) {
    let p = &step.params;
    let pack = if step.variant.packed { 4 } else { 1 };
    let (partials, sums) = match step.kernel {
        Kernel::DoubleSums => (6 * p.plane, 0),
        Kernel::MergeSums if step.variant.optional.contains(Slot::Sums) => {
            let merged = step.renamed.contains(&(Slot::Sums, Slot::Merged));
            (0, if merged { 0 } else { 2 * p.all_items * p.parts })
        }
        Kernel::DoubleGradWeight => (p.plane, 0),
        Kernel::DoubleGradInput => (0, 6 * p.groups),
        _ => (0, 0),
    };
    let bytes = |numbers: u32| 4 * pack * u64::from(numbers);
    assert!(bytes(partials) <= recipe.partials_bytes, "{step:#?}");
    let reads = step.variant.optional.contains(Slot::Sums);
    assert!(!reads || bytes(sums) <= recipe.sums_bytes, "{step:#?}");
}

fn within_limits(step: &Step, caps: &Caps) {
    let (p, tile) = (&step.params, step.variant.tile);
    let [x, y] = step.grid(caps);
    assert!(x <= caps.max_workgroups_per_dimension || y > 1, "{step:#?}");
    assert!(x >= 1 && u64::from(x) * u64::from(y) >= u64::from(step.workgroups));
    let size = tile.workgroup_size();
    assert!(size <= caps.max_workgroup_size && size >= 1, "{step:#?}");
    // The first lane of a subgroup loads for all of it.
    let own_subgroup = match tile.team {
        Team::Subgroups { size } => {
            assert_eq!(caps.subgroups, Some((size, size)), "{step:#?}");
            assert!(tile.lanes > size && tile.lanes.is_multiple_of(size));
            // One task, or several at once: none is in a loop.
            assert_eq!(
                (tile.teams, p.chunk),
                (1, step.variant.at_once),
                "{step:#?}"
            );
            assert!(step.variant.resident, "{step:#?}");
            true
        }
        _ => {
            assert!(tile.lanes.is_power_of_two());
            caps.subgroups == Some((tile.lanes, tile.lanes))
        }
    };
    assert!(!step.variant.loads_once || own_subgroup, "{step:#?}");
    if let Some((min, max)) = caps.subgroups
        && tile.team == (Team::Subgroup { min_size: min })
    {
        // A slice of every subgroup, or whole ones of any size; and no subgroup is cut.
        assert!(
            tile.lanes <= min || tile.lanes.is_multiple_of(max),
            "{step:#?}"
        );
        assert!(size.is_multiple_of(max), "{step:#?}");
    }
    // Indices past the last task are computed before they are found to be past it.
    let chunks = (u64::from(x) * u64::from(y)).div_ceil(p.parts.into());
    let number = chunks * u64::from(p.chunk) * u64::from(tile.teams);
    assert!(number < 1 << 32, "{step:#?}");
    let end = u64::from(p.parts) * u64::from(p.part_vectors);
    assert!(end < 1 << 32, "{step:#?}");
    let iterations = match step.kernel {
        Kernel::UpdateRunning => p.items.div_ceil(tile.teams),
        // One per partial and one per block.
        // For each value those that search 1,025 edges; and the counters.
        Kernel::Histogram => {
            let vectors = p.part_vectors.div_ceil(tile.lanes);
            let values = vectors * (1 + step.variant.vector * (1 + 11));
            p.chunk + values + 2 * 1027_u32.div_ceil(tile.workgroup_size())
        }
        Kernel::MergeSums | Kernel::MergeStatistics => 2 * p.part_vectors.div_ceil(tile.lanes),
        // Rows: the loops over their vectors are unrolled.
        Kernel::GradColumns => p.chunk,
        _ if step.variant.by_rows || step.variant.hold_affine => p.chunk,
        _ => {
            let vectors = u64::from(p.part_vectors.div_ceil(tile.lanes)) * u64::from(p.chunk);
            // Six iterations per vector, padded to a block; see `ITERATIONS_PER_VECTOR`.
            6 * (vectors as u32).next_multiple_of(step.variant.held)
        }
    };
    assert!(iterations <= LAVAPIPE_ITERATIONS, "{iterations}: {step:#?}");
}
