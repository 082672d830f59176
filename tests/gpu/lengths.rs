//! Samples of different lengths, and padding that must not count.

use proptest::prelude::*;
use wgpu_norm::check::{Case, Row, results, run};
use wgpu_norm::geometry::Residual;
use wgpu_norm::{
    Activation, BackwardTensors, BatchNorm, Caps, Context, DType, Error, ForwardTensors, GroupNorm,
    Inputs, InstanceNorm, Layer, LayerNorm, Mode, Norm, Plan, RmsNorm, State, Tensor,
};

use crate::common::{
    TOLERANCE, by_turns, cases, check, context, devices, encoder, judge, modes, own_devices,
};
use crate::pytorch::ours;

/// Indices of the padding.
fn padding(case: &Case) -> Vec<usize> {
    let axis = case.norm.length_dimension(case.shape.len()).unwrap();
    let stride = |axis: usize| case.shape[axis + 1..].iter().product::<usize>();
    let lengths = case.lengths.as_ref().unwrap();
    let is_padding = |index: &usize| {
        let position = index / stride(axis) % case.shape[axis];
        position >= lengths[index / stride(0)] as usize
    };
    (0..case.input.len()).filter(is_padding).collect()
}

/// The case with what no result may depend on.
fn poisoned(mut case: Case) -> Case {
    let poison = [f32::NAN, f32::INFINITY, -3e38, f32::NEG_INFINITY];
    for index in padding(&case) {
        let value = poison[index % poison.len()];
        case.input[index] = value;
        case.grad_output[index] = value;
        let residuals = [&mut case.residual, &mut case.grad_residual_output];
        for values in residuals.into_iter().flatten() {
            values[index] = value;
        }
    }
    case
}

/// All data are 0 behind the end of a sample, in all bits but the sign.
fn padding_is_zero(context: &Context, case: &Case) {
    let results = results(context, case).unwrap();
    let padding = padding(case);
    for name in ["output", "grad_input", "residual_output", "grad_residual"] {
        let Some(values) = results.get(name) else {
            continue;
        };
        for &index in &padding {
            let value = values[index];
            assert!(value == 0.0, "{:?} {name}[{index}] = {value}", case.norm);
        }
    }
}

fn norms() -> Vec<(Norm, &'static [usize])> {
    let instance = InstanceNorm::new(4).affine(true).track_running_stats(true);
    let ghost = BatchNorm::new(3).virtual_batch_size(Some(2));
    vec![
        (BatchNorm::new(3).into(), &[4, 3, 8]),
        (BatchNorm::new(3).momentum(None).into(), &[4, 3, 7]),
        (BatchNorm::new(4).into(), &[4, 4, 6, 10]),
        (BatchNorm::new(4).channels_last(true).into(), &[4, 6, 4]),
        (ghost.into(), &[4, 3, 20]),
        (instance.into(), &[4, 4, 12]),
        (instance.channels_last(true).into(), &[4, 9, 4]),
        (GroupNorm::new(2, 4).into(), &[4, 4, 64]),
        (GroupNorm::new(2, 8).channels_last(true).into(), &[4, 10, 8]),
        (LayerNorm::new(&[12]).into(), &[4, 5, 12]),
        (LayerNorm::new(&[8]).into(), &[4, 5, 2, 8]),
        (LayerNorm::new(&[30]).into(), &[4, 30]),
        (LayerNorm::new(&[6, 8]).into(), &[4, 6, 8]),
        (LayerNorm::new(&[6]).channels_first(true).into(), &[4, 6, 8]),
        (RmsNorm::new(&[9]).into(), &[4, 5, 9]),
        (RmsNorm::new(&[8]).into(), &[4, 8]),
    ]
}

/// None, one, some, all, and more than there are.
const LENGTHS: [&[u32]; 4] = [&[3, 0, 1, 100], &[5, 2, 6, 4], &[1, 1, 0, 1], &[0, 0, 0, 0]];

/// Each norm and mode on one device after the other, with and without neighbours by turns: all lengths then share their pipelines.
#[test]
fn every_norm() {
    let (mut runs, mut seed) = (0, 0);
    let devices = own_devices();
    for (norm, shape) in norms() {
        for mode in modes(&norm) {
            let (device, context) = &devices[runs % devices.len()];
            let activation = [Activation::None, Activation::Sigmoid][runs / 3 % 2];
            let norm = norm.clone().with_activation(activation);
            let residual = runs % 3 == 0;
            runs += 1;
            for lengths in LENGTHS {
                seed += 1;
                let case = Case::random(&norm, mode, shape, seed).unwrap();
                let case = if residual { case.with_residual() } else { case };
                let case = poisoned(case.with_lengths(lengths));
                check(device, context, &case);
                if seed.is_multiple_of(5) {
                    padding_is_zero(context, &case);
                }
            }
        }
    }
}

