use rand::{RngExt, SeedableRng, rngs::StdRng};
use wgpu_norm::fold::{Layout, ScaleShift};
use wgpu_norm::reference::{self, Parameters};
use wgpu_norm::{BatchNorm, InstanceNorm, Mode, Norm, State};

use crate::naive::{Naive, ROUNDING, SIDE};

const SAMPLES: usize = 3;
const INPUTS: usize = 4;
const OUTPUTS: usize = 6;
const KERNEL: usize = 3;
/// Elements of a whole kernel of one input and one output.
const TAPS: usize = KERNEL * KERNEL;

/// Batch norm of random parameters, with those that it may lack or not.
fn norm(rng: &mut StdRng, channels: usize, weight: bool, bias: bool) -> (Norm, State) {
    let mut values = |from: f32, to: f32| -> Vec<f32> {
        (0..channels).map(|_| rng.random_range(from..to)).collect()
    };
    let norm = BatchNorm::new(channels).eps(1e-3).weight(weight).bias(bias);
    let state = State {
        shape: vec![channels],
        weight: weight.then(|| values(-2.0, 2.0)),
        bias: bias.then(|| values(-1.0, 1.0)),
        running_mean: Some(values(-3.0, 3.0)),
        running_var: Some(values(0.0, 4.0)),
        num_batches_tracked: Some(7),
    };
    (norm.into(), state)
}

/// The reference's evaluation of `input`, `[N, C, ...]`.
fn evaluate(norm: &Norm, state: &State, shape: &[usize], input: &[f64]) -> Vec<f64> {
    let wide = |values: &Option<Vec<f32>>| {
        let values = values.as_ref();
        values.map(|values| values.iter().map(|&value| value.into()).collect())
    };
    let parameters = Parameters {
        weight: wide(&state.weight),
        bias: wide(&state.bias),
        running_mean: wide(&state.running_mean),
        running_var: wide(&state.running_var),
        num_batches_tracked: 7,
    };
    let forward = reference::forward(norm, Mode::EVAL, shape, input, &parameters);
    forward.unwrap().output
}

/// The folded layer does what the layer and the norm do, but for one rounding of each weight and bias.
/// `weights` is the length of the weight.
#[track_caller]
fn assert_folds(layer: &Naive, layout: &Layout, weights: usize) {
    let mut rng = StdRng::seed_from_u64(1);
    let pixels = layer.side * layer.side;
    let mut random =
        |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-1.0..1.5)).collect() };
    let input = random(SAMPLES * layer.inputs * pixels);
    let (weight, bias) = (random(weights), random(layer.outputs));
    for (has_weight, has_bias, biased) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
        (false, false, true),
    ] {
        let (norm, state) = norm(&mut rng, layer.outputs, has_weight, has_bias);
        let bias = biased.then_some(&bias[..]);
        let (unfolded, _) = layer.run(&input, &weight, bias.unwrap_or_default());
        let shape = [SAMPLES, layer.outputs, layer.side, layer.side];
        let want = evaluate(&norm, &state, &shape, &unfolded);

        let fold = ScaleShift::from_state(&norm, &state).unwrap();
        let folded_weight = fold.fold_weight(&weight, layout).unwrap();
        let folded_bias = fold.fold_bias(bias).unwrap();
        let (got, sizes) = layer.run(&input, &folded_weight, &folded_bias);
        for ((got, want), size) in got.iter().zip(&want).zip(&sizes) {
            // The sums of the test itself are in f64.
            let bound = ROUNDING * size * (1.0 + 1e-6) + 1e-14;
            assert!((got - want).abs() <= bound, "{got} {want} {layout:?}");
        }
        assert_eq!(folded_weight.len(), weight.len());
    }
}

fn dense(weight_at: impl Fn(usize, usize) -> usize + 'static) -> Naive {
    Naive {
        inputs: INPUTS,
        outputs: OUTPUTS,
        kernel: 1,
        side: 1,
        transposed: false,
        weight_at: Box::new(move |o, i, _, _| Some(weight_at(o, i))),
    }
}

#[test]
fn dense_layers() {
    let count = OUTPUTS * INPUTS;
    let rows = Layout::new(&[OUTPUTS, INPUTS], 0);
    assert_folds(&dense(|o, i| o * INPUTS + i), &rows, count);
    let columns = Layout::new(&[INPUTS, OUTPUTS], 1);
    assert_folds(&dense(|o, i| i * OUTPUTS + o), &columns, count);
    // Rows of 9 places of which 4 are weights; columns of which each begins before the last one ends.
    let padded = Layout::strided(&[OUTPUTS, INPUTS], &[9, 2], 0);
    assert_folds(&dense(|o, i| o * 9 + i * 2), &padded, OUTPUTS * 9);
    let woven = Layout::strided(&[OUTPUTS, INPUTS], &[2, 7], 0);
    assert_folds(&dense(|o, i| o * 2 + i * 7), &woven, 40);
}

/// A convolution whose weight lies as `weight_at` says, by output channel, input channel *of the group* and tap.
fn convolution(
    groups: usize,
    transposed: bool,
    weight_at: impl Fn(usize, usize, usize) -> usize + 'static,
) -> Naive {
    let (ins, outs) = (INPUTS / groups, OUTPUTS / groups);
    Naive {
        inputs: INPUTS,
        outputs: OUTPUTS,
        kernel: KERNEL,
        side: SIDE,
        transposed,
        weight_at: Box::new(move |o, i, ky, kx| {
            (o / outs == i / ins).then(|| weight_at(o, i % ins, ky * KERNEL + kx))
        }),
    }
}

