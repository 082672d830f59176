//! What the ladder chooses on lavapipe for groups and rows that do not fit the registers of a subgroup, and for channels of few elements.

use wgpu_norm::kernel::{Kernel, Slot};
use wgpu_norm::source::Team;
use wgpu_norm::{
    Activation, BatchNorm, Caps, DType, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm,
    Strategy,
};

use crate::problems::{LAVAPIPE, Pick, all_gradients, recipe};

/// The subgroups that share a group and the vectors that each of their lanes keeps, forward and backward.
fn shares(norm: impl Into<Norm>, shape: &[usize], caps: &Caps) -> [Option<(u32, u32)>; 2] {
    let norm = norm.into();
    let backward = all_gradients(DType::F32);
    let forward = Pick {
        wanted: None,
        ..backward
    };
    [forward, backward].map(|pick| {
        let recipe = recipe(&norm, shape, caps, pick).unwrap();
        let [first, ..] = &recipe.steps[..] else {
            panic!("no launches")
        };
        let Team::Subgroups { size } = first.variant.tile.team else {
            return None;
        };
        if first.kernel == Kernel::GradRows {
            return None;
        }
        let kernels = [Kernel::NormalizeGroups, Kernel::GradInputGroups];
        assert!(kernels.contains(&first.kernel), "{first:#?}");
        assert_eq!(recipe.strategy, Strategy::Resident);
        Some((first.variant.tile.lanes / size, first.variant.held))
    })
}

/// With AVX-512.
const FAST_LOADS: Caps = Caps {
    slow_loads: false,
    ..LAVAPIPE
};

/// Without words of 64 bits, with smaller workgroups, and a GPU.
const fn others() -> [Caps; 3] {
    [
        Caps {
            shader_int64: false,
            ..LAVAPIPE
        },
        Caps {
            max_workgroup_size: 128,
            ..LAVAPIPE
        },
        Caps {
            cpu: false,
            ..LAVAPIPE
        },
    ]
}

#[test]
fn subgroups_share_what_is_too_long_for_one() {
    let instance = |length| {
        let norm = InstanceNorm::new(3).affine(true);
        shares(norm, &[2, 3, length], &LAVAPIPE)
    };
    // Up to 64 vectors a lane forward and 128 backward are kept by one.
    assert_eq!(instance(2048), [None, None]);
    assert_eq!(instance(2560), [Some((4, 20)), None]);
    assert_eq!(instance(4096), [Some((4, 32)), None]);
    assert_eq!(instance(4608), [Some((6, 24)); 2]);
    // Shares that differ.
    assert_eq!(instance(5000), [Some((6, 32)); 2]);
    // 1,024 lanes, which have more than 32 vectors if cores are few.
    assert_eq!(instance(131_072), [Some((128, 32)); 2]);
    assert_eq!(instance(131_200), [Some((100, 41)); 2]);
    assert_eq!(instance(524_288), [Some((128, 128)); 2]);
    assert_eq!(instance(524_320), [None, None]);
    let images = [8, 3, 224, 224];
    let batch = BatchNorm::new(3);
    assert_eq!(shares(batch, &images, &LAVAPIPE), [Some((128, 98)); 2]);
    let many_cores = Caps {
        cores: 8,
        ..LAVAPIPE
    };
    assert_eq!(shares(batch, &images, &many_cores), [None, None]);

    let images = [32, 64, 56, 56];
    let batch = BatchNorm::new(64);
    assert_eq!(shares(batch, &images, &LAVAPIPE), [Some((98, 32)); 2]);
    // A weight and a bias for each run: a subgroup has them once, if none has vectors of two.
    let group = |shape| shares(GroupNorm::new(32, 128), shape, &LAVAPIPE);
    assert_eq!(group(&[16, 128, 32, 32]), [Some((4, 32)), None]);
    assert_eq!(group(&[16, 128, 28, 28]), [None, None]);
    // One for each element.
    let layer = LayerNorm::new(&[8192]);
    assert_eq!(shares(layer.clone(), &[64, 8192], &LAVAPIPE), [None, None]);
    let plain = layer.weight(false).bias(false);
    assert_eq!(shares(plain, &[64, 8192], &LAVAPIPE), [Some((8, 32)); 2]);

    // Backward alone where loads are fast.
    assert_eq!(shares(batch, &images, &FAST_LOADS), [None, Some((98, 32))]);
    for other in others() {
        assert_eq!(shares(batch, &images, &other), [None, None]);
    }
}

