use rand::{SeedableRng, rngs::StdRng};

use super::{MODES, assert_close, configurations, random, random_parameters};
use crate::error::Error;
use crate::ops::{BatchNorm, LayerNorm, Mode, Norm, RmsNorm};
use crate::reference::statistics::places;
use crate::reference::{Block, Parameters, backward, forward};

#[test]
fn an_empty_batch_gives_nothing_and_changes_nothing() {
    let mut rng = StdRng::seed_from_u64(4);
    for (norm, mut shape) in configurations(1e-5) {
        shape[0] = 0;
        for mode in MODES {
            let parameters = random_parameters(&mut rng, &norm);
            let got = forward(&norm, mode, &shape, &[], &parameters).unwrap();
            assert!(got.output.is_empty());
            assert_eq!(got.running_mean, parameters.running_mean);
            assert_eq!(got.running_var, parameters.running_var);
            assert_eq!(got.num_batches_tracked, parameters.num_batches_tracked);

            let got = backward(&norm, mode, &shape, &[], &parameters, &[]).unwrap();
            let zeros = |like: &Option<Vec<f64>>| like.as_ref().map(|like| vec![0.0; like.len()]);
            assert!(got.grad_input.is_empty());
            assert_eq!(got.grad_weight, zeros(&parameters.weight));
            assert_eq!(got.grad_bias, zeros(&parameters.bias));
        }
    }
}

#[test]
fn samples_without_elements_have_statistics_of_zero() {
    for (norm, mut shape) in configurations(1e-5) {
        if matches!(norm, Norm::Layer(_) | Norm::Rms(_)) {
            continue;
        }
        shape[2] = 0;
        let parameters = Parameters::new(&norm);
        let got = forward(&norm, Mode::TRAINING, &shape, &[], &parameters).unwrap();
        let groups = match norm {
            Norm::Batch(_) => 3,
            Norm::Instance(_) => 6,
            _ => 4,
        };
        assert_eq!((got.mean, got.var), (vec![0.0; groups], vec![0.0; groups]));
        assert_eq!(got.running_var, parameters.running_var);
        assert_eq!(got.num_batches_tracked, 0);
    }
}

#[test]
fn a_constant_group_gives_the_bias_and_finite_gradients() {
    let mut rng = StdRng::seed_from_u64(5);
    for eps in [0.0, 1e-5] {
        for (norm, shape) in configurations(eps) {
            // A sum of values such as 0.1 is rounded, so that sum / n would be another number. RMS norm: 0 is its constant.
            let constant = if matches!(norm, Norm::Rms(_)) {
                0.0
            } else {
                0.1
            };
            let input = vec![constant; shape.iter().product()];
            let parameters = random_parameters(&mut rng, &norm);
            let grad_output = random(&mut rng, input.len());
            let got = forward(&norm, Mode::TRAINING, &shape, &input, &parameters).unwrap();
            let gradients = backward(
                &norm,
                Mode::TRAINING,
                &shape,
                &input,
                &parameters,
                &grad_output,
            )
            .unwrap();
            let sizes = Block::new(&norm).sizes(&shape, Mode::TRAINING).unwrap();
            for (output, place) in got.output.iter().zip(places(&norm, sizes, false, false)) {
                assert_eq!(*output, parameters.bias_at(place.parameter));
            }
            assert!(got.var.iter().all(|var| *var == 0.0));
            assert!(gradients.grad_input.iter().all(|x| x.is_finite()));
            if eps == 0.0 {
                assert!(gradients.grad_input.iter().all(|x| *x == 0.0));
            }
            if let Some(grad_weight) = gradients.grad_weight {
                assert!(grad_weight.iter().all(|x| *x == 0.0));
            }
        }
    }
}

