//! Tensors larger than a binding, which are processed in slices.

use wgpu_norm::check::{Case, results, run};
use wgpu_norm::{
    BatchNorm, Caps, Context, Error, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, Plan, RmsNorm,
    reference,
};

use crate::common::{TOLERANCE, by_turns, context, judge, own_devices};

/// The device, told that it binds no more than `bytes`.
fn with_bindings(context: &Context, bytes: u64) -> Context {
    let caps = Caps {
        max_binding_size: bytes,
        ..*context.caps()
    };
    context.with_caps(caps).unwrap()
}

/// Slices of some samples, of one sample, of some channels of a sample; of odd sizes too, whose bindings cannot begin where they do.
#[test]
fn every_norm_in_slices() {
    let cases: [(Norm, &[usize], u64); 20] = [
        (BatchNorm::new(6).into(), &[40, 6, 35], 8192),
        (BatchNorm::new(6).momentum(None).into(), &[300, 6], 2048),
        (BatchNorm::new(8).into(), &[3, 8, 20, 20], 4096),
        (
            InstanceNorm::new(5)
                .affine(true)
                .track_running_stats(true)
                .into(),
            &[9, 5, 77],
            4096,
        ),
        (InstanceNorm::new(5).affine(true).into(), &[2, 5, 600], 8192),
        (GroupNorm::new(2, 8).into(), &[9, 8, 51], 8192),
        (GroupNorm::new(4, 8).into(), &[2, 8, 300], 4096),
        (LayerNorm::new(&[33]).into(), &[200, 33], 4096),
        (RmsNorm::new(&[7, 12]).into(), &[3, 25, 7, 12], 12_288),
        // Seven rows, of which a workgroup of a software device takes some at once, and two.
        (LayerNorm::new(&[4608]).into(), &[16, 4608], 131_072),
        // Points of a sample, samples, channels of a sample, virtual batches and samples of one.
        (
            BatchNorm::new(6).channels_last(true).into(),
            &[40, 35, 6],
            8192,
        ),
        (
            InstanceNorm::new(8).affine(true).channels_last(true).into(),
            &[3, 301, 8],
            8192,
        ),
        (
            InstanceNorm::new(8)
                .affine(true)
                .channels_last(true)
                .track_running_stats(true)
                .into(),
            &[30, 21, 8],
            8192,
        ),
        (
            GroupNorm::new(2, 8).channels_last(true).into(),
            &[3, 301, 8],
            4096,
        ),
        (
            LayerNorm::new(&[12]).channels_first(true).into(),
            &[30, 12, 8],
            8192,
        ),
        (
            LayerNorm::new(&[70]).channels_first(true).into(),
            &[2, 70, 60],
            8192,
        ),
        (
            BatchNorm::new(8).virtual_batch_size(Some(150)).into(),
            &[450, 8],
            4096,
        ),
        (
            BatchNorm::new(6).virtual_batch_size(Some(5)).into(),
            &[20, 6, 35],
            8192,
        ),
        // Small images: some samples of a virtual batch, or of all.
        (BatchNorm::new(6).into(), &[100, 6, 6, 6], 16_384),
        (
            BatchNorm::new(6).virtual_batch_size(Some(20)).into(),
            &[60, 6, 6, 6],
            16_384,
        ),
    ];
    let devices = own_devices();
    for (turn, (norm, shape, bytes)) in cases.iter().enumerate() {
        for (device, context, strategies) in by_turns(&devices, turn) {
            let context = with_bindings(context, *bytes);
            for mode in [Mode::TRAINING, Mode::EVAL] {
                let plan = Plan::new(&context, norm.clone(), shape, mode).unwrap();
                let launches = plan.forward_recipe().unwrap().unwrap().steps;
                assert!(
                    launches.iter().any(|step| step.window.is_some()),
                    "{norm:?}"
                );
                let strategies = strategies
                    .iter()
                    .filter(|s| s.is_none() || mode == Mode::TRAINING);
                for &strategy in strategies {
                    let mut case = Case::random(norm, mode, shape, 4).unwrap().offset(50.0);
                    case.strategy = strategy;
                    match run(&context, &case) {
                        // A split that is forced has more partial results.
                        Err(Error::Limit { .. }) if strategy.is_some() => {}
                        report => drop(judge(device, &case, report)),
                    }
                }
            }
        }
    }
}

