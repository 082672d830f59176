use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::gradients::differences;
use super::{MODES, assert_close, configurations, random, random_parameters};
use crate::activation::Activation;
use crate::error::Error;
use crate::ops::{BatchNorm, GroupNorm, LayerNorm, Mode, Norm};
use crate::reference::{Block, Forward, Parameters, Tensors, forward};

/// All random values of a pass.
pub(super) struct Values {
    pub(super) input: Vec<f64>,
    pub(super) residual: Option<Vec<f64>>,
    pub(super) valid: Option<Vec<bool>>,
    pub(super) parameters: Parameters,
    pub(super) grad_output: Vec<f64>,
    pub(super) grad_residual_output: Option<Vec<f64>>,
}

impl Values {
    pub(super) fn tensors<'a>(&'a self, shape: &'a [usize]) -> Tensors<'a> {
        Tensors {
            residual: self.residual.as_deref(),
            valid: self.valid.as_deref(),
            ..Tensors::new(shape, &self.input, &self.parameters)
        }
    }
}

/// With the channels last, in layer and RMS norm first.
fn in_other_order(norm: &Norm) -> Norm {
    match norm.clone() {
        Norm::Batch(norm) => norm.channels_last(true).into(),
        Norm::Instance(norm) => norm.channels_last(true).into(),
        Norm::Group(norm) => norm.channels_last(true).into(),
        Norm::Layer(norm) => norm.channels_first(true).into(),
        Norm::Rms(norm) => norm.channels_first(true).into(),
    }
}

/// A block with each of the options or not, at random, and values for an input whose usual shape is `usual`.
pub(super) fn random_block(
    rng: &mut impl Rng,
    norm: &Norm,
    usual: &[usize],
    rng_values: &mut StdRng,
) -> (Block, Vec<usize>, Values) {
    let rows = matches!(norm, Norm::Layer(_) | Norm::Rms(_));
    let mut shape = usual.to_vec();
    let moved = rng.random_bool(0.5) && norm.parameter_shape().len() == 1;
    let (per_sample, zero_centered) = (rng.random_bool(0.5), rng.random_bool(0.5));
    let norm = &norm.clone().with_weights(per_sample, zero_centered);
    let norm = &if moved {
        in_other_order(norm)
    } else {
        norm.clone()
    };
    let block = Block::new(norm);
    if moved && rows {
        shape[1..].rotate_right(1);
    } else if moved {
        shape[1..].rotate_left(1);
    }
    let count = shape.iter().product();
    let mut parameters = random_parameters(rng_values, norm);
    let affine = norm.affine_shape(&shape).iter().product();
    for values in [&mut parameters.weight, &mut parameters.bias] {
        *values = values.as_ref().map(|_| random(rng_values, affine));
    }
    let residual = rng.random_bool(0.5);
    let mut some = |has: bool| has.then(|| random(rng_values, count));
    let values = Values {
        residual: some(residual),
        grad_residual_output: some(residual && rows && rng.random_bool(0.7)),
        valid: (rng.random_bool(0.3)).then(|| (0..count).map(|_| rng.random_bool(0.8)).collect()),
        input: random(rng_values, count),
        grad_output: random(rng_values, count),
        parameters,
    };
    (block, shape, values)
}

#[test]
fn gradients_are_the_finite_differences_of_forward() {
    let mut rng = StdRng::seed_from_u64(11);
    let mut values_rng = StdRng::seed_from_u64(12);
    for activation in [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.2),
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Sigmoid,
        Activation::Tanh,
    ] {
        for (norm, usual) in configurations(1e-3) {
            for mode in MODES {
                let (block, shape, values) = random_block(&mut rng, &norm, &usual, &mut values_rng);
                let norm = block.norm.clone().with_activation(activation);
                let block = Block::new(&norm);
                assert_gradients(&block, mode, &shape, &values);
            }
        }
    }
}

