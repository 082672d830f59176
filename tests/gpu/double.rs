//! The second derivative against the reference in f64 and against PyTorch.

mod errors;
mod pytorch;
mod run;

use wgpu_norm::check::Case;
use wgpu_norm::{
    Activation, BatchNorm, Caps, DType, DoubleWanted, Error, GroupNorm, InstanceNorm, Layer,
    LayerNorm, Mode, Norm, Plan, RmsNorm, Tensor,
};

use crate::common::{check, context, devices, judge, modes, new_context, shapes};

fn random(norm: &Norm, mode: Mode, shape: &[usize], seed: u64) -> Case {
    let case = Case::random(norm, mode, shape, seed).unwrap();
    case.with_second_derivative()
}

/// All norms, by turns on the device as it is and on one that it can stand in for; weights of all kinds by turns. Every third in evaluation, too,
/// where there are no sums.
fn agree(norms: &[(Norm, Vec<usize>)]) {
    let (devices, mut worst) = (devices(), 0.0f64);
    for (k, (norm, shape)) in norms.iter().enumerate() {
        let samples = shape.len() > norm.parameter_shape().len();
        let per_sample = k % 3 == 1 && samples && norm.virtual_batch_size().is_none();
        let norm = norm.clone().with_weights(per_sample, k % 4 == 2);
        for mode in modes(&norm).take(1 + usize::from(k % 3 == 0)) {
            let case = random(&norm, mode, shape, k as u64);
            let (name, context) = &devices[k % devices.len()];
            let report = check(name, context, &case).unwrap();
            worst = worst.max(report.worst());
        }
    }
    println!("at most {worst:.1e}");
}

#[test]
fn batch_norm() {
    agree(&shapes::batch());
}

#[test]
fn ghost_batch_norm() {
    agree(&shapes::ghost());
}

#[test]
fn instance_norm() {
    agree(&shapes::instance());
}

#[test]
fn group_norm() {
    agree(&shapes::group());
}

#[test]
fn layer_norm() {
    agree(&shapes::layer());
}

#[test]
fn rms_norm() {
    agree(&shapes::rms());
}

#[test]
fn channels_last() {
    agree(&shapes::channels_last());
}

#[test]
fn channels_first() {
    agree(&shapes::channels_first());
}

/// A few of each, small and with vectors or not.
fn some() -> Vec<(Norm, Vec<usize>)> {
    let tracked = InstanceNorm::new(3).affine(true).track_running_stats(true);
    vec![
        (BatchNorm::new(3).into(), vec![5, 3, 7]),
        (BatchNorm::new(8).affine(false).into(), vec![6, 8]),
        (tracked.into(), vec![4, 3, 8]),
        (GroupNorm::new(2, 6).into(), vec![3, 6, 5]),
        (GroupNorm::new(2, 8).weight(false).into(), vec![3, 8, 4]),
        (LayerNorm::new(&[13]).into(), vec![9, 13]),
        (LayerNorm::new(&[16]).affine(false).into(), vec![4, 16]),
        (
            LayerNorm::new(&[5]).channels_first(true).into(),
            vec![3, 5, 8],
        ),
        (RmsNorm::new(&[12]).into(), vec![7, 12]),
        (RmsNorm::new(&[7]).weight(false).into(), vec![7, 7]),
    ]
}

#[test]
fn any_offset() {
    for offset in [1e2, 1e4, 1e6] {
        for (norm, shape) in some() {
            // RMS norm of a large offset is constant.
            if !matches!(norm, Norm::Rms(_)) {
                let case = random(&norm, Mode::TRAINING, &shape, 3).offset(offset);
                let worst = check("own", context(), &case).unwrap().worst();
                println!("{offset:e} {}: {worst:.1e}", norm.name());
            }
        }
    }
}