/// Groups of many parts and blocks, whose means are far from 0; with weights of each sample, and 16-bit data.
#[test]
fn long_samples() {
    let layer = LayerNorm::new(&[512]).activation(Activation::GeluTanh);
    let norms: [(Norm, &[usize], &[u32]); 6] = [
        (
            BatchNorm::new(2).into(),
            &[3, 2, 20_000],
            &[20_000, 17, 9_999],
        ),
        (
            BatchNorm::new(8).channels_last(true).into(),
            &[3, 3_001, 8],
            &[1_500, 3_001, 0],
        ),
        (
            InstanceNorm::new(2).affine(true).per_sample(true).into(),
            &[3, 2, 9_001],
            &[9_000, 2, 4_097],
        ),
        (
            InstanceNorm::new(3).track_running_stats(true).into(),
            &[150, 3, 20],
            &[0, 1, 2, 20, 7],
        ),
        (layer.into(), &[3, 70, 512], &[70, 1, 33]),
        (
            RmsNorm::new(&[20_000]).into(),
            &[3, 20_000],
            &[3, 20_000, 12_345],
        ),
    ];
    let devices = own_devices();
    for (turn, (norm, shape, lengths)) in norms.into_iter().enumerate() {
        for (number, (device, context, _)) in by_turns(&devices, turn).into_iter().enumerate() {
            let dtype = [DType::F32, DType::BF16][(turn + number) % 2];
            let case = Case::random(&norm, Mode::TRAINING, shape, 7).unwrap();
            let offset = if dtype == DType::F32 { 1e4 } else { 0.0 };
            let case = poisoned(case.offset(offset).with_lengths(lengths));
            check(device, context, &case.with_dtype(dtype));
        }
    }
}

prop_compose! {
    fn random()(
        kind in 0u8..5,
        sizes in (1usize..=9, 1usize..=9, 1usize..=70),
        [moved, weight, bias, residual] in any::<[bool; 4]>(),
        activation in prop::sample::select(vec![Activation::None, Activation::Tanh]),
        eval in prop::bool::weighted(0.2),
        lengths in prop::collection::vec(0u32..80, 9),
        device in 0usize..4,
        seed in any::<u64>(),
    ) -> (Case, usize) {
        let (n, c, s) = sizes;
        let (n, c, s) = (n + 1, 2 * c, s + 1);
        let mut shape = if moved { vec![n, s, c] } else { vec![n, c, s] };
        let norm: Norm = match kind {
            0 => BatchNorm::new(c).weight(weight).bias(bias).channels_last(moved).into(),
            1 => InstanceNorm::new(c).weight(weight).bias(bias).track_running_stats(true).channels_last(moved).into(),
            2 => GroupNorm::new(2, c).weight(weight).bias(bias).channels_last(moved).into(),
            3 => LayerNorm::new(&[c]).weight(weight).bias(bias).channels_first(!moved).into(),
            _ => {
                shape = if moved { vec![n, s] } else { vec![n, c, s] };
                RmsNorm::new(&[s]).weight(weight).into()
            }
        };
        let mode = if eval { Mode::EVAL } else { Mode::TRAINING };
        let case = Case::random(&norm.with_activation(activation), mode, &shape, seed).unwrap();
        let case = if residual { case.with_residual() } else { case };
        // Mostly within the dimension.
        let most = shape[1].max(shape[shape.len() - 1]) as u32 + 2;
        let lengths: Vec<u32> = lengths.iter().map(|length| length % most).collect();
        (poisoned(case.with_lengths(&lengths)), device)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20) })]

    #[test]
    fn random_shapes_and_lengths((case, device) in random()) {
        let devices = devices();
        let (name, context) = &devices[device % devices.len()];
        judge(name, &case, run(context, &case));
    }
}

