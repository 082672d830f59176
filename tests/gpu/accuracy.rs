//! The claims about accuracy: element by element, at any scale and offset.

use wgpu_norm::check::{Case, results};
use wgpu_norm::{
    BatchNorm, Context, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm, reference,
};

use crate::common::{STRATEGIES, by_turns, channel_of, check, context, group_of, own_devices};

/// 2⁻²⁴, the rounding error of one f32 operation.
const U: f64 = 5.960_464_477_539_063e-8;

/// The constants of the bounds that the documentation of the crate states; measured ones are printed.
const OUTPUT_BOUND: f64 = 12.0;
const GRAD_INPUT_BOUND: f64 = 16.0;

fn norms() -> Vec<(Norm, Vec<usize>)> {
    let mut norms: Vec<(Norm, Vec<usize>)> = Vec::new();
    for d in [3, 17, 500, 1023, 4096, 30_011] {
        let rows = 1 + 3000 / d;
        norms.push((LayerNorm::new(&[d]).into(), vec![rows, d]));
        norms.push((RmsNorm::new(&[d]).into(), vec![rows, d]));
    }
    for [n, c, s] in [
        [2, 3, 4],
        [31, 5, 1],
        [1100, 12, 1],
        [7, 6, 77],
        [3, 4, 1000],
        [400, 10, 9],
    ] {
        let shape = if s == 1 { vec![n, c] } else { vec![n, c, s] };
        norms.push((BatchNorm::new(c).into(), shape.clone()));
        if s > 1 {
            norms.push((InstanceNorm::new(c).affine(true).into(), shape.clone()));
        }
        let group = GroupNorm::new(if c % 2 == 0 { 2 } else { 1 }, c);
        norms.push((group.into(), shape));
        if s > 1 {
            let last = vec![n, s, c];
            norms.push((BatchNorm::new(c).channels_last(true).into(), last.clone()));
            let instance = InstanceNorm::new(c).affine(true).channels_last(true);
            norms.push((instance.into(), last.clone()));
            norms.push((group.channels_last(true).into(), last));
            let points = LayerNorm::new(&[c]).channels_first(true);
            norms.push((points.into(), vec![n, c, s]));
        }
        if n % 2 == 0 && n > 2 {
            let ghost = BatchNorm::new(c).virtual_batch_size(Some(n / 2));
            norms.push((
                ghost.into(),
                if s == 1 { vec![n, c] } else { vec![n, c, s] },
            ));
        }
    }
    norms
}

/// `|y − y64| ≤ C·u·(|w|(1 + |x̂|) + |b|)`, and for the input gradient, with v = weight · `grad_output` and G the root mean
/// square of v over the group, `|g − g64| ≤ C·u·rstd·(|v| + G(1 + |x̂|))`.
#[test]
fn every_element_is_within_its_bound() {
    let (mut output, mut grad_input) = (0.0f64, 0.0f64);
    // All on the device as it is, and some on each of the others: tests/gpu/properties.rs looks at more.
    for (number, (device, context)) in own_devices().into_iter().enumerate() {
        let step = if number == 0 { 1 } else { 10 };
        for (seed, (norm, shape)) in norms().iter().enumerate().skip(number % step).step_by(step) {
            for offset in [0.0, 1e3, 1e6] {
                let case = Case::random(norm, Mode::TRAINING, shape, seed as u64).unwrap();
                let case = case.offset(offset);
                let [y, g] = within_bounds(device, &context, &case);
                output = output.max(y);
                grad_input = grad_input.max(g);
            }
        }
    }
    println!(
        "C of the output: {output:.1} of {OUTPUT_BOUND}, of grad_input: {grad_input:.1} of {GRAD_INPUT_BOUND}"
    );
}

/// Asserts both bounds, for a case of the norm alone that is normalized by its batch. The smallest C for which each holds.
pub(crate) fn within_bounds(device: &str, context: &Context, case: &Case) -> [f64; 2] {
    let got = results(context, case).unwrap();
    let [y, g] = constants(case, &got["output"], &got["grad_input"]);
    let name = || format!("{device}: {:?} {:?}", case.norm, case.shape);
    assert!(y <= OUTPUT_BOUND, "{}: output {y}", name());
    assert!(g <= GRAD_INPUT_BOUND, "{}: grad_input {g}", name());
    [y, g]
}