#[test]
fn convolutions() {
    for groups in [1, 2] {
        let ins = INPUTS / groups;
        let count = OUTPUTS * ins * TAPS;
        let layer = convolution(groups, false, move |o, i, k| (o * ins + i) * TAPS + k);
        let layout = Layout::new(&[OUTPUTS, ins, KERNEL, KERNEL], 0);
        assert_folds(&layer, &layout, count);

        let last = convolution(groups, false, move |o, i, k| (k * ins + i) * OUTPUTS + o);
        let layout = Layout::new(&[KERNEL, KERNEL, ins, OUTPUTS], 3);
        assert_folds(&last, &layout, count);

        // PyTorch's memory format channels_last: the shape of contiguous, other strides.
        let format = convolution(groups, false, move |o, i, k| (o * TAPS + k) * ins + i);
        let strides = [ins * TAPS, 1, KERNEL * ins, ins];
        let layout = Layout::strided(&[OUTPUTS, ins, KERNEL, KERNEL], &strides, 0);
        assert_folds(&format, &layout, count);
    }
}

#[test]
fn transposed_convolutions() {
    for groups in [1, 2] {
        let (ins, outs) = (INPUTS / groups, OUTPUTS / groups);
        let count = INPUTS * outs * TAPS;
        // [in, out / groups, kh, kw]: the group of an output tells which rows are its inputs.
        let layer = convolution(groups, true, move |o, i, k| {
            ((o / outs * ins + i) * outs + o % outs) * TAPS + k
        });
        let shape = [INPUTS, outs, KERNEL, KERNEL];
        assert_folds(&layer, &Layout::new(&shape, 1).groups(0, groups), count);
    }
}

#[test]
fn depthwise_convolutions() {
    const MULTIPLIER: usize = 3;
    let layer = Naive {
        inputs: INPUTS,
        outputs: INPUTS * MULTIPLIER,
        kernel: KERNEL,
        side: SIDE,
        transposed: false,
        weight_at: Box::new(|o, i, ky, kx| {
            let own = o / MULTIPLIER == i;
            own.then(|| ((ky * KERNEL + kx) * INPUTS + i) * MULTIPLIER + o % MULTIPLIER)
        }),
    };
    let layout = Layout::new(&[KERNEL, KERNEL, INPUTS, MULTIPLIER], 3).groups(2, INPUTS);
    assert_folds(&layer, &layout, TAPS * INPUTS * MULTIPLIER);
}

/// A dense layer whose output is seen as images of two channels.
#[test]
fn a_dense_layer_before_a_reshape() {
    const PIXELS: usize = OUTPUTS / 2;
    let mut rng = StdRng::seed_from_u64(2);
    let mut random =
        |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-1.0..1.5)).collect() };
    let (input, weight) = (random(SAMPLES * INPUTS), random(OUTPUTS * INPUTS));
    let bias = random(OUTPUTS);
    let (norm, state) = norm(&mut rng, 2, true, true);
    let layer = dense(|o, i| o * INPUTS + i);
    let (unfolded, _) = layer.run(&input, &weight, &bias);
    let want = evaluate(&norm, &state, &[SAMPLES, 2, PIXELS], &unfolded);

    let fold = ScaleShift::from_state(&norm, &state).unwrap();
    let layout = Layout::new(&[2, PIXELS, INPUTS], 0);
    let weight = fold.fold_weight(&weight, &layout).unwrap();
    let bias = fold.fold_bias_in(&bias, &Layout::new(&[2, PIXELS], 0));
    let (got, sizes) = layer.run(&input, &weight, &bias.unwrap());
    for ((got, want), size) in got.iter().zip(&want).zip(&sizes) {
        assert!((got - want).abs() <= 1.01 * ROUNDING * size, "{got} {want}");
    }
}

/// Of instance norm too, which in evaluation with running statistics is the same.
#[test]
fn scale_and_shift_are_what_the_norm_does() {
    let mut rng = StdRng::seed_from_u64(3);
    let (batch, state) = norm(&mut rng, 5, true, true);
    let instance = InstanceNorm::new(5).eps(1e-3).affine(true);
    let input: Vec<f64> = (0..2 * 5 * 7).map(|i| f64::from(i).sin()).collect();
    let want = evaluate(&batch, &state, &[2, 5, 7], &input);
    for norm in [batch, instance.track_running_stats(true).into()] {
        let fold = ScaleShift::from_state(&norm, &state).unwrap();
        let (scale, shift) = (fold.scale(), fold.shift());
        assert_eq!((fold.num_features(), scale.len(), shift.len()), (5, 5, 5));
        for (k, (x, want)) in input.iter().zip(&want).enumerate() {
            let channel = k / 7 % 5;
            let (scale, shift) = (f64::from(scale[channel]), f64::from(shift[channel]));
            let bound = 1.01 * ROUNDING * ((x * scale).abs() + shift.abs());
            assert!((x * scale + shift - want).abs() <= bound);
        }
    }
}

/// As in every norm of this crate: variance 0 with eps 0 gives rstd 0.
#[test]
fn a_constant_channel_gives_the_bias() {
    let fold = ScaleShift::new(&[4.0], &[0.0], 0.0, Some(&[3.0]), Some(&[0.5])).unwrap();
    assert_eq!((fold.scale(), fold.shift()), (vec![0.0], vec![0.5]));
}
