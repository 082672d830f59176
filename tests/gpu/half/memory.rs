//! Where tensors of 16 bits lie: an odd number of them, behind each other, over each other, in slices; and what refuses them.

use half::{bf16, f16};
use wgpu_norm::check::{Case, results, run};
use wgpu_norm::{
    BackwardTensors, BatchNorm, Caps, Context, DType, Error, ForwardTensors, GroupNorm,
    InstanceNorm, Layer, LayerNorm, Mode, Norm, Plan, RmsNorm, Tensor,
};

use super::{TYPES, storages};
use crate::common::{STRATEGIES, context, encoder, judge};

const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// Odd rows and runs, an odd number of elements in all, vectors; without parameters, so that all tensors of a pass are like the input.
fn norms() -> [(Norm, &'static [usize]); 7] {
    let batch = BatchNorm::new(3).affine(false).track_running_stats(false);
    let columns = BatchNorm::new(8).affine(false).track_running_stats(false);
    let group = GroupNorm::new(3, 9).affine(false);
    [
        (batch.into(), &[5, 3, 7]),
        (columns.into(), &[50, 8]),
        (InstanceNorm::new(3).into(), &[3, 3, 21]),
        (group.into(), &[5, 9, 35]),
        (LayerNorm::new(&[65]).affine(false).into(), &[9, 65]),
        (LayerNorm::new(&[4099]).affine(false).into(), &[3, 4099]),
        (RmsNorm::new(&[64]).weight(false).into(), &[9, 64]),
    ]
}

const BEHIND: u16 = 0xabcd;

/// A buffer with tensors of the same shape at aligned offsets, and the same bits wherever they are not.
struct Arena {
    buffer: wgpu::Buffer,
    stride: u64,
}

impl Arena {
    fn new(context: &Context, dtype: DType, values: [&[f32]; 2]) -> Self {
        let alignment = u64::from(context.caps().offset_alignment);
        let stride = (2 * values[0].len() as u64 + 2).next_multiple_of(alignment);
        let buffer = context.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 2 * stride,
            usage: USAGE,
            mapped_at_creation: false,
        });
        let mut bits = vec![BEHIND; stride as usize];
        for (values, begin) in values.into_iter().zip([0, stride as usize / 2]) {
            for (bits, &value) in bits[begin..].iter_mut().zip(values) {
                *bits = match dtype {
                    DType::F16 => f16::from_f32(value).to_bits(),
                    _ => bf16::from_f32(value).to_bits(),
                };
            }
        }
        (context.queue()).write_buffer(&buffer, 0, bytemuck::cast_slice(&bits));
        Self { buffer, stride }
    }

    fn tensor(&self, context: &Context, dtype: DType, at: u64, shape: &[usize]) -> Tensor {
        let buffer = self.buffer.clone();
        Tensor::from_buffer_of(context, dtype, buffer, at * self.stride, shape).unwrap()
    }

    /// Nothing behind the tensors has changed.
    fn is_untouched_behind(&self, context: &Context, elements: usize) {
        let bits = Tensor::from_buffer_of(
            context,
            DType::F16,
            self.buffer.clone(),
            0,
            &[self.stride as usize],
        );
        let bits = bits.unwrap().to_vec_of::<f16>().unwrap();
        let halves = bits.chunks(self.stride as usize / 2);
        for half in halves {
            assert!(half.len() > elements);
            assert!(half[elements..].iter().all(|bits| bits.to_bits() == BEHIND));
        }
    }
}

/// Output over input and `grad_input` over `grad_output`, both in one buffer: the same bits as in separate buffers, and nothing else changes.
#[test]
fn in_place_in_one_buffer() {
    for (dtype, context) in storages() {
        for (norm, shape) in norms() {
            let case = Case::random(&norm, Mode::TRAINING, shape, 1).unwrap();
            let case = case.with_dtype(dtype);
            let separate = results(&context, &case).unwrap();
            let plan = Plan::of_dtype(&context, dtype, norm.clone(), shape, Mode::TRAINING);
            let plan = plan.unwrap();
            let arena = Arena::new(&context, dtype, [&case.input, &case.grad_output]);
            let input = Tensor::from_f32(&context, dtype, &case.input, shape).unwrap();
            let in_place = arena.tensor(&context, dtype, 0, shape);
            let gradient = arena.tensor(&context, dtype, 1, shape);
            let statistics = Tensor::uninit(&context, &plan.statistics_shape()).unwrap();
            let mut encoder = encoder(&context);
            let forward = ForwardTensors {
                statistics: Some(&statistics),
                ..ForwardTensors::new(&in_place, &in_place)
            };
            plan.forward(&mut encoder, &forward).unwrap();
            let backward = BackwardTensors {
                grad_input: Some(&gradient),
                ..BackwardTensors::new(&input, &statistics, &gradient)
            };
            plan.backward(&mut encoder, &backward).unwrap();
            context.queue().submit([encoder.finish()]);
            for (name, tensor) in [("output", &in_place), ("grad_input", &gradient)] {
                let got = tensor.to_vec().unwrap();
                assert_eq!(got, separate[name], "{dtype:?} {norm:?} {name}");
            }
            arena.is_untouched_behind(&context, input.len());
        }
    }
}