/// What PyTorch computed in float64. One case has its lengths along another dimension than dimension 1 of rows of several.
#[test]
fn agrees_with_pytorch() {
    let (devices, mut turn, mut compared) = (own_devices(), 0, 0);
    for path in cases::files("reference") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        let file = cases::File::new(&bytes).unwrap();
        let Some(axis) = file.setting::<usize>("length_axis").unwrap() else {
            continue;
        };
        let theirs = cases::load(&path).unwrap();
        if theirs.norm.length_dimension(theirs.shape.len()) != Some(axis) {
            assert_eq!(name, "layer_norm_lengths_in_rows");
            continue;
        }
        let mut case = ours(&theirs);
        case.norm = case.norm.with_activation(file.activation().unwrap());
        case.residual = file.f32("residual").unwrap();
        case.grad_residual_output = file.f32("grad_residual_output").unwrap();
        let lengths = file.lengths().unwrap().into_iter();
        case.lengths = Some(lengths.map(|length| length as u32).collect());
        let second = [
            "double_grad_input",
            "double_grad_weight",
            "grad_grad_output",
        ];
        for (device, context, _) in by_turns(&devices, turn) {
            let results = results(context, &case).unwrap();
            for (key, want) in &theirs.expected {
                if second.contains(&key.as_str()) {
                    continue;
                }
                let row = Row::new(name.clone(), "", &results[key.as_str()], want, 0.0);
                assert!(
                    row.error <= TOLERANCE,
                    "{device}: {name} {key}: {:e}",
                    row.error
                );
                compared += usize::from(device == "own");
            }
        }
        turn += 1;
    }
    assert_eq!(compared, 3 * 6 + 7 + 6 + 4 + 5, "tensors");
}

/// Slices of a tensor larger than a binding know which samples they are of.
#[test]
fn in_slices() {
    let norms: [(Norm, &[usize]); 4] = [
        (BatchNorm::new(6).into(), &[40, 6, 35]),
        (BatchNorm::new(8).into(), &[3, 8, 400]),
        (InstanceNorm::new(5).affine(true).into(), &[9, 5, 77]),
        (LayerNorm::new(&[33]).into(), &[20, 10, 33]),
    ];
    let devices = own_devices();
    for (turn, (norm, shape)) in norms.into_iter().enumerate() {
        for (device, context, _) in by_turns(&devices, turn) {
            let caps = Caps {
                max_binding_size: 8192,
                ..*context.caps()
            };
            let context = context.with_caps(caps).unwrap();
            let case = Case::random(&norm, Mode::TRAINING, shape, 8).unwrap();
            let case = poisoned(case.with_lengths(&[7, 35, 0, 300, 2]));
            check(device, &context, &case);
        }
    }
}

/// A layer gives what its plan gives; without an activation, too, the gradient of a residual is not that of the output.
#[test]
fn layers() {
    for (norm, shape) in norms() {
        let case = Case::random(&norm, Mode::TRAINING, shape, 3).unwrap();
        let mut case = poisoned(case.with_residual().with_lengths(&[3, 0, 1, 5]));
        case.grad_residual_output = None;
        if norm.tracks_running_stats() {
            case.num_batches_tracked = 0;
        }
        let want = results(context(), &case).unwrap();
        let layer = Layer::new(context(), norm.clone()).unwrap();
        let state = State {
            shape: norm.parameter_shape(),
            weight: case.weight.clone(),
            bias: case.bias.clone(),
            running_mean: case.running_mean.clone(),
            running_var: case.running_var.clone(),
            num_batches_tracked: norm.tracks_running_stats().then_some(0),
        };
        layer.load_state(&state).unwrap();
        let data = |values: &[f32]| Tensor::from_slice(context(), values, shape).unwrap();
        let input = data(&case.input);
        let residual = data(case.residual.as_ref().unwrap());
        let lengths = case.lengths.as_ref().unwrap();
        let lengths = Tensor::from_slice(context(), lengths, &[4]).unwrap();
        let inputs = Inputs::new(&input).residual(&residual).lengths(&lengths);
        let forward = layer.forward(inputs, Mode::TRAINING).unwrap();
        let grad_output = data(&case.grad_output);
        let gradients = layer.backward(&forward.saved, &grad_output).unwrap();
        for (name, tensor) in [
            ("output", Some(&forward.output)),
            ("residual_output", forward.residual_output.as_ref()),
            ("running_mean", layer.running_mean()),
            ("running_var", layer.running_var()),
            ("grad_input", Some(&gradients.grad_input)),
            ("grad_residual", gradients.grad_residual.as_ref()),
            ("grad_weight", gradients.grad_weight.as_ref()),
            ("grad_bias", gradients.grad_bias.as_ref()),
        ] {
            let got = tensor.map(|tensor| tensor.to_vec().unwrap());
            assert!(got.as_ref() == want.get(name), "{norm:?} {name}");
        }
        let alone = layer.backward_input(&forward.saved, &grad_output).unwrap();
        assert!(alone.to_vec().unwrap() == want["grad_input"], "{norm:?}");
    }
}