/// The smallest C for which each bound holds.
fn constants(case: &Case, output: &[f32], grad_input: &[f32]) -> [f64; 2] {
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (x, g) = (wide(&case.input), wide(&case.grad_output));
    let mut parameters = reference::Parameters::new(&case.norm);
    let forward = |parameters: &reference::Parameters| {
        reference::forward(&case.norm, case.mode, &case.shape, &x, parameters).unwrap()
    };
    parameters.bias = parameters.bias.map(|bias| vec![0.0; bias.len()]);
    let plain = forward(&parameters);
    let x_hat = plain.output;
    parameters.weight = case.weight.as_deref().map(wide);
    parameters.bias = case.bias.as_deref().map(wide);
    let want = forward(&parameters).output;
    let gradients =
        reference::backward(&case.norm, case.mode, &case.shape, &x, &parameters, &g).unwrap();
    let channel = |k: usize| channel_of(&case.norm, &case.shape, k);
    let weight = |k: usize| parameters.weight.as_ref().map_or(1.0, |w| w[channel(k)]);
    let bias = |k: usize| parameters.bias.as_ref().map_or(0.0, |b| b[channel(k)]);
    let group = |k: usize| group_of(&case.norm, &case.shape, k);
    let mut squares = vec![(0.0, 0.0); plain.var.len()];
    for (k, g) in g.iter().enumerate() {
        let (sum, count) = &mut squares[group(k)];
        *sum += (weight(k) * g).powi(2);
        *count += 1.0;
    }
    let mut worst = [0.0f64; 2];
    for k in 0..x.len() {
        let bound = weight(k).abs() * (1.0 + x_hat[k].abs()) + bias(k).abs();
        worst[0] = worst[0].max(ratio(f64::from(output[k]) - want[k], U * bound));
        let rstd = (plain.var[group(k)] + case.norm.eps()).sqrt().recip();
        let (sum, count) = squares[group(k)];
        let size = (weight(k) * g[k]).abs() + (sum / count).sqrt() * (1.0 + x_hat[k].abs());
        let error = f64::from(grad_input[k]) - gradients.grad_input[k];
        worst[1] = worst[1].max(ratio(error, U * rstd * size));
    }
    worst
}

/// Infinite where the error is not a number, which `f64::max` would drop.
fn ratio(error: f64, unit: f64) -> f64 {
    let ratio = if error == 0.0 {
        0.0
    } else {
        error.abs() / unit
    };
    if ratio.is_nan() { f64::INFINITY } else { ratio }
}

/// Squares of 10⁻¹⁸ vanish in f32 and sums of squares of 10¹⁹ overflow; the results do neither.
#[test]
fn any_scale() {
    let norms: [(Norm, &[usize]); 7] = [
        (BatchNorm::new(3).eps(0.0).into(), &[4, 3, 6, 6]),
        (BatchNorm::new(5).eps(0.0).into(), &[70, 5]),
        (
            InstanceNorm::new(3).eps(0.0).affine(true).into(),
            &[2, 3, 33],
        ),
        (GroupNorm::new(2, 4).eps(0.0).into(), &[2, 4, 64]),
        (LayerNorm::new(&[1000]).eps(0.0).into(), &[3, 1000]),
        (LayerNorm::new(&[1000]).eps(1e-36).into(), &[3, 1000]),
        (RmsNorm::new(&[5003]).eps(0.0).into(), &[2, 5003]),
    ];
    let devices = own_devices();
    for (turn, (norm, shape)) in norms.iter().enumerate() {
        for (device, context, strategies) in by_turns(&devices, turn) {
            for scale in [1e-18, 1e-9, 1e9, 1e15] {
                for &strategy in &strategies {
                    let mut case = Case::random(norm, Mode::TRAINING, shape, 3).unwrap();
                    case.strategy = strategy;
                    for value in &mut case.input {
                        *value *= scale;
                    }
                    check(device, context, &case);
                }
            }
        }
    }
}

/// A group of which most is zero and the rest of any size: the unit of the squares changes from block to block.
#[test]
fn scales_that_change_within_a_group() {
    let norm: Norm = LayerNorm::new(&[3000]).into();
    for scale in [1e-18, 1.0, 1e15] {
        for first in [0, 1500, 2999] {
            for strategy in STRATEGIES {
                let mut case = Case::random(&norm, Mode::TRAINING, &[2, 3000], 5).unwrap();
                case.strategy = strategy;
                // A variance below 2⁻¹²⁶ cannot be saved on devices that flush such numbers to 0, as SwiftShader does.
                let scale = if first == 2999 {
                    f32::max(scale, 1e-16)
                } else {
                    scale
                };
                for (k, value) in case.input.iter_mut().enumerate() {
                    *value *= if k % 3000 < first { 0.0 } else { scale };
                }
                check("own", context(), &case);
            }
        }
    }
}

/// Squares of numbers on a grid, as f32 at an offset are, are 1 modulo 8 or even: a long chain of additions that takes one bit less than they have
/// rounds all odd ones in the same direction.
#[test]
fn sums_of_squares_are_not_biased() {
    let norm: Norm = LayerNorm::new(&[1000]).into();
    let mut errors = Vec::new();
    for seed in 0..20 {
        let case = Case::random(&norm, Mode::TRAINING, &[3, 1000], seed).unwrap();
        let case = case.offset(1e4);
        let input: Vec<f64> = case.input.iter().map(|&x| x.into()).collect();
        let parameters = reference::Parameters::new(&norm);
        let want = reference::forward(&norm, case.mode, &case.shape, &input, &parameters).unwrap();
        let got = &results(context(), &case).unwrap()["rstd"];
        for (got, var) in got.iter().zip(want.var) {
            errors.push(f64::from(*got) * (var + norm.eps()).sqrt() - 1.0);
        }
    }
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    println!("mean error of rstd: {mean:.1e}");
    assert!(mean.abs() < U / 3.0, "{mean:e}");
}