/// 200 MiB, over the 128 MiB that lavapipe and WebGPU's defaults bind: a block of samples over and over,
/// so that the results are those of one block.
fn two_hundred_mib(norm: impl Into<Norm>, block: &[usize]) {
    let norm = norm.into();
    let elements: usize = block.iter().product();
    let copies = (200 << 20) / 4 / elements;
    let own = with_bindings(context(), 128 << 20);
    let small = Case::random(&norm, Mode::TRAINING, block, 1)
        .unwrap()
        .offset(10.0);
    let mut large = small.clone();
    large.shape[0] *= copies;
    large.input = small.input.repeat(copies);
    large.grad_output = small.grad_output.repeat(copies);
    let got = results(&own, &large).unwrap();

    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let parameters = reference::Parameters {
        weight: small.weight.as_deref().map(wide),
        bias: small.bias.as_deref().map(wide),
        running_mean: small.running_mean.as_deref().map(wide),
        running_var: small.running_var.as_deref().map(wide),
        num_batches_tracked: small.num_batches_tracked.into(),
    };
    let (input, grad_output) = (wide(&small.input), wide(&small.grad_output));
    let (mode, shape) = (small.mode, small.shape.as_slice());
    let forward = reference::forward(&norm, mode, shape, &input, &parameters).unwrap();
    let backward =
        reference::backward(&norm, mode, shape, &input, &parameters, &grad_output).unwrap();
    let compare = |tensor: &str, got: &[f32], want: &[f64], factor: f64| {
        let error: f64 = got
            .iter()
            .zip(want)
            .map(|(g, w)| (f64::from(*g) - w * factor).powi(2))
            .sum();
        let size: f64 = want.iter().map(|w| (w * factor).powi(2)).sum();
        assert!(
            error <= TOLERANCE.powi(2) * size,
            "{norm:?} {tensor}: {error} of {size}"
        );
    };
    for (tensor, want) in [
        ("output", &forward.output),
        ("grad_input", &backward.grad_input),
    ] {
        assert_eq!(got[tensor].len(), copies * elements);
        for copy in got[tensor].chunks(elements) {
            compare(tensor, copy, want, 1.0);
        }
    }
    for (tensor, want) in [
        ("grad_weight", &backward.grad_weight),
        ("grad_bias", &backward.grad_bias),
    ] {
        if let Some(want) = want {
            compare(tensor, &got[tensor], want, copies as f64);
        }
    }
}

#[test]
fn two_hundred_mib_of_batch_norm() {
    two_hundred_mib(BatchNorm::new(64), &[2, 64, 64, 50]);
}

#[test]
fn two_hundred_mib_of_layer_norm() {
    two_hundred_mib(LayerNorm::new(&[1000]), &[256, 1000]);
}

#[test]
fn two_hundred_mib_of_group_norm() {
    two_hundred_mib(GroupNorm::new(4, 32), &[1, 32, 100, 64]);
}

/// What cannot be split, with both numbers.
#[test]
fn a_row_over_the_limit_is_an_error() {
    let context = with_bindings(context(), 4096);
    let error = Plan::new(&context, LayerNorm::new(&[2000]), &[3, 2000], Mode::EVAL).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Limit {
                needed: 8000,
                limit: "max_storage_buffer_binding_size",
                ..
            }
        ),
        "{error}"
    );
    // Each row needs 16 bytes of statistics.
    let error = Plan::new(&context, LayerNorm::new(&[2]), &[300, 2], Mode::EVAL).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Limit {
                needed: 4800,
                allowed: 4096,
                ..
            }
        ),
        "{error}"
    );
}
