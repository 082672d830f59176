//! What surrounds a norm: an activation, a residual, weights that are not a layer's.

use wgpu_norm::check::{Case, results};
use wgpu_norm::geometry::Residual;
use wgpu_norm::{
    Activation, BackwardTensors, BatchNorm, Context, Error, ForwardTensors, GroupNorm, Inputs,
    InstanceNorm, Layer, LayerNorm, Mode, Norm, OutputGradients, Plan, RmsNorm, State, Tensor,
};

use crate::common::{STRATEGIES, by_turns, check, context, encoder, modes, own_devices};

/// Numbers of all magnitudes, those beyond which functions saturate, and what is not a number.
fn numbers() -> Vec<f32> {
    let mut numbers = vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let magnitudes = (-120..=120).map(|k| 2f32.powf(k as f32 / 4.0 + 0.1));
    let near = (1..1200).map(|k| k as f32 / 64.0 + 1e-4);
    for x in magnitudes
        .chain(near)
        .chain([88.0, 89.0, 103.5, 104.5, 1e30, 3e38])
    {
        numbers.extend([x, -x]);
    }
    numbers
}

/// Batch norm in evaluation with mean 0, variance 1 and eps 0 is the activation alone: elementwise, relative to the value, but for
/// values so small that f32 has fewer digits.
#[test]
fn activations_of_all_numbers() {
    let numbers = numbers();
    let shape = [numbers.len(), 1];
    for activation in Activation::ALL
        .into_iter()
        .chain([Activation::LeakyRelu(-0.3)])
    {
        let norm = BatchNorm::new(1).affine(false).eps(0.0);
        let layer = Layer::new(context(), norm.activation(activation)).unwrap();
        let input = Tensor::from_slice(context(), &numbers, &shape).unwrap();
        let ones = Tensor::full(context(), &shape, 1.0).unwrap();
        let forward = layer.forward(&input, Mode::EVAL).unwrap();
        let backward = layer.backward(&forward.saved, &ones).unwrap();
        let values = forward.output.to_vec().unwrap();
        let slopes = backward.grad_input.to_vec().unwrap();
        let worst = |got: &[f32], want: &dyn Fn(f64) -> f64, least: f64| {
            let pairs = numbers.iter().zip(got);
            let errors = pairs.map(|(&x, &got)| {
                let (got, want) = (f64::from(got), want(x.into()));
                if x.is_nan() && want.is_nan() {
                    assert!(got.is_nan(), "{activation:?} {x}: {got}");
                    return 0.0;
                }
                if !want.is_finite() {
                    // At infinity the formula of a slope may have no value, but a limit.
                    let limit = x.is_infinite() && want.is_nan();
                    assert!(
                        limit || !got.is_finite(),
                        "{activation:?} {x}: {got}, not {want}"
                    );
                    return 0.0;
                }
                (got - want).abs() / want.abs().max(least)
            });
            errors.fold(0.0, f64::max)
        };
        // Below 1e-30 f32 has fewer digits; slopes of silu and gelu go through 0, where terms of about 1 cancel.
        let of_values = worst(&values, &|x| activation.value(x), 1e-30);
        let of_slopes = worst(&slopes, &|x| activation.derivative(x), 0.1);
        println!("{activation:?}: value within {of_values:.1e}, slope within {of_slopes:.1e}");
        // In the far tail of gelu_tanh it is the exponential of a rounded cubic, down to -100.
        let bound = if activation == Activation::GeluTanh {
            2e-5
        } else {
            1e-6
        };
        assert!(of_values < bound && of_slopes < 2e-6, "{activation:?}");
    }
}

