use rand::{SeedableRng, rngs::StdRng};

use super::{MODES, assert_close, configurations, random, random_parameters};
use crate::ops::{BatchNorm, LayerNorm, Mode};
use crate::reference::{Gradients, Parameters, backward, forward};

/// The derivatives of `loss` at `values`, by central differences.
pub(super) fn differences(values: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    // Truncation (h²) and rounding (1e-16 / h) both come to about 1e-10.
    const STEP: f64 = 1e-5;
    let at = |index: usize, step: f64| {
        let mut moved = values.to_vec();
        moved[index] += step;
        loss(&moved)
    };
    (0..values.len())
        .map(|i| (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP))
        .collect()
}

#[test]
fn gradients_are_the_finite_differences_of_forward() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut checked = 0;
    for (norm, shape) in configurations(1e-3) {
        for mode in MODES {
            let count = shape.iter().product();
            let input = random(&mut rng, count);
            let grad_output = random(&mut rng, count);
            let parameters = random_parameters(&mut rng, &norm);
            let loss = |input: &[f64], parameters: &Parameters| -> f64 {
                let output = forward(&norm, mode, &shape, input, parameters)
                    .unwrap()
                    .output;
                output.iter().zip(&grad_output).map(|(y, g)| y * g).sum()
            };
            let got = backward(&norm, mode, &shape, &input, &parameters, &grad_output).unwrap();
            let by_input = differences(&input, |input| loss(input, &parameters));
            assert_close(&got.grad_input, &by_input, 1e-7);
            assert_eq!(got.grad_weight.is_some(), norm.has_weight());
            assert_eq!(got.grad_bias.is_some(), norm.has_bias());
            if let (Some(got), Some(weight)) = (&got.grad_weight, &parameters.weight) {
                let with = |weight: &[f64]| Parameters {
                    weight: Some(weight.to_vec()),
                    ..parameters.clone()
                };
                assert_close(
                    got,
                    &differences(weight, |weight| loss(&input, &with(weight))),
                    1e-7,
                );
            }
            if let (Some(got), Some(bias)) = (&got.grad_bias, &parameters.bias) {
                let with = |bias: &[f64]| Parameters {
                    bias: Some(bias.to_vec()),
                    ..parameters.clone()
                };
                assert_close(
                    got,
                    &differences(bias, |bias| loss(&input, &with(bias))),
                    1e-7,
                );
            }
            checked += 1;
        }
    }
    // 2 RMS, 4 layer, 4 group, 8 batch, 8 instance norms in 4 modes.
    assert_eq!(checked, 26 * 4);
}

#[test]
fn small_gradients_by_hand() {
    // Variance 2/3, so rstd² = 3/2 and x̂ = (-rstd, 0, rstd).
    let norm = LayerNorm::new(&[3]).eps(0.0).into();
    let got = backward(
        &norm,
        Mode::TRAINING,
        &[1, 3],
        &[-1.0, 0.0, 1.0],
        &Parameters::new(&norm),
        &[1.0, 0.0, 0.0],
    )
    .unwrap();
    let rstd = 1.5_f64.sqrt();
    assert_close(
        &got.grad_input,
        &[rstd / 6.0, -rstd / 3.0, rstd / 6.0],
        1e-15,
    );
    assert_close(&got.grad_weight.unwrap(), &[-rstd, 0.0, 0.0], 1e-15);
    assert_eq!(got.grad_bias.unwrap(), [1.0, 0.0, 0.0]);

    // Running variance 4: rstd = 1/2, and the gradient does not pass through the statistics.
    let norm = BatchNorm::new(1).eps(0.0).into();
    let mut parameters = Parameters::new(&norm);
    parameters.weight = Some(vec![3.0]);
    parameters.running_mean = Some(vec![1.0]);
    parameters.running_var = Some(vec![4.0]);
    let got = backward(
        &norm,
        Mode::EVAL,
        &[2, 1],
        &[2.0, 5.0],
        &parameters,
        &[1.0, 10.0],
    )
    .unwrap();
    let expected = Gradients {
        grad_input: vec![1.5, 15.0],
        grad_residual: None,
        grad_weight: Some(vec![20.5]),
        grad_bias: Some(vec![11.0]),
    };
    assert_eq!(got, expected);
}
