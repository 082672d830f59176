//! Tensors that share buffers: one behind the other, over one another, overlapping.

use wgpu_norm::check::{Case, results};
use wgpu_norm::{
    BackwardTensors, BatchNorm, Context, Error, ForwardTensors, GroupNorm, InstanceNorm, LayerNorm,
    Mode, Norm, Plan, RmsNorm, Tensor,
};

use crate::common::{by_turns, context, encoder, own_devices};

/// Tensors one after the other in a single buffer, at aligned offsets, with NaN between and behind them.
struct Arena<'a> {
    context: &'a Context,
    buffer: wgpu::Buffer,
    used: u64,
}

impl<'a> Arena<'a> {
    fn new(context: &'a Context, bytes: u64) -> Self {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let buffer = context.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        let poison = vec![f32::NAN; bytes as usize / 4];
        context
            .queue()
            .write_buffer(&buffer, 0, bytemuck::cast_slice(&poison));
        Self {
            context,
            buffer,
            used: 0,
        }
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let alignment = u64::from(self.context.caps().offset_alignment);
        self.used = (self.used + 1).next_multiple_of(alignment);
        let tensor = Tensor::from_buffer(self.context, self.buffer.clone(), self.used, shape);
        let tensor = tensor.unwrap();
        self.used += tensor.byte_len();
        tensor
    }

    fn filled(&mut self, values: &[f32], shape: &[usize]) -> Tensor {
        let tensor = self.tensor(shape);
        tensor.write(values).unwrap();
        tensor
    }

    /// Everything that is in no tensor must still be NaN.
    fn untouched_between(&self, tensors: &[&Tensor]) {
        let whole = Tensor::from_buffer(
            self.context,
            self.buffer.clone(),
            0,
            &[self.buffer.size() as usize / 4],
        );
        for (k, value) in whole.unwrap().to_vec().unwrap().into_iter().enumerate() {
            let at = 4 * k as u64;
            let inside = |tensor: &&&Tensor| {
                (tensor.offset()..tensor.offset() + tensor.byte_len()).contains(&at)
            };
            assert!(
                tensors.iter().any(|tensor| inside(&tensor)) || value.is_nan(),
                "byte {at}"
            );
        }
    }
}

