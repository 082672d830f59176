//! Sizes at which indices, dispatches and loop counts run into limits.
//!
//! lavapipe of Mesa 22.3 silently stops an invocation after 65,535 loop iterations, and no device dispatches more than
//! 65,535 workgroups in one dimension.

use wgpu_norm::check::Case;
use wgpu_norm::{
    Activation, BatchNorm, Caps, DType, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm,
    Strategy,
};

use crate::common::{by_turns, check, context, devices, modes};

fn both_modes(norm: impl Into<Norm>, shape: &[usize]) {
    let norm = norm.into();
    for mode in modes(&norm) {
        let case = Case::random(&norm, mode, shape, 9).unwrap();
        check("own", context(), &case);
    }
}

#[test]
fn a_million_rows() {
    both_modes(LayerNorm::new(&[3]), &[1_000_003, 3]);
    both_modes(RmsNorm::new(&[4]), &[1_000_003, 4]);
}

#[test]
fn a_batch_of_a_million_per_channel() {
    both_modes(BatchNorm::new(2), &[1_000_003, 2]);
    both_modes(BatchNorm::new(1), &[1_000_003, 1]);
    both_modes(BatchNorm::new(4), &[1_000_003, 4]);
}

#[test]
fn one_row_of_ten_million() {
    both_modes(LayerNorm::new(&[10_000_019]), &[1, 10_000_019]);
}

#[test]
fn one_row_of_ten_million_root_mean_square() {
    both_modes(RmsNorm::new(&[10_000_019]), &[1, 10_000_019]);
}

#[test]
fn a_batch_of_70_000() {
    both_modes(BatchNorm::new(3), &[70_000, 3, 7]);
    both_modes(BatchNorm::new(3), &[70_000, 3, 1, 1]);
    both_modes(
        InstanceNorm::new(3).affine(true).track_running_stats(true),
        &[70_000, 3, 5],
    );
    both_modes(GroupNorm::new(2, 6), &[70_000, 6, 1, 1]);
}

#[test]
fn other_orders_of_many_elements() {
    let instance = InstanceNorm::new(4).affine(true).channels_last(true);
    both_modes(instance.track_running_stats(true), &[2, 300_007, 4]);
    both_modes(
        InstanceNorm::new(3).affine(true).channels_last(true),
        &[70_000, 5, 3],
    );
    both_modes(GroupNorm::new(2, 8).channels_last(true), &[1, 200_003, 8]);
    both_modes(GroupNorm::new(2, 6).channels_last(true), &[1, 200_003, 6]);
    both_modes(
        LayerNorm::new(&[300_007]).channels_first(true),
        &[1, 300_007, 4],
    );
    both_modes(LayerNorm::new(&[3]).channels_first(true), &[2, 3, 300_007]);
    both_modes(BatchNorm::new(4).virtual_batch_size(Some(2)), &[200_000, 4]);
    both_modes(
        BatchNorm::new(4).virtual_batch_size(Some(150_001)),
        &[300_002, 4],
    );
}

/// Groups that would exceed the iterations of one invocation if the ladder did not split them.
#[test]
fn groups_longer_than_a_loop_may_run() {
    both_modes(BatchNorm::new(2), &[8, 2, 300, 299]);
    both_modes(InstanceNorm::new(2).affine(true), &[1, 2, 1031, 1033]);
    both_modes(GroupNorm::new(1, 3), &[1, 3, 601, 599]);
    both_modes(LayerNorm::new(&[600_011]), &[2, 600_011]);
}

/// Groups that the subgroups of a workgroup share on software devices: equal shares and others, in runs, with the affine of each run, with
/// whatever surrounds a norm.
#[test]
fn groups_of_a_whole_workgroup() {
    both_modes(InstanceNorm::new(3).affine(true), &[2, 3, 4608]);
    both_modes(InstanceNorm::new(3), &[2, 3, 5000]);
    both_modes(BatchNorm::new(2), &[6, 2, 28, 28]);
    both_modes(BatchNorm::new(2), &[15, 2, 31, 40]);
    both_modes(GroupNorm::new(2, 6), &[3, 6, 32, 64]);
    both_modes(GroupNorm::new(2, 6), &[3, 6, 2500]);
    both_modes(
        GroupNorm::new(2, 6).weight(false).bias(false),
        &[3, 6, 2500],
    );
    both_modes(
        LayerNorm::new(&[6000]).weight(false).bias(false),
        &[5, 6000],
    );
    both_modes(RmsNorm::new(&[8192]).weight(false), &[5, 8192]);
    let ghost = BatchNorm::new(2).virtual_batch_size(Some(3));
    both_modes(ghost, &[6, 2, 40, 44]);
    let per_sample = Norm::from(InstanceNorm::new(3)).with_weights(true, false);
    both_modes(per_sample, &[2, 3, 4608]);
    let norm = Norm::from(BatchNorm::new(2)).with_activation(Activation::Silu);
    let surrounded = Case::random(&norm, Mode::TRAINING, &[6, 2, 28, 28], 10).unwrap();
    check("own", context(), &surrounded.clone().with_residual());
    for dtype in [DType::F16, DType::BF16] {
        check("own", context(), &surrounded.clone().with_dtype(dtype));
    }
}