/// A batch without two elements in any group moves no running statistics and is not counted.
#[test]
fn batches_of_padding_do_not_count() {
    let layer = Layer::new(context(), BatchNorm::new(2).momentum(None)).unwrap();
    let input = Tensor::full(context(), &[3, 2, 4], 7.0f32).unwrap();
    for (lengths, batches, mean) in [
        ([0u32, 0, 0], 0, 0.0),
        ([0, 1, 0], 0, 0.0),
        ([0, 1, 1], 1, 7.0),
        ([0, 0, 0], 1, 7.0),
    ] {
        let lengths = Tensor::from_slice(context(), &lengths, &[3]).unwrap();
        let inputs = Inputs::new(&input).lengths(&lengths);
        layer.forward(inputs, Mode::TRAINING).unwrap();
        assert_eq!(layer.num_batches_tracked().unwrap(), Some(batches));
        let running = layer.running_mean().unwrap().to_vec().unwrap();
        assert_eq!(running, [mean, mean]);
    }
}

#[test]
fn wrong_lengths() {
    let plan = |norm: Norm, shape: &[usize]| Plan::new(context(), norm, shape, Mode::TRAINING);
    let norm: Norm = BatchNorm::new(3)
        .affine(false)
        .track_running_stats(false)
        .into();
    let data = |shape: &[usize]| Tensor::full(context(), shape, 1.0f32).unwrap();
    let lengths = |count: usize| Tensor::full(context(), &[count], 1u32).unwrap();
    let forward = |plan: &Plan, lengths: &Tensor| {
        let (input, output) = (data(plan.shape()), data(plan.shape()));
        let tensors = ForwardTensors {
            lengths: Some(lengths),
            ..ForwardTensors::new(&input, &output)
        };
        plan.forward(&mut encoder(context()), &tensors)
    };
    let long = plan(norm.clone(), &[4, 3, 5]).unwrap();
    forward(&long, &lengths(4)).unwrap();
    let error = forward(&long, &lengths(5)).unwrap_err();
    let of_lengths = |tensor| tensor == "lengths";
    assert!(
        matches!(error, Error::Shape { tensor, .. } if of_lengths(tensor)),
        "{error}"
    );
    let error = forward(&long, &data(&[4])).unwrap_err();
    assert!(
        matches!(error, Error::DType { tensor, .. } if of_lengths(tensor)),
        "{error}"
    );
    let flat = plan(norm, &[4, 3]).unwrap();
    let error = forward(&flat, &lengths(4)).unwrap_err();
    assert!(matches!(error, Error::Unexpected("lengths", _)), "{error}");
    let error = flat.warm_up_lengths().unwrap_err();
    assert!(matches!(error, Error::Unexpected("lengths", _)), "{error}");

    let statistics = Tensor::uninit(context(), &long.statistics_shape()).unwrap();
    let (input, gradient, five) = (data(&[4, 3, 5]), data(&[4, 3, 5]), lengths(5));
    let tensors = BackwardTensors {
        grad_input: Some(&gradient),
        lengths: Some(&five),
        ..BackwardTensors::new(&input, &statistics, &input)
    };
    let error = long.backward(&mut encoder(context()), &tensors);
    let error = error.unwrap_err();
    assert!(
        matches!(error, Error::Shape { tensor, .. } if of_lengths(tensor)),
        "{error}"
    );

    // More samples than one lane may go through.
    let many: Norm = InstanceNorm::new(1).track_running_stats(true).into();
    let shape = [100_000, 1, 2];
    let plan = Plan::new(context(), many, &shape, Mode::TRAINING).unwrap();
    let error = plan.warm_up_lengths().unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

/// All that the first pass would compile is compiled beforehand.
#[test]
fn warm() {
    let norm = BatchNorm::new(3).activation(Activation::Silu);
    let plan = Plan::new(context(), norm, &[5, 3, 11], Mode::TRAINING).unwrap();
    assert_eq!(plan.norm().residual_place(), Residual::After);
    plan.warm_up_lengths().unwrap();
    assert_eq!(plan.warm_up_lengths().unwrap().pipelines, 0);
}