#[test]
fn a_large_offset_costs_no_more_than_its_rounding() {
    let mut rng = StdRng::seed_from_u64(6);
    for (norm, shape) in configurations(1e-5) {
        if matches!(norm, Norm::Rms(_)) {
            continue;
        }
        // 2³⁰ and multiples of 2⁻²⁰: input and input + offset are the same numbers, exactly.
        let near = random(&mut rng, shape.iter().product());
        let near: Vec<f64> = near
            .iter()
            .map(|x| (x * 1048576.0).round() / 1048576.0)
            .collect();
        let far: Vec<f64> = near.iter().map(|x| x + 1073741824.0).collect();
        let parameters = random_parameters(&mut rng, &norm);
        let output = |input: &[f64]| {
            forward(&norm, Mode::TRAINING, &shape, input, &parameters)
                .unwrap()
                .output
        };
        // The mean itself is rounded to 2⁻²², 1e-7 of the standard deviation here.
        assert_close(&output(&far), &output(&near), 1e-6);
    }
}

#[test]
fn nan_and_infinity_stay_in_their_group() {
    let mut rng = StdRng::seed_from_u64(7);
    for bad in [f64::NAN, f64::INFINITY] {
        for (norm, shape) in configurations(1e-5) {
            let parameters = random_parameters(&mut rng, &norm);
            let mut input = random(&mut rng, shape.iter().product());
            let clean = forward(&norm, Mode::TRAINING, &shape, &input, &parameters).unwrap();
            input[0] = bad;
            let got = forward(&norm, Mode::TRAINING, &shape, &input, &parameters).unwrap();
            let changed = got
                .output
                .iter()
                .zip(&clean.output)
                .filter(|(a, b)| a != b)
                .count();
            let group = input.len() / clean.mean.len();
            assert!(
                (1..=group).contains(&changed),
                "{norm:?}: {changed} of {group}"
            );
            assert_eq!(got.var[1..], clean.var[1..]);
        }
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let norm = Norm::from(BatchNorm::new(3));
    let good = Parameters::new(&norm);
    let (shape, input) = ([2, 3], [0.0; 6]);
    let failing = |parameters: &Parameters, input: &[f64], grad_output: &[f64]| {
        backward(
            &norm,
            Mode::TRAINING,
            &shape,
            input,
            parameters,
            grad_output,
        )
        .unwrap_err()
    };
    let short = |got| Error::Length {
        shape: vec![2, 3],
        expected: 6,
        got,
    };
    assert_eq!(failing(&good, &input[..5], &input), short(5));
    assert_eq!(failing(&good, &input, &input[..4]), short(4));

    let none = Parameters::default();
    assert!(matches!(
        failing(&none, &input, &input),
        Error::Missing("weight", _)
    ));
    let no_var = Parameters {
        running_var: None,
        ..good.clone()
    };
    assert!(matches!(
        failing(&no_var, &input, &input),
        Error::Missing("running_var", _)
    ));
    let long = Parameters {
        bias: Some(vec![0.0; 4]),
        ..good.clone()
    };
    let expected = Error::Shape {
        tensor: "bias",
        expected: vec![3],
        got: vec![4],
    };
    assert_eq!(failing(&long, &input, &input), expected);

    let plain = Norm::from(BatchNorm::new(3).affine(false));
    let got = forward(&plain, Mode::EVAL, &shape, &input, &good).unwrap_err();
    assert!(matches!(got, Error::Unexpected("weight", _)));
    let got = forward(&norm, Mode::TRAINING, &[1, 3], &[0.0; 3], &good).unwrap_err();
    assert!(matches!(got, Error::OneValue { .. }));
    let huge = Norm::from(LayerNorm::new(&[usize::MAX, 2]));
    let got = forward(&huge, Mode::EVAL, &[usize::MAX, 2], &[], &none).unwrap_err();
    assert!(matches!(got, Error::Limit { .. }));
    let rms = Norm::from(RmsNorm::new(&[3]).weight(false));
    let biased = Parameters {
        bias: Some(vec![0.0; 3]),
        ..none
    };
    let got = forward(&rms, Mode::EVAL, &shape, &input, &biased).unwrap_err();
    assert!(matches!(got, Error::Unexpected("bias", _)));
}
