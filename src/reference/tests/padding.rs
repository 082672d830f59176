use super::{assert_close, random_parameters};
use crate::activation::Activation;
use crate::error::Error;
use crate::ops::{BatchNorm, InstanceNorm, Mode, Norm};
use crate::reference::{Block, Forward, Parameters, Tensors, valid_from_lengths};

use rand::{SeedableRng, rngs::StdRng};

const TRAINING: Mode = Mode::TRAINING;

fn train(norm: &Norm, parameters: &Parameters, input: &[f64], lengths: &[usize]) -> Forward {
    let shape = [lengths.len(), 1, input.len() / lengths.len()];
    let valid = valid_from_lengths(&shape, 2, lengths).unwrap();
    let tensors = Tensors {
        valid: Some(&valid),
        ..Tensors::new(&shape, input, parameters)
    };
    Block::new(norm).forward(TRAINING, &tensors).unwrap()
}

#[test]
fn padding_is_not_looked_at() {
    let norm = Norm::from(BatchNorm::new(1).eps(0.0));
    let parameters = Parameters::new(&norm);
    let input = [1.0, 3.0, f64::NAN, 3.0, f64::INFINITY, f64::NAN];
    let got = train(&norm, &parameters, &input, &[2, 1]);
    let rstd = 1.125_f64.sqrt();
    // Mean 7/3, variance 8/9 of three values.
    let want = [
        -4.0 / 3.0 * rstd,
        2.0 / 3.0 * rstd,
        0.0,
        2.0 / 3.0 * rstd,
        0.0,
        0.0,
    ];
    assert_close(&got.output, &want, 1e-15);
    assert_close(&got.running_var.unwrap(), &[0.9 + 0.1 * 4.0 / 3.0], 1e-15);

    let shape = [2, 1, 3];
    let valid = valid_from_lengths(&shape, 2, &[2, 1]).unwrap();
    let tensors = Tensors {
        residual: Some(&input),
        valid: Some(&valid),
        ..Tensors::new(&shape, &input, &parameters)
    };
    // 0 in all results, also of an activation that is not 0 at 0.
    let block = Block::new(&norm.clone().with_activation(Activation::Sigmoid));
    let output = block.forward(TRAINING, &tensors).unwrap().output;
    let gradients = block.backward(TRAINING, &tensors, &input, None).unwrap();
    for values in [
        output,
        gradients.grad_input,
        gradients.grad_residual.unwrap(),
    ] {
        let is_zero: Vec<bool> = values.iter().map(|x| *x == 0.0).collect();
        assert_eq!(
            is_zero,
            valid.iter().map(|valid| !valid).collect::<Vec<_>>()
        );
        assert!(values.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn groups_of_less_than_two_do_not_move_the_running_statistics() {
    let instance = InstanceNorm::new(1).affine(true).track_running_stats(true);
    let norm = Norm::from(instance);
    let parameters = random_parameters(&mut StdRng::seed_from_u64(31), &norm);
    let (mean, var) = (
        parameters.running_mean.clone(),
        parameters.running_var.clone(),
    );
    // The second sample has one value, the third none.
    let input = [2.0, 6.0, 100.0, 0.0, 0.0, 0.0];
    let got = train(&norm, &parameters, &input, &[2, 1, 0]);
    let bias = parameters.bias.as_ref().unwrap()[0];
    assert_eq!(got.output[2..], [bias, 0.0, 0.0, 0.0]);
    assert_close(
        &got.running_mean.unwrap(),
        &[0.9 * mean.as_ref().unwrap()[0] + 0.4],
        1e-15,
    );
    assert_close(
        &got.running_var.unwrap(),
        &[0.9 * var.as_ref().unwrap()[0] + 0.8],
        1e-15,
    );

    for lengths in [[1, 1, 1], [0, 1, 0], [0, 0, 0]] {
        let got = train(&norm, &parameters, &input, &lengths);
        assert_eq!(
            (got.running_mean, got.running_var),
            (mean.clone(), var.clone())
        );
        assert_eq!(got.num_batches_tracked, parameters.num_batches_tracked);
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let valid = |shape: &[usize], axis, lengths: &[usize]| valid_from_lengths(shape, axis, lengths);
    assert!(matches!(
        valid(&[2, 3], 2, &[1, 1]),
        Err(Error::Axis {
            axis: 2,
            rank: 2,
            ..
        })
    ));
    assert!(matches!(
        valid(&[2, 3], 0, &[1, 1]),
        Err(Error::Axis { .. })
    ));
    assert!(matches!(
        valid(&[], 1, &[]),
        Err(Error::Axis { rank: 0, .. })
    ));
    assert!(matches!(valid(&[2, 3], 1, &[1]), Err(Error::Shape { .. })));
    assert!(matches!(
        valid(&[2, 3], 1, &[4, 1]),
        Err(Error::Value { .. })
    ));
    assert!(matches!(
        valid(&[1, usize::MAX, 2], 1, &[1]),
        Err(Error::Limit { .. })
    ));
    assert_eq!(valid(&[0, usize::MAX, 2], 1, &[]), Ok(Vec::new()));
}
