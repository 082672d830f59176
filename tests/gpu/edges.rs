//! Semantics where there is nothing to divide by: empty batches, constant groups, eps 0, NaN and infinity.

use wgpu_norm::check::{Case, results};
use wgpu_norm::{
    BatchNorm, Error, GroupNorm, InstanceNorm, Layer, LayerNorm, Mode, Norm, RmsNorm, Tensor,
};

use crate::common::{by_turns, channel_of, check, context, group_of, own_devices};

#[test]
fn empty_batch() {
    let norms: [(Norm, &[usize]); 5] = [
        (BatchNorm::new(3).into(), &[0, 3, 4]),
        (
            InstanceNorm::new(3)
                .affine(true)
                .track_running_stats(true)
                .into(),
            &[0, 3, 4],
        ),
        (GroupNorm::new(3, 3).into(), &[0, 3, 4]),
        (LayerNorm::new(&[4]).into(), &[0, 3, 4]),
        (RmsNorm::new(&[4]).into(), &[0, 3, 4]),
    ];
    for (norm, shape) in norms {
        let layer = Layer::new(context(), norm.clone()).unwrap();
        let before = layer.state().unwrap();
        let input = Tensor::uninit(context(), shape).unwrap();
        let forward = layer.forward(&input, Mode::TRAINING).unwrap();
        assert_eq!(forward.output.shape(), shape);
        assert!(forward.output.to_vec().unwrap().is_empty());
        let gradients = layer.backward(&forward.saved, &input).unwrap();
        for gradient in [gradients.grad_weight, gradients.grad_bias]
            .into_iter()
            .flatten()
        {
            let zeros = vec![0.0; gradient.len()];
            assert_eq!(gradient.to_vec().unwrap(), zeros);
        }
        assert_eq!(
            layer.state().unwrap(),
            before,
            "running statistics untouched"
        );
        // Also where the places of the gradients held something else.
        for mode in [Mode::TRAINING, Mode::EVAL] {
            check(
                "own",
                context(),
                &Case::random(&norm, mode, shape, 0).unwrap(),
            );
        }
    }
}

/// Whatever the constant: 0.1 is not a binary fraction, and its sum is rounded.
#[test]
fn a_constant_group_gives_exactly_the_bias() {
    let norms: [(Norm, &[usize]); 5] = [
        (BatchNorm::new(3).into(), &[5, 3, 7]),
        (BatchNorm::new(3).into(), &[300, 3]),
        (InstanceNorm::new(3).affine(true).into(), &[2, 3, 35]),
        (GroupNorm::new(1, 3).into(), &[2, 3, 12]),
        (LayerNorm::new(&[777]).into(), &[3, 777]),
    ];
    let devices = own_devices();
    for (turn, (norm, shape)) in norms.iter().enumerate() {
        for (device, context, strategies) in by_turns(&devices, turn) {
            for strategy in strategies {
                for constant in [0.1, -1e7, 3.4e15] {
                    let mut case = Case::random(norm, Mode::TRAINING, shape, 1).unwrap();
                    case.input.fill(constant);
                    case.strategy = strategy;
                    let results = match results(context, &case) {
                        Err(Error::Strategy { .. }) => continue,
                        results => results.unwrap(),
                    };
                    let bias = case.bias.as_ref().unwrap();
                    for (k, output) in results["output"].iter().enumerate() {
                        let channel = channel_of(norm, shape, k);
                        assert_eq!(*output, bias[channel], "{device} {norm:?} {constant} {k}");
                    }
                    assert!(results["grad_input"].iter().all(|x| x.is_finite()));
                }
            }
        }
    }
}

#[test]
fn eps_may_be_zero_and_no_variance_then_gives_rstd_zero() {
    let norms: [Norm; 3] = [
        BatchNorm::new(2).eps(0.0).into(),
        GroupNorm::new(2, 2).eps(0.0).into(),
        InstanceNorm::new(2).eps(0.0).affine(true).into(),
    ];
    for norm in norms {
        let mut case = Case::random(&norm, Mode::TRAINING, &[2, 2, 8], 2).unwrap();
        check("own", context(), &case);
        case.input.fill(0.7);
        let results = results(context(), &case).unwrap();
        assert!(results["rstd"].iter().all(|&rstd| rstd == 0.0));
        assert!(
            results["grad_input"]
                .iter()
                .all(|&gradient| gradient == 0.0)
        );
        assert!(
            results["grad_weight"]
                .iter()
                .all(|&gradient| gradient == 0.0)
        );
    }
    let mut rms =
        Case::random(&RmsNorm::new(&[8]).eps(0.0).into(), Mode::EVAL, &[3, 8], 2).unwrap();
    rms.input.fill(0.0);
    let results = results(context(), &rms).unwrap();
    assert!(
        results["output"]
            .iter()
            .chain(&results["grad_input"])
            .all(|&x| x == 0.0)
    );
}

/// All other groups keep every bit.
#[test]
fn nan_and_infinity_stay_in_their_group() {
    let norms: [(Norm, &[usize]); 5] = [
        (BatchNorm::new(4).into(), &[3, 4, 10]),
        (BatchNorm::new(4).into(), &[9, 4]),
        (InstanceNorm::new(4).into(), &[3, 4, 10]),
        (GroupNorm::new(2, 4).affine(false).into(), &[3, 4, 10]),
        (LayerNorm::new(&[40]).into(), &[3, 40]),
    ];
    for (device, context) in own_devices() {
        for (norm, shape) in &norms {
            let case = Case::random(norm, Mode::TRAINING, shape, 4).unwrap();
            let clean = results(&context, &case).unwrap();
            for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut poisoned = case.clone();
                poisoned.input[1] = poison;
                let got = results(&context, &poisoned).unwrap();
                let groups = got["mean"].len();
                let bad: Vec<usize> = (0..groups)
                    .filter(|&g| !got["rstd"][g].is_finite())
                    .collect();
                assert_eq!(bad.len(), 1, "{device} {norm:?}");
                let mut touched = 0;
                for tensor in ["output", "grad_input"] {
                    for (k, (got, clean)) in got[tensor].iter().zip(&clean[tensor]).enumerate() {
                        if group_of(norm, shape, k) == bad[0] {
                            touched += usize::from(!got.is_finite());
                        } else {
                            assert_eq!(
                                got.to_bits(),
                                clean.to_bits(),
                                "{device} {norm:?} {tensor} {k}"
                            );
                        }
                    }
                }
                assert!(touched > 0);
            }
        }
    }
}