fn assert_gradients(block: &Block, mode: Mode, shape: &[usize], values: &Values) {
    let tensors = values.tensors(shape);
    let more = values.grad_residual_output.as_deref();
    let loss = |tensors: &Tensors<'_>| -> f64 {
        let forward = block.forward(mode, tensors).unwrap();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let residual_output = forward.residual_output.as_deref().unwrap_or_default();
        dot(&forward.output, &values.grad_output) + dot(residual_output, more.unwrap_or_default())
    };
    let got = block
        .backward(mode, &tensors, &values.grad_output, more)
        .unwrap();
    let by_input = differences(&values.input, |input| loss(&Tensors { input, ..tensors }));
    assert_close(&got.grad_input, &by_input, 1e-7);
    if let Some(residual) = &values.residual {
        let by_residual = differences(residual, |residual| {
            loss(&Tensors {
                residual: Some(residual),
                ..tensors
            })
        });
        assert_close(got.grad_residual.as_ref().unwrap(), &by_residual, 1e-7);
    }
    let parameters = &values.parameters;
    if let Some(weight) = &parameters.weight {
        let by_weight = differences(weight, |weight| {
            let weight = Some(weight.to_vec());
            loss(&Tensors {
                parameters: &Parameters {
                    weight,
                    ..parameters.clone()
                },
                ..tensors
            })
        });
        assert_close(got.grad_weight.as_ref().unwrap(), &by_weight, 1e-7);
    }
    if let Some(bias) = &parameters.bias {
        let by_bias = differences(bias, |bias| {
            let bias = Some(bias.to_vec());
            loss(&Tensors {
                parameters: &Parameters {
                    bias,
                    ..parameters.clone()
                },
                ..tensors
            })
        });
        assert_close(got.grad_bias.as_ref().unwrap(), &by_bias, 1e-7);
    }
}

#[test]
fn channels_last_is_another_order_of_the_same() {
    let norm = Norm::from(GroupNorm::new(2, 4));
    let parameters = random_parameters(&mut StdRng::seed_from_u64(13), &norm);
    let first: Vec<f64> = (0..2 * 4 * 3).map(|k| f64::from(k).sin()).collect();
    // Element (n, s, c) of the other order.
    let moved = |values: &[f64]| -> Vec<f64> {
        (0..values.len())
            .map(|k| values[k / 12 * 12 + k % 4 * 3 + k / 4 % 3])
            .collect()
    };
    let want = forward(&norm, Mode::TRAINING, &[2, 4, 3], &first, &parameters).unwrap();
    let block = Block::new(&in_other_order(&norm));
    let last = moved(&first);
    let got = block.forward(
        Mode::TRAINING,
        &Tensors::new(&[2, 3, 4], &last, &parameters),
    );
    let got = got.unwrap();
    assert_close(&got.output, &moved(&want.output), 1e-15);
    // Groups are in the same order.
    assert_close(&got.mean, &want.mean, 1e-15);
}