fn norms() -> [(Norm, &'static [usize]); 6] {
    [
        (
            BatchNorm::new(3).track_running_stats(false).into(),
            &[4, 3, 7],
        ),
        (
            BatchNorm::new(6).track_running_stats(false).into(),
            &[50, 6],
        ),
        (InstanceNorm::new(3).affine(true).into(), &[4, 3, 20]),
        (GroupNorm::new(2, 4).into(), &[3, 4, 12]),
        (LayerNorm::new(&[65]).into(), &[9, 65]),
        (RmsNorm::new(&[500]).into(), &[4, 500]),
    ]
}

/// All tensors of a pass in one buffer: the same bits as in separate buffers, and nothing else is written.
#[test]
fn all_tensors_in_one_buffer() {
    let devices = own_devices();
    for (turn, (norm, shape)) in norms().into_iter().enumerate() {
        for (device, context, _) in by_turns(&devices, turn) {
            let case = Case::random(&norm, Mode::TRAINING, shape, 1).unwrap();
            let separate = results(context, &case).unwrap();
            let plan = Plan::new(context, norm.clone(), shape, Mode::TRAINING).unwrap();
            let mut arena = Arena::new(context, 1 << 16);
            let parameter_shape = norm.parameter_shape();
            let input = arena.filled(&case.input, shape);
            let grad_output = arena.filled(&case.grad_output, shape);
            let mut parameter = |values: &Option<Vec<f32>>| {
                values.as_ref().map(|v| arena.filled(v, &parameter_shape))
            };
            let (weight, bias) = (parameter(&case.weight), parameter(&case.bias));
            let (output, grad_input) = (arena.tensor(shape), arena.tensor(shape));
            let statistics = arena.tensor(&plan.statistics_shape());
            let grad_weight = weight.as_ref().map(|_| arena.tensor(&parameter_shape));
            let grad_bias = bias.as_ref().map(|_| arena.tensor(&parameter_shape));
            let mut encoder = encoder(context);
            plan.forward(
                &mut encoder,
                &ForwardTensors {
                    weight: weight.as_ref(),
                    bias: bias.as_ref(),
                    statistics: Some(&statistics),
                    ..ForwardTensors::new(&input, &output)
                },
            )
            .unwrap();
            plan.backward(
                &mut encoder,
                &BackwardTensors {
                    weight: weight.as_ref(),
                    grad_input: Some(&grad_input),
                    grad_weight: grad_weight.as_ref(),
                    grad_bias: grad_bias.as_ref(),
                    ..BackwardTensors::new(&input, &statistics, &grad_output)
                },
            )
            .unwrap();
            context.queue().submit([encoder.finish()]);
            let optional = [&weight, &bias, &grad_weight, &grad_bias];
            let mut all = vec![&input, &grad_output, &output, &grad_input, &statistics];
            all.extend(optional.into_iter().flatten());
            arena.untouched_between(&all);
            assert_eq!(
                output.to_vec().unwrap(),
                separate["output"],
                "{device} {norm:?}"
            );
            assert_eq!(
                grad_input.to_vec().unwrap(),
                separate["grad_input"],
                "{device} {norm:?}"
            );
            for (name, tensor) in [("grad_weight", grad_weight), ("grad_bias", grad_bias)] {
                if let Some(tensor) = tensor {
                    assert_eq!(
                        tensor.to_vec().unwrap(),
                        separate[name],
                        "{device} {norm:?}"
                    );
                }
            }
        }
    }
}

/// Output over input, then `grad_input` over `grad_output` or over the input: the same bits.
#[test]
fn in_place() {
    let devices = own_devices();
    for (turn, (norm, shape)) in norms().into_iter().enumerate() {
        for (device, context, strategies) in by_turns(&devices, turn) {
            for strategy in strategies {
                let mut case = Case::random(&norm, Mode::TRAINING, shape, 2).unwrap();
                case.strategy = strategy;
                let Ok(separate) = results(context, &case) else {
                    continue;
                };
                let plan = match strategy {
                    Some(strategy) => {
                        Plan::with_strategy(context, norm.clone(), shape, Mode::TRAINING, strategy)
                    }
                    None => Plan::new(context, norm.clone(), shape, Mode::TRAINING),
                };
                in_place_of(device, context, &case, &plan.unwrap(), &separate);
            }
        }
    }
}

fn in_place_of(
    device: &str,
    context: &Context,
    case: &Case,
    plan: &Plan,
    separate: &wgpu_norm::check::Results,
) {
    let parameter_shape = case.norm.parameter_shape();
    let tensor =
        |values: &[f32], shape: &[usize]| Tensor::from_slice(context, values, shape).unwrap();
    let parameter =
        |values: &Option<Vec<f32>>| values.as_ref().map(|v| tensor(v, &parameter_shape));
    let (weight, bias) = (parameter(&case.weight), parameter(&case.bias));
    let gradient = |values: &Option<Tensor>| {
        values.as_ref().map(|_| {
            tensor(
                &vec![f32::NAN; parameter_shape.iter().product()],
                &parameter_shape,
            )
        })
    };
    let (grad_weight, grad_bias) = (gradient(&weight), gradient(&bias));
    for over_input in [false, true] {
        let data = tensor(&case.input, &case.shape);
        let input = tensor(&case.input, &case.shape);
        let grad_output = tensor(&case.grad_output, &case.shape);
        let statistics = Tensor::uninit(context, &plan.statistics_shape()).unwrap();
        let grad_input = if over_input { &input } else { &grad_output };
        let mut encoder = encoder(context);
        let forward = ForwardTensors {
            weight: weight.as_ref(),
            bias: bias.as_ref(),
            statistics: Some(&statistics),
            ..ForwardTensors::new(&data, &data)
        };
        plan.forward(&mut encoder, &forward).unwrap();
        let backward = BackwardTensors {
            weight: weight.as_ref(),
            grad_input: Some(grad_input),
            grad_weight: grad_weight.as_ref(),
            grad_bias: grad_bias.as_ref(),
            ..BackwardTensors::new(&input, &statistics, &grad_output)
        };
        plan.backward(&mut encoder, &backward).unwrap();
        context.queue().submit([encoder.finish()]);
        let name = format!("{device} {:?} {:?}", case.norm, case.strategy);
        assert_eq!(data.to_vec().unwrap(), separate["output"], "{name}");
        assert_eq!(
            grad_input.to_vec().unwrap(),
            separate["grad_input"],
            "{name}"
        );
        if let Some(grad_weight) = &grad_weight {
            assert_eq!(
                grad_weight.to_vec().unwrap(),
                separate["grad_weight"],
                "{name}"
            );
        }
    }
}

#[test]
fn overlapping_tensors_are_refused() {
    let plan = Plan::new(
        context(),
        LayerNorm::new(&[64]).affine(false),
        &[4, 64],
        Mode::EVAL,
    )
    .unwrap();
    let mut arena = Arena::new(context(), 1 << 14);
    let input = arena.tensor(&[4, 64]);
    let shifted = input.offset() + u64::from(context().caps().offset_alignment);
    let overlapping =
        Tensor::from_buffer(context(), arena.buffer.clone(), shifted, &[4, 64]).unwrap();
    let statistics =
        Tensor::from_buffer(context(), arena.buffer.clone(), input.offset(), &[4, 4]).unwrap();
    let output = arena.tensor(&[4, 64]);
    for (output, statistics) in [(&overlapping, None), (&output, Some(&statistics))] {
        let tensors = ForwardTensors {
            statistics,
            ..ForwardTensors::new(&input, output)
        };
        let error = plan.forward(&mut encoder(context()), &tensors).unwrap_err();
        assert!(matches!(error, Error::Overlap { .. }), "{error}");
    }
}