/// Each case on one of three devices in turn, by its ladder and, in training, by `strategy`: the own one, the same with fast loads, and without
/// subgroups as well. `surrounded` on the second one, of 16 bits, too. Devices without words of 64 bits do not walk so.
fn with_fast_loads(cases: &[(Norm, &[usize])], strategy: Strategy, surrounded: &Case) {
    let own = *context().caps();
    if !own.shader_int64 {
        return;
    }
    let fast = Caps {
        slow_loads: false,
        ..own
    };
    let no_subgroups = Caps {
        subgroups: None,
        ..fast
    };
    let devices = [
        ("own", own),
        ("fast loads", fast),
        ("no subgroups", no_subgroups),
    ];
    let devices = devices.map(|(device, caps)| (device, context().with_caps(caps).unwrap()));
    for ((norm, shape), (device, context)) in cases.iter().zip(devices.iter().cycle()) {
        for mode in modes(norm) {
            let case = Case::random(norm, mode, shape, 9).unwrap();
            check(device, context, &case.clone().offset(50.0));
            if mode == Mode::TRAINING {
                let forced = Case {
                    strategy: Some(strategy),
                    ..case
                };
                check(device, context, &forced);
            }
        }
    }
    let (device, context) = &devices[1];
    check(device, context, &surrounded.clone().with_residual());
    for dtype in [DType::F16, DType::BF16] {
        check(device, context, &surrounded.clone().with_dtype(dtype));
    }
}

/// Images of few points, which software devices walk row by row: evaluation always, training where loads are fast or if split.
#[test]
fn small_images() {
    let batch = BatchNorm::new;
    let cases: [(Norm, &[usize]); 6] = [
        // Chunks of rows, pieces of a row that differ, a vector to a channel, virtual batches, and the longest run.
        (batch(16).into(), &[2100, 16, 4]),
        (batch(517).into(), &[33, 517, 4, 4]),
        (batch(5000).into(), &[8, 5000, 2, 2]),
        (batch(12).virtual_batch_size(Some(10)).into(), &[40, 12, 8]),
        (
            batch(12).virtual_batch_size(Some(33)).momentum(None).into(),
            &[99, 12, 5, 4],
        ),
        (batch(3).weight(false).into(), &[9, 3, 16, 32]),
    ];
    let norm = Norm::from(batch(24)).with_activation(Activation::Silu);
    let surrounded = Case::random(&norm, Mode::TRAINING, &[16, 24, 6, 6], 10).unwrap();
    with_fast_loads(&cases, Strategy::Split, &surrounded);
}

/// Columns that are groups, of which a subgroup of a software device reads all rows twice in one launch, where loads are fast or if looped.
#[test]
fn columns_read_twice() {
    let last = |norm: InstanceNorm| norm.channels_last(true).affine(true);
    let cases: [(Norm, &[usize]); 5] = [
        // Blocks of rows and pieces of a row that are not all as large, and virtual batches and samples.
        (BatchNorm::new(260).weight(false).into(), &[3, 260]),
        (BatchNorm::new(1100).momentum(None).into(), &[250, 1100]),
        (
            BatchNorm::new(256).virtual_batch_size(Some(30)).into(),
            &[90, 256],
        ),
        (BatchNorm::new(256).into(), &[64, 256]),
        (
            last(InstanceNorm::new(512))
                .track_running_stats(true)
                .into(),
            &[2, 9, 8, 512],
        ),
    ];
    let norm = Norm::from(BatchNorm::new(256)).with_activation(Activation::Silu);
    let surrounded = Case::random(&norm, Mode::TRAINING, &[30, 256], 10).unwrap();
    with_fast_loads(&cases, Strategy::Looped, &surrounded);
}

/// Groups of which a lane keeps more vectors than else, so that a workgroup of a software device can share them.
#[test]
fn groups_that_fill_a_workgroup() {
    both_modes(BatchNorm::new(1), &[2, 1, 256, 264]);
}

