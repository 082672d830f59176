//! What the ladder chooses on lavapipe for groups that do not fit the registers of a subgroup.

use wgpu_norm::kernel::Kernel;
use wgpu_norm::source::Team;
use wgpu_norm::{
    BatchNorm, Caps, DType, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, Strategy, Wanted,
};

use crate::problems::{Pick, recipe};

const LAVAPIPE: Caps = Caps {
    cpu: true,
    slow_loads: true,
    shader_int64: true,
    subgroups: Some((8, 8)),
    max_workgroup_size: 1024,
    ..Caps::WEBGPU
};

/// The subgroups that share a group and the vectors that each of their lanes keeps, forward and backward.
fn shares(norm: impl Into<Norm>, shape: &[usize], caps: &Caps) -> [Option<(u32, u32)>; 2] {
    let norm = norm.into();
    let all = Wanted {
        input: true,
        weight: true,
        bias: true,
        residual: false,
    };
    [None, Some(all)].map(|wanted| {
        let pick = Pick {
            dtype: DType::F32,
            mode: Mode::TRAINING,
            strategy: None,
            wanted,
            residual: false,
        };
        let recipe = recipe(&norm, shape, caps, pick).unwrap();
        let [first, ..] = &recipe.steps[..] else {
            panic!("no launches")
        };
        let Team::Subgroups { size } = first.variant.tile.team else {
            return None;
        };
        let kernels = [Kernel::NormalizeGroups, Kernel::GradInputGroups];
        assert!(kernels.contains(&first.kernel), "{first:#?}");
        assert_eq!(recipe.strategy, Strategy::Resident);
        Some((first.variant.tile.lanes / size, first.variant.held))
    })
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
    // 1,024 lanes.
    assert_eq!(instance(131_072), [Some((128, 32)); 2]);
    assert_eq!(instance(131_200), [None, None]);

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

    // Not with fast loads, without words of 64 bits or with smaller workgroups, nor on GPUs.
    for other in [
        Caps {
            slow_loads: false,
            ..LAVAPIPE
        },
        Caps {
            shader_int64: false,
            ..LAVAPIPE
        },
        Caps {
            max_workgroup_size: 256,
            ..LAVAPIPE
        },
        Caps {
            cpu: false,
            ..LAVAPIPE
        },
    ] {
        assert_eq!(shares(batch, &images, &other), [None, None]);
    }
}