fn norms() -> [(Norm, &'static [usize]); 7] {
    [
        (
            BatchNorm::new(3).track_running_stats(false).into(),
            &[4, 3, 7],
        ),
        (
            BatchNorm::new(8).track_running_stats(false).into(),
            &[50, 8],
        ),
        (InstanceNorm::new(3).affine(true).into(), &[4, 3, 20]),
        (GroupNorm::new(2, 4).into(), &[3, 4, 12]),
        (GroupNorm::new(2, 4).into(), &[3, 4, 64]),
        (LayerNorm::new(&[65]).into(), &[9, 65]),
        (RmsNorm::new(&[500]).into(), &[4, 500]),
    ]
}

/// Every tensor that may be written over another one is: the same bits as apart. By two strategies after the other on the device as it is, by one
/// on another.
#[test]
fn in_place() {
    let (devices, mut strategies) = (own_devices(), STRATEGIES.into_iter().cycle());
    for (turn, (norm, shape)) in norms().into_iter().enumerate() {
        for (device, context, _) in by_turns(&devices, turn) {
            let number = 1 + usize::from(device == "own");
            for strategy in strategies.by_ref().take(number) {
                let norm = norm.clone().with_activation(Activation::Silu);
                let case = Case::random(&norm, Mode::TRAINING, shape, 2).unwrap();
                let mut case = case.with_residual();
                case.strategy = strategy;
                let Ok(apart) = results(context, &case) else {
                    continue;
                };
                let plan = match strategy {
                    Some(strategy) => {
                        Plan::with_strategy(context, norm, shape, Mode::TRAINING, strategy)
                    }
                    None => Plan::new(context, norm, shape, Mode::TRAINING),
                };
                let plan = plan.unwrap();
                for over in [0, 1] {
                    let name = format!("{device} {:?} {strategy:?} {over}", case.norm);
                    let got = in_place_of(context, &case, &plan, over);
                    for (tensor, values) in got {
                        // Not assert_eq, which would print them.
                        assert!(values == apart[tensor], "{name} {tensor}");
                    }
                }
            }
        }
    }
}

/// Output over the residual or over the input, in layer and RMS norm over the sum, which lies over one of them; gradients likewise.
fn in_place_of(
    context: &Context,
    case: &Case,
    plan: &Plan,
    over: usize,
) -> Vec<(&'static str, Vec<f32>)> {
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(context, values, shape);
    let data = |values: &Option<Vec<f32>>| {
        tensor(values.as_deref().unwrap_or(&case.input), &case.shape).unwrap()
    };
    let parameter = |values: &Option<Vec<f32>>| {
        let shape = case.norm.parameter_shape();
        values
            .as_ref()
            .map(|values| tensor(values, &shape).unwrap())
    };
    let (weight, bias) = (parameter(&case.weight), parameter(&case.bias));
    let (input, residual) = (data(&None), data(&case.residual));
    let places = [&input, &residual];
    let statistics = Tensor::uninit(context, &plan.statistics_shape()).unwrap();
    let before = case.norm.residual_place() == Residual::Before;
    let mut forward = ForwardTensors {
        weight: weight.as_ref(),
        bias: bias.as_ref(),
        statistics: Some(&statistics),
        residual: Some(&residual),
        ..ForwardTensors::new(&input, places[over])
    };
    if before {
        forward.residual_output = Some(places[over]);
        forward.output = places[1 - over];
    }
    let mut commands = encoder(context);
    plan.forward(&mut commands, &forward).unwrap();
    context.queue().submit([commands.finish()]);
    let mut got = vec![("output", forward.output.to_vec().unwrap())];
    if let Some(sum) = forward.residual_output {
        got.push(("residual_output", sum.to_vec().unwrap()));
    }

    let (grad_output, of_sum) = (
        tensor(&case.grad_output, &case.shape).unwrap(),
        data(&case.grad_residual_output),
    );
    let (input, residual) = (data(&None), data(&case.residual));
    let normalized = if before { places[over] } else { &input };
    let gradient = |parameter: &Option<Tensor>| {
        let parameter = parameter.as_ref();
        parameter.map(|tensor| Tensor::uninit(context, tensor.shape()).unwrap())
    };
    let (grad_weight, grad_bias) = (gradient(&weight), gradient(&bias));
    let mut backward = BackwardTensors {
        weight: weight.as_ref(),
        bias: bias.as_ref(),
        grad_weight: grad_weight.as_ref(),
        grad_bias: grad_bias.as_ref(),
        ..BackwardTensors::new(normalized, &statistics, &grad_output)
    };
    if before {
        backward.grad_residual_output = Some(&of_sum);
        backward.grad_input = Some([&of_sum, &grad_output][over]);
    } else {
        backward.residual = Some(&residual);
        backward.grad_residual = Some([&residual, &grad_output][over]);
        backward.grad_input = Some(&input);
    }
    let mut commands = encoder(context);
    plan.backward(&mut commands, &backward).unwrap();
    context.queue().submit([commands.finish()]);
    for (name, tensor) in [
        ("grad_input", backward.grad_input),
        ("grad_residual", backward.grad_residual),
        ("grad_weight", backward.grad_weight),
        ("grad_bias", backward.grad_bias),
    ] {
        if let Some(tensor) = tensor {
            got.push((name, tensor.to_vec().unwrap()));
        }
    }
    got
}

/// A layer gives what its plan gives, and shares the gradients that are one.
#[test]
fn layers_take_a_residual() {
    for (norm, shape) in norms() {
        for activation in [Activation::None, Activation::Gelu] {
            let norm = norm.clone().with_activation(activation);
            let case = Case::random(&norm, Mode::TRAINING, shape, 3).unwrap();
            let case = case.with_residual();
            let want = results(context(), &case).unwrap();
            let layer = Layer::new(context(), norm.clone()).unwrap();
            let state = State {
                shape: norm.parameter_shape(),
                weight: case.weight.clone(),
                bias: case.bias.clone(),
                running_mean: None,
                running_var: None,
                num_batches_tracked: None,
            };
            layer.load_state(&state).unwrap();
            let data = |values: &[f32]| Tensor::from_slice(context(), values, shape).unwrap();
            let input = data(&case.input);
            let residual = data(case.residual.as_ref().unwrap());
            let grad_output = data(&case.grad_output);
            let inputs = Inputs::new(&input).residual(&residual);
            let forward = layer.forward(inputs, Mode::TRAINING);
            let forward = forward.unwrap();
            let gradients = match &case.grad_residual_output {
                Some(more) => {
                    let more = data(more);
                    let gradients = OutputGradients::new(&grad_output).residual_output(&more);
                    layer.backward(&forward.saved, gradients)
                }
                None => layer.backward(&forward.saved, &grad_output),
            };
            let gradients = gradients.unwrap();
            for (name, tensor) in [
                ("output", Some(forward.output)),
                ("residual_output", forward.residual_output),
                ("grad_input", Some(gradients.grad_input)),
                ("grad_residual", gradients.grad_residual),
                ("grad_weight", gradients.grad_weight),
                ("grad_bias", gradients.grad_bias),
            ] {
                let got = tensor.map(|tensor| tensor.to_vec().unwrap());
                assert!(got.as_ref() == want.get(name), "{norm:?} {name}");
            }
        }
    }
}

/// Each tensor that is missing, or that the norm has no use for.
#[test]
fn wrong_surroundings() {
    let tensor = || Tensor::full(context(), &[2, 4], 1.0).unwrap();
    let (input, output, residual, sum) = (tensor(), tensor(), tensor(), tensor());
    let plan = |norm: Norm| Plan::new(context(), norm, &[2, 4], Mode::TRAINING).unwrap();
    let before = plan(LayerNorm::new(&[4]).affine(false).into());
    let after = GroupNorm::new(2, 4).affine(false);
    let after = plan(after.activation(Activation::Tanh).into());
    let good = ForwardTensors::new(&input, &output);
    let with = |residual, residual_output| ForwardTensors {
        residual,
        residual_output,
        ..good
    };
    let forward = |plan: &Plan, tensors| plan.forward(&mut encoder(context()), &tensors);
    let missing = |error: Error| matches!(error, Error::Missing(..));
    let unexpected = |error: Error| matches!(error, Error::Unexpected(..));
    forward(&before, with(Some(&residual), Some(&sum))).unwrap();
    assert!(missing(
        forward(&before, with(Some(&residual), None)).unwrap_err()
    ));
    assert!(unexpected(
        forward(&before, with(None, Some(&sum))).unwrap_err()
    ));
    forward(&after, with(Some(&residual), None)).unwrap();
    assert!(unexpected(
        forward(&after, with(Some(&residual), Some(&sum))).unwrap_err()
    ));

    let statistics = Tensor::uninit(context(), &before.statistics_shape()).unwrap();
    let of_after = Tensor::uninit(context(), &after.statistics_shape()).unwrap();
    let good = |statistics| BackwardTensors {
        grad_input: Some(&output),
        ..BackwardTensors::new(&input, statistics, &residual)
    };
    let backward = |plan: &Plan, tensors| plan.backward(&mut encoder(context()), &tensors);
    let tensors = BackwardTensors {
        residual: Some(&sum),
        ..good(&statistics)
    };
    assert!(unexpected(backward(&before, tensors).unwrap_err()));
    let tensors = BackwardTensors {
        grad_residual: Some(&sum),
        ..good(&statistics)
    };
    assert!(unexpected(backward(&before, tensors).unwrap_err()));
    let tensors = BackwardTensors {
        grad_residual_output: Some(&sum),
        ..good(&of_after)
    };
    assert!(unexpected(backward(&after, tensors).unwrap_err()));
    // Its gradient goes through the activation of a sum that it is part of.
    let tensors = BackwardTensors {
        grad_residual: Some(&sum),
        ..good(&of_after)
    };
    assert!(missing(backward(&after, tensors).unwrap_err()));

    let layer = Layer::new(context(), LayerNorm::new(&[4])).unwrap();
    let saved = layer.forward(&input, Mode::TRAINING).unwrap().saved;
    let gradients = OutputGradients::new(&residual).residual_output(&sum);
    let error = layer.backward(&saved, gradients).unwrap_err();
    assert!(unexpected(error));
}

/// Weights of each sample and weights stored as their distance from 1, alone and together: each norm, mode and device has another
/// strategy (tests/gpu/properties.rs draws all of them).
#[test]
fn weights_of_samples_and_zero_centered_ones() {
    let tracked = InstanceNorm::new(3).affine(true).track_running_stats(true);
    let norms: [(Norm, &[usize]); 9] = [
        (BatchNorm::new(3).into(), &[4, 3, 7]),
        (BatchNorm::new(8).into(), &[50, 8]),
        (tracked.into(), &[4, 3, 20]),
        (GroupNorm::new(2, 6).into(), &[3, 6]),
        (GroupNorm::new(2, 4).into(), &[3, 4, 12]),
        (LayerNorm::new(&[65]).into(), &[3, 5, 65]),
        (LayerNorm::new(&[4, 16]).into(), &[9, 4, 16]),
        (LayerNorm::new(&[1028]).into(), &[2, 3, 1028]),
        (RmsNorm::new(&[500]).into(), &[2, 2, 500]),
    ];
    // By turns for two devices: each norm has another two next time.
    let mut kinds = [(true, false), (false, true), (true, true)]
        .into_iter()
        .cycle();
    for (seed, (norm, shape)) in norms.into_iter().enumerate() {
        for mode in modes(&norm) {
            let devices = own_devices().into_iter().take(2).enumerate();
            for (number, (device, context)) in devices {
                let (per_sample, zero_centered) = kinds.next().unwrap();
                let norm = norm.clone().with_weights(per_sample, zero_centered);
                let mut case = Case::random(&norm, mode, shape, seed as u64).unwrap();
                for strategy in [None, STRATEGIES[(seed + number) % STRATEGIES.len()]] {
                    case.strategy = strategy;
                    check(device, &context, &case);
                }
            }
        }
    }
}

/// Weight and bias that belong to a pass, through a layer.
#[test]
fn layers_take_the_weights_of_samples() {
    let norm = LayerNorm::new(&[6])
        .per_sample(true)
        .zero_centered_weight(true);
    let shape = [2, 5, 6];
    let case = Case::random(&norm.clone().into(), Mode::TRAINING, &shape, 4).unwrap();
    let want = results(context(), &case).unwrap();
    let layer = Layer::new(context(), norm).unwrap();
    assert!(layer.weight().is_none() && layer.bias().is_none());
    let tensor =
        |values: &[f32], shape: &[usize]| Tensor::from_slice(context(), values, shape).unwrap();
    let weight = tensor(case.weight.as_ref().unwrap(), &[2, 6]);
    let bias = tensor(case.bias.as_ref().unwrap(), &[2, 6]);
    let input = tensor(&case.input, &shape);
    let error = layer.forward(&input, Mode::TRAINING).unwrap_err();
    assert!(matches!(error, Error::Missing("weight", _)), "{error}");
    let inputs = Inputs::new(&input).weight(&weight).bias(&bias);
    let forward = layer.forward(inputs, Mode::TRAINING).unwrap();
    let gradients = layer.backward(&forward.saved, &tensor(&case.grad_output, &shape));
    let gradients = gradients.unwrap();
    for (name, tensor) in [
        ("output", Some(forward.output)),
        ("grad_input", Some(gradients.grad_input)),
        ("grad_weight", gradients.grad_weight),
        ("grad_bias", gradients.grad_bias),
    ] {
        assert!(tensor.unwrap().to_vec().unwrap() == want[name], "{name}");
    }
    // A weight that is the layer's own cannot be given, nor one of another shape.
    let own = Layer::new(context(), LayerNorm::new(&[6])).unwrap();
    let error = own.forward(inputs, Mode::TRAINING).unwrap_err();
    assert!(matches!(error, Error::Unexpected("weight", _)), "{error}");
    let short = tensor(&[0.0; 6], &[1, 6]);
    let inputs = Inputs::new(&input).weight(&short).bias(&bias);
    let error = layer.forward(inputs, Mode::TRAINING).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}
