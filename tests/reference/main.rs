//! The f64 reference agrees with PyTorch on every case of tests/cases/ and its folders.

mod blocks;
#[path = "../gpu/common/cases.rs"]
mod cases;

use std::collections::BTreeMap;

use cases::{Case, load_all};
use wgpu_norm::reference::{Parameters, backward, forward};

/// As many as `scripts/generate_cases.py` makes: fewer would mean files that went missing.
const CASES: usize = 61;

/// Distance over the norm of PyTorch's tensor. Both compute in f64, in another order of summation.
const TOLERANCE: f64 = 1e-12;

#[test]
fn agrees_with_pytorch() {
    let cases = load_all();
    assert!(cases.len() >= CASES, "{} cases, of {CASES}", cases.len());
    let mut worst = (0.0, String::new());
    for case in &cases {
        let got = results(case);
        let keys =
            |results: &BTreeMap<String, Vec<f64>>| results.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&got), keys(&case.expected), "{}", case.name);
        for (key, expected) in &case.expected {
            let error = relative_error(&got[key], expected);
            assert!(error <= TOLERANCE, "{} {key}: {error:e}", case.name);
            if error > worst.0 {
                worst = (error, format!("{} {key}", case.name));
            }
        }
    }
    println!(
        "{} cases, largest difference {:e} ({})",
        cases.len(),
        worst.0,
        worst.1
    );
}

#[test]
fn the_comparison_notices_a_difference() {
    assert!(relative_error(&[1.0, 2.0 + 1e-11], &[1.0, 2.0]) > TOLERANCE);
    assert!(relative_error(&[1.0], &[1.0, 2.0]) > TOLERANCE);
    assert!(relative_error(&[1e-11], &[0.0]) > TOLERANCE);
    assert!(relative_error(&[f64::NAN], &[1.0]).is_nan());
    assert!(relative_error(&[1.0, 2.0], &[1.0, 2.0]) == 0.0);
}

/// What the reference makes of a case, by the keys of [`Case::expected`].
fn results(case: &Case) -> BTreeMap<String, Vec<f64>> {
    let wide = |values: &Vec<f32>| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let input = wide(&case.input);
    let parameters = Parameters {
        weight: case.weight.as_ref().map(wide),
        bias: case.bias.as_ref().map(wide),
        running_mean: case.running_mean.as_ref().map(wide),
        running_var: case.running_var.as_ref().map(wide),
        num_batches_tracked: case.num_batches_tracked,
    };
    let forward = forward(&case.norm, case.mode, &case.shape, &input, &parameters)
        .unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let updates = u64::from(case.mode.update_running && case.running_mean.is_some());
    assert_eq!(
        forward.num_batches_tracked,
        case.num_batches_tracked + updates,
        "{}",
        case.name
    );
    let mut results = vec![
        ("output", Some(forward.output)),
        ("running_mean", forward.running_mean),
        ("running_var", forward.running_var),
    ];
    if let Some(grad_output) = &case.grad_output {
        let grad_output = wide(grad_output);
        let gradients = backward(
            &case.norm,
            case.mode,
            &case.shape,
            &input,
            &parameters,
            &grad_output,
        )
        .unwrap_or_else(|e| panic!("{}: {e}", case.name));
        results.push(("grad_input", Some(gradients.grad_input)));
        results.push(("grad_weight", gradients.grad_weight));
        results.push(("grad_bias", gradients.grad_bias));
    }
    (results.into_iter())
        .filter_map(|(key, values)| Some((key.to_owned(), values?)))
        .collect()
}

/// Euclidean distance over the norm of `expected`, or the distance itself where that is 0; infinite for other lengths.
fn relative_error(got: &[f64], expected: &[f64]) -> f64 {
    if got.len() != expected.len() {
        return f64::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut got.iter().zip(expected).map(|(a, b)| a - b));
    match norm(&mut expected.iter().copied()) {
        0.0 => distance,
        size => distance / size,
    }
}