/// The kernels of the passes of batch norm in a mode that walk the tensor row by row.
fn by_rows(shape: &[usize], mode: Mode, caps: &Caps) -> Vec<Kernel> {
    let norm = BatchNorm::new(shape[1]).into();
    let backward = Pick {
        mode,
        ..all_gradients(DType::F32)
    };
    let forward = Pick {
        wanted: None,
        ..backward
    };
    let recipes = [forward, backward].map(|pick| recipe(&norm, shape, caps, pick).unwrap());
    let steps = recipes.iter().flat_map(|recipe| &recipe.steps);
    let rows = steps.filter(|step| step.variant.by_rows);
    rows.map(|step| step.kernel).collect()
}

#[test]
fn small_images_are_walked_row_by_row() {
    use Kernel::{GradInput, GradientSums, Normalize, Statistics};
    let images = [64, 256, 14, 14];
    let training = |shape: &[usize], caps| by_rows(shape, Mode::TRAINING, caps);
    let both_passes = [Statistics, Normalize, GradientSums, GradInput];
    assert_eq!(training(&images, &FAST_LOADS), both_passes);
    // Where loads are slow they are kept by the subgroups of a workgroup.
    assert_eq!(training(&images, &LAVAPIPE), []);
    let evaluation = [Normalize, GradientSums, GradInput];
    for caps in [LAVAPIPE, FAST_LOADS] {
        assert_eq!(by_rows(&images, Mode::EVAL, &caps), evaluation);
        // Few images, large ones, and those whose channels do not begin at multiples of a vector.
        for others in [[4, 256, 14, 14], [64, 256, 28, 28], [64, 256, 7, 7]] {
            assert_eq!(by_rows(&others, Mode::EVAL, &caps), []);
        }
    }
    // More columns than scratch memory has room for the sums of.
    assert_eq!(training(&[8, 2048, 16, 16], &FAST_LOADS), []);
    let short_words = Caps {
        shader_int64: false,
        ..FAST_LOADS
    };
    let gpu = Caps {
        cpu: false,
        ..FAST_LOADS
    };
    for other in [short_words, gpu] {
        assert_eq!(by_rows(&images, Mode::EVAL, &other), []);
        assert_eq!(by_rows(&images, Mode::TRAINING, &other), []);
    }
}

#[test]
fn columns_are_read_twice_where_each_core_has_some() {
    let columns = |norm: BatchNorm, shape: &[usize], caps: &Caps| {
        let forward = Pick {
            wanted: None,
            ..all_gradients(DType::F32)
        };
        let recipe = recipe(&norm.into(), shape, caps, forward).unwrap();
        let step = &recipe.steps[0];
        let looped = recipe.strategy == Strategy::Looped;
        (looped && step.variant.by_rows).then_some((step.variant.columns, step.workgroups))
    };
    let looped = |shape: &[usize], caps: &Caps| columns(BatchNorm::new(shape[1]), shape, caps);
    // Pieces of 1 KB.
    assert_eq!(looped(&[256, 1024], &FAST_LOADS), Some((8, 4)));
    assert_eq!(looped(&[2048, 256], &FAST_LOADS), Some((4, 2)));
    let many_cores = |cores| Caps {
        cores,
        ..FAST_LOADS
    };
    assert_eq!(looped(&[256, 1024], &many_cores(8)), Some((4, 8)));
    assert_eq!(looped(&[256, 1024], &many_cores(16)), None);
    // Few columns, of all rows or of those of a virtual batch, many rows, and where loads are slow.
    let ghost = |channels| {
        let norm = BatchNorm::new(channels).virtual_batch_size(Some(10));
        columns(norm, &[640, channels], &FAST_LOADS)
    };
    assert_eq!(ghost(64), None);
    assert_eq!(ghost(256), Some((8, 64)));
    assert_eq!(looped(&[256, 64], &FAST_LOADS), None);
    assert_eq!(looped(&[2049, 1024], &FAST_LOADS), None);
    assert_eq!(looped(&[256, 1024], &LAVAPIPE), None);
    let short_words = Caps {
        shader_int64: false,
        ..FAST_LOADS
    };
    assert_eq!(looped(&[256, 1024], &short_words), None);
}