/// Slices that begin in the middle of a word.
#[test]
fn in_slices() {
    let cases: [(Norm, &[usize], u64); 6] = [
        (BatchNorm::new(7).into(), &[41, 7, 35], 8192),
        (BatchNorm::new(8).into(), &[3, 8, 20, 20], 4096),
        (InstanceNorm::new(5).affine(true).into(), &[9, 5, 77], 2048),
        (GroupNorm::new(4, 8).into(), &[2, 8, 300], 4096),
        (GroupNorm::new(3, 9).into(), &[3, 9, 135], 2048),
        (LayerNorm::new(&[33]).into(), &[201, 33], 4096),
    ];
    for (dtype, context) in storages() {
        for (norm, shape, bytes) in &cases {
            let caps = Caps {
                max_binding_size: *bytes,
                ..*context.caps()
            };
            let context = context.with_caps(caps).unwrap();
            for mode in [Mode::TRAINING, Mode::EVAL] {
                let plan = Plan::of_dtype(&context, dtype, norm.clone(), shape, mode).unwrap();
                let launches = plan.forward_recipe().unwrap().unwrap().steps;
                let sliced = launches.iter().filter_map(|step| step.window.clone());
                assert!(sliced.clone().count() > 1, "{norm:?}");
                assert!(sliced.clone().all(|w| w.end - w.start <= *bytes));
                let strategies = STRATEGIES.into_iter();
                for strategy in strategies.filter(|s| s.is_none() || mode == Mode::TRAINING) {
                    let case = Case::random(norm, mode, shape, 4).unwrap();
                    let mut case = case.offset(5.0).with_dtype(dtype);
                    case.strategy = strategy;
                    match run(&context, &case) {
                        Err(Error::Limit { .. }) if strategy.is_some() => {}
                        report => drop(judge("own", &case, report)),
                    }
                }
            }
        }
    }
}

/// A layer makes its own tensors like its input, and reads them as what they are or as f32.
#[test]
fn a_layer_follows_its_input() {
    let layer = Layer::new(context(), LayerNorm::new(&[7])).unwrap();
    let values: Vec<f32> = (0..21).map(|i| (i as f32).sin()).collect();
    let mut outputs = Vec::new();
    for dtype in DType::DATA {
        layer.warm_up_of(dtype, &[3, 7], Mode::TRAINING).unwrap();
        let input = Tensor::from_f32(context(), dtype, &values, &[3, 7]).unwrap();
        assert_eq!(input.byte_len(), if dtype == DType::F32 { 84 } else { 44 });
        let forward = layer.forward(&input, Mode::TRAINING).unwrap();
        assert_eq!(forward.output.dtype(), dtype);
        let gradients = layer.backward(&forward.saved, &input).unwrap();
        assert_eq!(gradients.grad_input.dtype(), dtype);
        assert_eq!(gradients.grad_weight.unwrap().dtype(), DType::F32);
        outputs.push(forward.output.to_vec().unwrap());
    }
    for (k, &full) in outputs[0].iter().enumerate() {
        assert!((outputs[1][k] - full).abs() < 2e-3, "{k}");
        assert!((outputs[2][k] - full).abs() < 2e-2, "{k}");
    }
    assert_ne!(outputs[0], outputs[1]);
    let input = Tensor::from_slice(context(), &[bf16::ONE; 7], &[1, 7]).unwrap();
    assert_eq!(input.to_vec_of::<bf16>().unwrap(), [bf16::ONE; 7]);
    assert_eq!(input.to_vec().unwrap(), [1.0; 7]);
    input.write(&[bf16::NEG_INFINITY; 7]).unwrap();
    assert_eq!(input.to_vec().unwrap(), [f32::NEG_INFINITY; 7]);
}

#[test]
fn other_types_are_errors_that_name_both() {
    let layer = Layer::new(context(), LayerNorm::new(&[7])).unwrap();
    for dtype in TYPES {
        let input = Tensor::from_f32(context(), dtype, &[0.5; 21], &[3, 7]).unwrap();
        let forward = layer.forward(&input, Mode::TRAINING).unwrap();
        let gradient = Tensor::uninit(context(), &[3, 7]).unwrap();
        let error = layer.backward(&forward.saved, &gradient).unwrap_err();
        let expected = Error::DType {
            tensor: "grad_output",
            expected: dtype,
            got: DType::F32,
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains(&format!("{dtype:?}")));
        assert!(input.write(&[0.5; 21]).is_err());
        assert!(input.to_vec_of::<u32>().is_err());
        let counts = Tensor::from_f32(context(), DType::U32, &[0.5; 21], &[3, 7]);
        assert!(matches!(counts, Err(Error::DType { .. })));
    }
    let plan = Plan::of_dtype(
        context(),
        DType::U32,
        LayerNorm::new(&[7]),
        &[3, 7],
        Mode::EVAL,
    );
    assert!(matches!(plan, Err(Error::Value { .. })), "{plan:?}");
    let buffer = |size| {
        context().device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: USAGE,
            mapped_at_creation: false,
        })
    };
    let tensor = |size| Tensor::from_buffer_of(context(), DType::F16, buffer(size), 0, &[3]);
    assert!(tensor(8).is_ok());
    let error = Error::BufferTooSmall {
        needed: 8,
        offset: 0,
        size: 6,
    };
    assert_eq!(tensor(6).unwrap_err(), error);
    let own = *context().caps();
    let asked = Caps {
        shader_f16: true,
        ..own
    };
    assert_eq!(context().with_caps(asked).is_ok(), own.shader_f16);
    let asked = Caps {
        shader_int64: true,
        ..own
    };
    assert_eq!(context().with_caps(asked).is_ok(), own.shader_int64);
}