/// Squares of rstd would not fit f32.
#[test]
fn any_scale() {
    for (scale, back) in [(1e-22f32, 1e-9), (1e-9, 1.0), (1e12, 1.0), (1e17, 1e9)] {
        let norm = LayerNorm::new(&[24]).eps(0.0).into();
        let mut case = random(&norm, Mode::TRAINING, &[5, 24], 8);
        case.input.iter_mut().for_each(|x| *x *= scale);
        case.grad_output.iter_mut().for_each(|g| *g *= back);
        let u = case.grad_grad_input.iter_mut().flatten();
        u.for_each(|u| *u *= back);
        let mut report = wgpu_norm::check::run(context(), &case).unwrap();
        // The variance itself is under or over what f32 has; rstd is not.
        report.rows.retain(|row| row.tensor != "var");
        judge("own", &case, Ok(report));
    }
}

#[test]
fn a_constant_group_has_none() {
    let norm = Norm::from(LayerNorm::new(&[6]).eps(0.0));
    let mut case = random(&norm, Mode::TRAINING, &[3, 6], 8);
    case.input[..6].fill(0.1);
    check("own", context(), &case);
    let results = run::all(context(), &case);
    assert_eq!(results["double_grad_input"][..6], [0.0; 6]);
    assert_eq!(results["grad_grad_output"][..6], [0.0; 6]);
}

/// Each set of gradients alone gives the same bits as all of them, and none does nothing.
#[test]
fn any_set_of_gradients() {
    for (norm, shape) in some() {
        for mode in modes(&norm) {
            let case = random(&norm, mode, &shape, 4);
            let all = run::all(context(), &case);
            for bits in 0..7u8 {
                let wanted = DoubleWanted {
                    input: bits & 1 != 0,
                    weight: bits & 2 != 0,
                    grad_output: bits & 4 != 0,
                };
                let some = run::run(context(), &case, wanted, [None; 2]).unwrap();
                let has = norm.has_weight() && wanted.weight;
                let number = usize::from(wanted.input) + usize::from(wanted.grad_output);
                assert_eq!(some.len(), number + usize::from(has));
                for (name, values) in some {
                    assert_eq!(values, all[name], "{norm:?} {mode:?} {wanted:?} {name}");
                }
            }
        }
    }
}

/// Gradients over what they are made from, the same bits.
#[test]
fn in_place() {
    for (norm, shape) in some() {
        let case = random(&norm, Mode::TRAINING, &shape, 5);
        let want = run::all(context(), &case);
        for over in run::OVER {
            let got = run::run(context(), &case, run::ALL, over).unwrap();
            assert_eq!(got, want, "{norm:?} {over:?}");
        }
    }
}

/// Each norm in one type and by turns on the device as it is and on another one; f16 by conversions of the device and packed.
#[test]
fn data_of_16_bits() {
    let devices = devices();
    for (k, (norm, shape)) in some().into_iter().enumerate() {
        let dtype = [DType::F16, DType::BF16][k / devices.len() % 2];
        let case = random(&norm, Mode::TRAINING, &shape, 6).with_dtype(dtype);
        let (name, context) = &devices[k % devices.len()];
        // Without f16 in shaders it is packed as well.
        let packed = Caps {
            shader_f16: false,
            ..*context.caps()
        };
        check(name, &context.with_caps(packed).unwrap(), &case);
        if context.caps().shader_f16 && dtype == DType::F16 {
            check(name, context, &case);
        }
    }
}

/// Tensors in slices of a binding, and groups in so many parts.
#[test]
fn slices() {
    let caps = Caps {
        max_binding_size: 1 << 16,
        ..*context().caps()
    };
    let context = context().with_caps(caps).unwrap();
    let norms: [(Norm, &[usize]); 7] = [
        (BatchNorm::new(3).into(), &[7, 3, 1999]),
        (BatchNorm::new(5).channels_last(true).into(), &[2, 8100, 5]),
        (InstanceNorm::new(4).affine(true).into(), &[3, 4, 4000]),
        (GroupNorm::new(2, 6).into(), &[5, 6, 1201]),
        (LayerNorm::new(&[511]).into(), &[65, 511]),
        (
            RmsNorm::new(&[17]).channels_first(true).into(),
            &[3, 17, 600],
        ),
        (
            LayerNorm::new(&[40]).channels_first(true).into(),
            &[1, 40, 600],
        ),
    ];
    for (norm, shape) in norms {
        let case = random(&norm, Mode::TRAINING, shape, 2);
        check("sliced", &context, &case);
    }
}