/// What a launch of the backward pass of shared rows has: subgroups, vectors of a lane and rows, workgroups; and the number of launches.
fn shares_rows(norm: impl Into<Norm>, shape: &[usize], caps: &Caps) -> Option<[u32; 5]> {
    let recipe = recipe(&norm.into(), shape, caps, all_gradients(DType::F32)).unwrap();
    let launches = recipe.steps.iter();
    let launches = launches.filter(|step| step.kernel == Kernel::GradRows);
    let [first, ..] = &recipe.steps[..] else {
        panic!("no launches")
    };
    let Team::Subgroups { size } = first.variant.tile.team else {
        return None;
    };
    assert_eq!(recipe.strategy, Strategy::Resident);
    let variant = &first.variant;
    Some([
        variant.tile.lanes / size,
        variant.held,
        variant.at_once,
        first.workgroups,
        launches.count() as u32,
    ])
}

#[test]
fn subgroups_share_rows_that_are_too_long_for_one() {
    let layer = |rows, columns| {
        let norm = LayerNorm::new(&[columns]);
        shares_rows(norm, &[rows, columns], &LAVAPIPE)
    };
    // Up to 4,096 elements are kept by one.
    assert_eq!(layer(64, 4096), None);
    assert_eq!(layer(64, 4608), Some([9, 16, 4, 16, 1]));
    // Half a MiB of sums for each workgroup.
    assert_eq!(layer(64, 65_536), Some([128, 16, 4, 2, 8]));
    assert_eq!(layer(64, 65_552), None);
    // As many rows at once as each core gets, and as many cores.
    assert_eq!(layer(5, 65_536), Some([128, 16, 2, 2, 2]));
    assert_eq!(layer(1, 65_536), Some([128, 16, 1, 1, 1]));
    // Lanes that have not all as many vectors.
    assert_eq!(layer(64, 5000), Some([12, 16, 4, 16, 1]));
    let norm = || RmsNorm::new(&[32_768]);
    let shape = [512, 32_768];
    let rms = |caps: &Caps| shares_rows(norm(), &shape, caps);
    assert_eq!(rms(&LAVAPIPE), Some([64, 16, 4, 6, 22]));
    assert_eq!(rms(&FAST_LOADS), rms(&LAVAPIPE));

    // Nor where cores would have no work, nor with an activation.
    let many_cores = Caps {
        cores: 8,
        ..LAVAPIPE
    };
    for other in others().into_iter().chain([many_cores]) {
        assert_eq!(rms(&other), None);
    }
    let activated = Norm::from(norm()).with_activation(Activation::Relu);
    assert_eq!(shares_rows(activated, &shape, &LAVAPIPE), None);
}

#[test]
fn one_sum_of_each_channel_and_slice_is_its_gradient() {
    let gpu = Caps {
        max_binding_size: 128 << 20,
        ..Caps::WEBGPU
    };
    let shape = [64, 1 << 20];
    for caps in [LAVAPIPE, gpu] {
        for max_binding_size in [128 << 20, 1 << 30] {
            let caps = Caps {
                max_binding_size,
                ..caps
            };
            let norm = LayerNorm::new(&[1 << 20]).into();
            let recipe = recipe(&norm, &shape, &caps, all_gradients(DType::F32)).unwrap();
            let writes = recipe.steps.iter().filter(|step| {
                let optional = step.variant.optional;
                optional.contains(Slot::GradWeight) && optional.contains(Slot::GradBias)
            });
            // Three slices begin at multiples of a row, or there is one.
            let slices = if max_binding_size == 128 << 20 { 3 } else { 1 };
            let first_partials: Vec<u32> = writes.map(|step| step.params.first_partial).collect();
            assert_eq!(first_partials.len(), slices, "{recipe:#?}");
            let (first, others) = first_partials.split_first().unwrap();
            assert_eq!(*first, 0);
            assert!(others.iter().all(|&partial| partial != 0));
            let bytes = recipe.partials_bytes + recipe.sums_bytes + recipe.merged_bytes;
            assert!(bytes <= 1 << 20, "{recipe:#?}");
        }
    }
}
