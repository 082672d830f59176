use rand::{SeedableRng, rngs::StdRng};

use super::blocks::random_block;
use super::gradients::differences;
use super::{MODES, assert_close, configurations, random};
use crate::activation::Activation;
use crate::error::Error;
use crate::ops::{LayerNorm, Mode, Norm};
use crate::reference::{Block, Parameters, Tensors};

#[test]
fn double_backward_is_the_finite_differences_of_backward() {
    let mut rng = StdRng::seed_from_u64(21);
    let mut values_rng = StdRng::seed_from_u64(22);
    let mut checked = 0;
    for (norm, usual) in configurations(1e-2) {
        for mode in MODES {
            let (block, shape, mut values) = random_block(&mut rng, &norm, &usual, &mut values_rng);
            values.residual = None;
            let u = random(&mut values_rng, values.input.len());
            let tensors = values.tensors(&shape);
            let loss = |tensors: &Tensors<'_>, grad_output: &[f64]| -> f64 {
                let gradients = block.backward(mode, tensors, grad_output, None).unwrap();
                gradients
                    .grad_input
                    .iter()
                    .zip(&u)
                    .map(|(g, u)| g * u)
                    .sum()
            };
            let grad_output = &values.grad_output;
            let got = block
                .double_backward(mode, &tensors, grad_output, &u)
                .unwrap();
            let by_input = differences(&values.input, |input| {
                loss(&Tensors { input, ..tensors }, grad_output)
            });
            assert_close(&got.grad_input, &by_input, 1e-6);
            let by_grad_output =
                differences(grad_output, |grad_output| loss(&tensors, grad_output));
            assert_close(&got.grad_grad_output, &by_grad_output, 1e-7);
            assert_eq!(got.grad_weight.is_some(), norm.has_weight());
            if let (Some(got), Some(weight)) = (&got.grad_weight, &values.parameters.weight) {
                let by_weight = differences(weight, |weight| {
                    let parameters = Parameters {
                        weight: Some(weight.to_vec()),
                        ..values.parameters.clone()
                    };
                    loss(
                        &Tensors {
                            parameters: &parameters,
                            ..tensors
                        },
                        grad_output,
                    )
                });
                assert_close(got, &by_weight, 1e-7);
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 26 * 4);
}

#[test]
fn of_the_norm_alone() {
    let norm = Norm::from(LayerNorm::new(&[3]).affine(false));
    let (values, parameters) = ([1.0, 2.0, 4.0], Parameters::default());
    let tensors = Tensors::new(&[1, 3], &values, &parameters);
    let block = Block::new(&norm);
    let run = |block: &Block, tensors: &Tensors<'_>, grad: &[f64]| {
        block.double_backward(Mode::TRAINING, tensors, &values, grad)
    };
    let residual = Tensors {
        residual: Some(&values),
        ..tensors
    };
    assert!(matches!(
        run(&block, &residual, &values),
        Err(Error::Unexpected("residual", _))
    ));
    let relu = Block::new(&norm.clone().with_activation(Activation::Relu));
    assert!(matches!(
        run(&relu, &tensors, &values),
        Err(Error::Unexpected("an activation", _))
    ));
    assert!(matches!(
        run(&block, &tensors, &values[1..]),
        Err(Error::Length { got: 2, .. })
    ));
}

#[test]
fn a_constant_group_is_finite() {
    let norm = Norm::from(LayerNorm::new(&[3]).eps(0.0).affine(false));
    let parameters = Parameters::default();
    let tensors = Tensors::new(&[1, 3], &[0.1; 3], &parameters);
    let got = Block::new(&norm)
        .double_backward(Mode::TRAINING, &tensors, &[1.0, 2.0, 4.0], &[3.0, 1.0, 1.0])
        .unwrap();
    assert!(
        got.grad_input
            .iter()
            .chain(&got.grad_grad_output)
            .all(|x| *x == 0.0)
    );
}