/// Layers do what plans do, bit for bit, into tensors of their own.
#[test]
fn layers() {
    for (norm, shape) in some() {
        let case = random(&norm, Mode::TRAINING, &shape, 9);
        let want = run::all(context(), &case);
        let layer = Layer::new(context(), norm).unwrap();
        for (tensor, values) in [(layer.weight(), &case.weight), (layer.bias(), &case.bias)] {
            if let (Some(tensor), Some(values)) = (tensor, values) {
                tensor.write(values).unwrap();
            }
        }
        let tensor = |values: &[f32]| Tensor::from_slice(context(), values, &shape).unwrap();
        let forward = layer.forward(&tensor(&case.input), Mode::TRAINING).unwrap();
        let u = tensor(case.grad_grad_input.as_ref().unwrap());
        let grad_output = tensor(&case.grad_output);
        let got = layer.double_backward(&forward.saved, &grad_output, &u);
        let got = got.unwrap();
        let values = |tensor: &Tensor| tensor.to_vec().unwrap();
        assert_eq!(values(&got.grad_input), want["double_grad_input"]);
        assert_eq!(values(&got.grad_grad_output), want["grad_grad_output"]);
        let grad_weight = got.grad_weight.as_ref().map(values);
        assert_eq!(grad_weight.as_ref(), want.get("double_grad_weight"));
    }
}

/// What a warm-up compiles is what the passes launch, whatever the norm.
#[test]
fn a_warm_up_leaves_nothing_to_compile() {
    for (norm, shape) in some() {
        let context = new_context();
        let plan = Plan::new(&context, norm.clone(), &shape, Mode::TRAINING).unwrap();
        let forward = plan.warm_up().unwrap();
        let report = plan.warm_up_double_backward().unwrap();
        assert!(report.pipelines > 0 && report.scratch_bytes > 0);
        let all = forward.pipelines + report.pipelines;
        assert_eq!(context.pipeline_count(), all);
        run::all(&context, &random(&norm, Mode::TRAINING, &shape, 1));
        assert_eq!(context.pipeline_count(), all, "{norm:?}");
        assert_eq!(plan.warm_up_double_backward().unwrap().pipelines, 0);
    }
    let norm = LayerNorm::new(&[4]).activation(Activation::Relu);
    let plan = Plan::new(context(), norm, &[3, 4], Mode::TRAINING).unwrap();
    let error = plan.warm_up_double_backward().unwrap_err();
    assert!(matches!(error, Error::Unexpected(..)));
}

/// Nothing but a gradient of 0 of the weight.
#[test]
fn empty_tensors() {
    let norms: [(Norm, &[usize]); 3] = [
        (LayerNorm::new(&[4]).into(), &[0, 4]),
        (BatchNorm::new(3).into(), &[0, 3, 2]),
        (GroupNorm::new(1, 2).into(), &[2, 2, 0]),
    ];
    for (norm, shape) in norms {
        let results = run::all(context(), &random(&norm, Mode::TRAINING, shape, 1));
        assert!(results["double_grad_input"].is_empty());
        assert!(results["grad_grad_output"].is_empty());
        let weight = &results["double_grad_weight"];
        assert!(!weight.is_empty() && weight.iter().all(|x| *x == 0.0));
    }
}

/// The sums of the groups, six for each, where their statistics just fit.
#[test]
fn sums_that_do_not_fit_are_refused() {
    let caps = Caps {
        max_binding_size: 16 * 300,
        ..*context().caps()
    };
    let context = context().with_caps(caps).unwrap();
    let norm = Norm::from(LayerNorm::new(&[2]).affine(false));
    let case = random(&norm, Mode::TRAINING, &[300, 2], 1);
    let error = run::run(&context, &case, run::ALL, [None; 2]).unwrap_err();
    let Error::Limit {
        needed, allowed, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((needed, allowed), (24 * 300, 16 * 300));
}