/// Rows that the subgroups of a workgroup share on software devices: equal shares of the lanes and others, one launch and several, a last one with
/// fewer rows than there is room for, with what may surround them.
#[test]
fn rows_of_a_whole_workgroup() {
    both_modes(LayerNorm::new(&[8192]), &[16, 8192]);
    both_modes(LayerNorm::new(&[5000]), &[7, 5000]);
    both_modes(LayerNorm::new(&[65_536]), &[19, 65_536]);
    both_modes(RmsNorm::new(&[4608]), &[301, 4608]);
    both_modes(LayerNorm::new(&[6000]).weight(false), &[9, 6000]);
    both_modes(LayerNorm::new(&[6000]).bias(false), &[1, 6000]);
    let norm = Norm::from(RmsNorm::new(&[4608])).with_weights(false, true);
    let surrounded = Case::random(&norm, Mode::TRAINING, &[6, 4608], 13).unwrap();
    check("own", context(), &surrounded.clone().with_residual());
    for dtype in [DType::F16, DType::BF16] {
        check("own", context(), &surrounded.clone().with_dtype(dtype));
    }
}

/// The same rows alone and in a large batch, bit for bit: the order of a sum does not depend on what else there is.
#[test]
fn a_row_does_not_depend_on_its_batch() {
    let devices = devices();
    let affine = [5, 64, 1000, 3001, 20_000].map(|columns| (columns, true));
    let rows = affine.into_iter().chain([(20_000, false)]);
    for (turn, (columns, affine)) in rows.enumerate() {
        for (device, context, _) in by_turns(&devices, turn) {
            let norm = LayerNorm::new(&[columns]).weight(affine).bias(affine);
            let norm = norm.into();
            let large = Case::random(&norm, Mode::TRAINING, &[9, columns], 6).unwrap();
            let mut one = large.clone();
            one.shape = vec![1, columns];
            one.input.truncate(columns);
            one.grad_output.truncate(columns);
            let [one, large] =
                [one, large].map(|case| wgpu_norm::check::results(context, &case).unwrap());
            for tensor in ["output", "grad_input"] {
                assert_eq!(
                    one[tensor],
                    large[tensor][..columns],
                    "{device} {columns} {tensor}"
                );
            }
        }
    }
}

/// The ladders of processors whose loads are of the other speed, and without words of 64 bits: columns that a CPU takes instead of rows where
/// loads are slow, and what it loads once.
#[test]
fn loads_of_any_speed() {
    let own = *context().caps();
    // All but what the device has, which is that of the other tests.
    let mut loads = vec![(!own.slow_loads, false)];
    if own.shader_int64 {
        loads.extend([(!own.slow_loads, true), (own.slow_loads, false)]);
    }
    for (slow_loads, shader_int64) in loads {
        let caps = Caps {
            slow_loads,
            shader_int64,
            ..own
        };
        let context = context().with_caps(caps).unwrap();
        let device = format!("slow_loads {slow_loads}, shader_int64 {shader_int64}");
        let alone = |norm: Norm, shape: &[usize]| {
            let case = Case::random(&norm, Mode::TRAINING, shape, 11).unwrap();
            check(&device, &context, &case);
        };
        // What surrounds a norm knows nothing of the size of words.
        let both = |norm: Norm, shape: &[usize]| {
            alone(norm.clone(), shape);
            if shader_int64 != own.shader_int64 {
                return;
            }
            let norm = norm.with_activation(Activation::Relu);
            let surrounded = Case::random(&norm, Mode::TRAINING, shape, 12).unwrap();
            check(&device, &context, &surrounded.with_residual());
        };
        both(LayerNorm::new(&[1024]).into(), &[37, 1024]);
        alone(RmsNorm::new(&[1600]).into(), &[37, 1600]);
        both(InstanceNorm::new(3).affine(true).into(), &[2, 3, 1500]);
        alone(GroupNorm::new(2, 8).into(), &[5, 8, 1000]);
        let last = |channels| GroupNorm::new(2, channels).channels_last(true);
        alone(last(8).into(), &[5, 300, 8]);
        alone(last(16).into(), &[3, 100, 16]);
        both(BatchNorm::new(24).into(), &[250, 24]);
        alone(BatchNorm::new(24).into(), &[600, 24]);
        let channels = LayerNorm::new(&[300]).channels_first(true);
        alone(channels.into(), &[3, 300, 20]);
        alone(InstanceNorm::new(3).affine(true).into(), &[2, 3, 4800]);
    }
}

/// The limit is on the loops of all strategies together, the forced ones as well.
#[test]
fn forced_strategies_refuse_what_they_cannot_carry() {
    let norm: Norm = LayerNorm::new(&[1_000_000]).into();
    for (device, context) in devices() {
        for strategy in [Strategy::Resident, Strategy::Looped] {
            let mut case = Case::random(&norm, Mode::TRAINING, &[1, 1_000_000], 7).unwrap();
            case.strategy = Some(strategy);
            // Either refused, or right.
            let report = check(device, &context, &case);
            assert!(strategy == Strategy::Looped || report.is_none());
        }
    }
}