/// Ghost batch norm is batch norm of each virtual batch, whose statistics the running ones take in on average.
#[test]
fn ghost_batch_norm_is_batch_norm_of_the_parts() {
    let ghost = BatchNorm::new(3).virtual_batch_size(Some(4));
    let (norm, part) = (Norm::from(ghost), Norm::from(BatchNorm::new(3)));
    let parameters = random_parameters(&mut StdRng::seed_from_u64(14), &part);
    let input: Vec<f64> = (0..8 * 3 * 2).map(|k| f64::from(k * k).sin()).collect();
    let mode = Mode::TRAINING;
    let got = forward(&norm, mode, &[8, 3, 2], &input, &parameters).unwrap();
    let parts: Vec<_> = (input.chunks(24))
        .map(|input| forward(&part, mode, &[4, 3, 2], input, &parameters).unwrap())
        .collect();
    let concatenated = |f: fn(&Forward) -> &[f64]| -> Vec<f64> {
        parts.iter().flat_map(|part| f(part).to_vec()).collect()
    };
    assert_close(&got.output, &concatenated(|part| &part.output), 1e-15);
    assert_close(&got.mean, &concatenated(|part| &part.mean), 1e-15);
    let average = |f: fn(&Forward) -> Option<&Vec<f64>>| -> Vec<f64> {
        let [a, b] = [&parts[0], &parts[1]].map(|part| f(part).unwrap());
        a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect()
    };
    let running_var = average(|part| part.running_var.as_ref());
    assert_close(&got.running_var.unwrap(), &running_var, 1e-15);
    let running_mean = average(|part| part.running_mean.as_ref());
    assert_close(&got.running_mean.unwrap(), &running_mean, 1e-15);
    assert_eq!(got.num_batches_tracked, parameters.num_batches_tracked + 1);
    // In evaluation the samples are what they are.
    let evaluated = |norm| forward(norm, Mode::EVAL, &[8, 3, 2], &input, &parameters).unwrap();
    assert_eq!(evaluated(&norm), evaluated(&part));
}

#[test]
fn blocks_that_make_no_sense_are_errors() {
    let norm = Norm::from(LayerNorm::new(&[2, 3]).affine(false));
    let parameters = Parameters::default();
    let run = |block: &Block, shape: &[usize]| {
        let input = vec![0.0; shape.iter().product()];
        let tensors = Tensors::new(shape, &input, &parameters);
        block.forward(Mode::TRAINING, &tensors).unwrap_err()
    };
    let first = |norm: &Norm| Block::new(&in_other_order(norm));
    assert!(matches!(
        run(&first(&norm), &[4, 2, 3]),
        Error::Value { .. }
    ));
    let row = Norm::from(LayerNorm::new(&[3]).affine(false));
    assert!(matches!(
        run(&first(&row), &[3]),
        Error::Rank { min: 2, .. }
    ));
    let own = Block::new(&norm.clone().with_weights(true, false));
    assert!(matches!(run(&own, &[2, 3]), Error::Rank { min: 3, .. }));

    let batch = Norm::from(BatchNorm::new(2).affine(false).track_running_stats(false));
    let last = Block::new(&in_other_order(&batch));
    assert!(matches!(
        run(&last, &[4, 2, 3]),
        Error::Channels {
            expected: 2,
            got: 3,
            ..
        }
    ));
    assert!(matches!(run(&last, &[4]), Error::Rank { .. }));
    assert!(matches!(run(&last, &[]), Error::Rank { .. }));

    let block = Block::new(&batch);
    let input = [0.0; 4];
    let tensors = Tensors::new(&[2, 2], &input, &parameters);
    let short = Tensors {
        residual: Some(&[0.0; 3]),
        ..tensors
    };
    let error = block.forward(Mode::TRAINING, &short).unwrap_err();
    assert!(matches!(
        error,
        Error::Length {
            expected: 4,
            got: 3,
            ..
        }
    ));
    let short = Tensors {
        valid: Some(&[true; 5]),
        ..tensors
    };
    let error = block.forward(Mode::TRAINING, &short).unwrap_err();
    assert!(matches!(
        error,
        Error::Length {
            expected: 4,
            got: 5,
            ..
        }
    ));
    let error = block.backward(Mode::TRAINING, &tensors, &input, Some(&input));
    assert!(matches!(
        error,
        Err(Error::Unexpected("grad_residual_output", _))
    ));
    let weights = Block::new(&BatchNorm::new(2).bias(false).per_sample(true).into());
    let parameters = Parameters::new(&weights.norm);
    let error = weights.forward(Mode::TRAINING, &Tensors::new(&[2, 2], &input, &parameters));
    let expected = Error::Shape {
        tensor: "weight",
        expected: vec![2, 2],
        got: vec![2],
    };
    assert_eq!(error.unwrap_err(), expected);
}
