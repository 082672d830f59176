//! Random norms, shapes, parameters, scales and offsets on the device: all results as a whole, and the output and input gradient of a norm alone
//! element by element.
//!
//! Each problem (norm, shape, options, device, strategy) has eight sets of numbers: cases that share their pipelines, whose compilation takes
//! most of the time. `PROPTEST_CASES=100000 cargo test --test gpu properties` runs longer; a failure prints the smallest case that it shrinks to,
//! and its seed goes to `tests/gpu/properties.proptest-regressions`, to be run first from then on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use wgpu_norm::check::{Case, run};
use wgpu_norm::{
    Activation, BatchNorm, Caps, Context, DType, Error, GroupNorm, InstanceNorm, LayerNorm, Mode,
    Norm, RmsNorm, Strategy as Reduction,
};

use crate::accuracy::within_bounds;
use crate::common::{check, context, devices_of, judge, new_context};

/// A size: mostly small, ones, powers of two and their neighbours, primes, now and then large.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 1usize..=8,
        2 => prop::sample::select(vec![13usize, 16, 31, 32, 33, 61, 64, 65]),
        1 => prop::sample::select(vec![127usize, 128, 255, 257, 509, 512, 513, 1024, 2053]),
        1 => prop::sample::select(vec![4096usize, 8191, 16_411, 40_009]),
    ]
}

#[derive(Debug, Clone)]
struct Random {
    norm: Norm,
    shape: Vec<usize>,
    mode: Mode,
    dtype: DType,
    strategy: Option<Reduction>,
    device: usize,
    max_binding_size: Option<u64>,
    numbers: [Numbers; 8],
    activation: Activation,
    residual: bool,
    per_sample: bool,
    zero_centered: bool,
}

impl Random {
    /// The norm alone, for which the documentation states bounds on each element.
    fn is_alone(&self) -> bool {
        let plain = self.dtype == DType::F32 && self.activation == Activation::None;
        plain && !self.residual && !self.per_sample && !self.zero_centered
    }
}

/// What is in the tensors: nothing that a pipeline is compiled for.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    seed: u64,
    scale: f32,
    offset: f32,
}

prop_compose! {
    fn numbers()(
        seed in any::<u64>(),
        scale in prop::sample::select(vec![1.0f32, 1.0, 1e-9, 1e6]),
        offset in prop::sample::select(vec![0.0f32, 0.0, -3.0, 1e3, 1e6]),
    ) -> Numbers {
        Numbers { seed, scale, offset }
    }
}

prop_compose! {
    fn norm_and_shape(kind: u8, options: bool)(
        sizes in (size(), size(), size()),
        rank in 2usize..=5,
        groups in 1usize..=4,
        eps in prop::sample::select(vec![0.0, 1e-12, 1e-5, 1e-3, 1.0]),
        momentum in prop::sample::select(vec![None, Some(0.0), Some(0.1), Some(1.0)]),
        [weight, bias, track, moved] in any::<[bool; 4]>(),
        blocks in prop::sample::select(vec![1usize, 1, 2, 3]),
    ) -> (Norm, Vec<usize>) {
        let (moved, blocks) = if options { (moved, blocks) } else { (false, 1) };
        let (mut n, mut c, mut s) = sizes;
        // At most about 100,000 elements.
        while n * c * s > 100_000 {
            if n >= c && n >= s { n /= 2 } else if c >= s { c /= 2 } else { s /= 2 }
        }
        let c = if kind == 2 { c.next_multiple_of(groups) } else { c };
        // Batch statistics need two values.
        let (n, s) = (n.max(2), s.max(2));
        let ghost = kind == 0 && blocks > 1;
        let n = if ghost { n.next_multiple_of(blocks) } else { n };
        let shape = match (rank, moved && kind < 3) {
            (2, _) if kind != 1 => vec![n * s, c],
            (2 | 3, false) => vec![n, c, s],
            (4, false) => vec![n, c, 1, s],
            (_, false) => vec![n, c, s, 1, 1],
            (2 | 3, true) => vec![n, s, c],
            (4, true) => vec![n, 1, s, c],
            (_, true) => vec![n, s, 1, 1, c],
        };
        let moved = moved && shape.len() > 2;
        let samples = ghost.then_some(shape[0] / blocks);
        let rows = match moved {
            true => &shape[1..2],
            false => &shape[shape.len() - groups.min(shape.len())..],
        };
        let norm: Norm = match kind {
            0 => BatchNorm::new(c).eps(eps).weight(weight).bias(bias).momentum(momentum).track_running_stats(track).channels_last(moved).virtual_batch_size(samples).into(),
            1 => InstanceNorm::new(c).eps(eps).weight(weight).bias(bias).momentum(momentum).track_running_stats(track).channels_last(moved).into(),
            2 => GroupNorm::new(groups, c).eps(eps).weight(weight).bias(bias).channels_last(moved).into(),
            3 => LayerNorm::new(rows).eps(eps).weight(weight).bias(bias).channels_first(moved).into(),
            _ => RmsNorm::new(rows).eps(eps).weight(weight).channels_first(moved).into(),
        };
        (norm, shape)
    }
}

prop_compose! {
    fn random(kind: u8, options: bool)(
        (norm, shape) in norm_and_shape(kind, options),
        mode in prop::sample::select(vec![Mode::TRAINING, Mode::TRAINING.update_running(false), Mode::EVAL]),
        dtype in prop::sample::select(vec![DType::F32, DType::F32, DType::F16, DType::BF16]),
        strategy in prop::sample::select(vec![None, None, Some(Reduction::Resident), Some(Reduction::Looped), Some(Reduction::Split)]),
        device in 0usize..4,
        max_binding_size in prop::sample::select(vec![None, None, Some(1u64 << 17), Some(100_000)]),
        numbers in prop::array::uniform8(numbers()),
        // Each of these is a pipeline more to compile.
        activation in prop_oneof![Just(Activation::None), prop::sample::select(Activation::ALL.to_vec())],
        residual in prop::bool::weighted(0.3),
        per_sample in prop::bool::weighted(0.2),
        zero_centered in prop::bool::weighted(0.2),
    ) -> Random {
        let optional = |yes: bool| yes && options;
        let (dtype, activation) = if options { (dtype, activation) } else { (DType::F32, Activation::None) };
        let [residual, per_sample, zero_centered] = [residual, per_sample, zero_centered].map(optional);
        Random { norm, shape, mode, dtype, strategy, device, max_binding_size, numbers, activation, residual, per_sample, zero_centered }
    }
}

/// A new device every 20 problems of a norm, so that pipelines that were used once do not fill the memory.
fn context_of(norm: &Norm) -> Context {
    static CONTEXTS: Mutex<BTreeMap<&str, (usize, Context)>> = Mutex::new(BTreeMap::new());
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let (uses, context) = contexts
        .entry(norm.name())
        .or_insert_with(|| (0, new_context()));
    if *uses == 20 {
        (*uses, *context) = (0, new_context());
    }
    *uses += 1;
    context.clone()
}

fn agrees_with_the_reference(random: &Random) {
    let norm = random.norm.clone().with_activation(random.activation);
    // Rows that are the whole tensor have no samples, and ghost batch norm no weights for them.
    let samples = random.shape.len() > norm.parameter_shape().len();
    let per_sample = random.per_sample && samples && norm.virtual_batch_size().is_none();
    let norm = norm.with_weights(per_sample, random.zero_centered);
    let context = context_of(&norm);
    let devices = devices_of(&context);
    let (device, context) = &devices[random.device % devices.len()];
    let caps = *context.caps();
    let context = context.with_caps(Caps {
        max_binding_size: random.max_binding_size.unwrap_or(caps.max_binding_size),
        ..caps
    });
    let context = context.unwrap();
    for numbers in random.numbers {
        let case = case(random, &norm, numbers);
        match run(&context, &case) {
            Err(Error::Limit { .. }) if random.max_binding_size.is_some() => {}
            report => {
                let went = judge(device, &case, report).is_some();
                if went && random.is_alone() && random.mode != Mode::EVAL {
                    within_bounds(device, &context, &case);
                }
            }
        }
    }
}

fn case(random: &Random, norm: &Norm, numbers: Numbers) -> Case {
    let mut case = Case::random(norm, random.mode, &random.shape, numbers.seed)
        .unwrap()
        .offset(numbers.offset);
    case.strategy = random.strategy;
    // f16 ends at 65,504, where its numbers are 32 apart.
    let scale = match random.dtype {
        DType::F16 if numbers.scale > 1.0 || numbers.offset > 1e3 => 1e-3,
        _ => numbers.scale,
    };
    for value in &mut case.input {
        *value *= scale;
    }
    if random.residual {
        case = case.with_residual();
    }
    case.with_dtype(random.dtype)
}

// A test for each norm, so that they run beside each other: 46 problems of eight cases each, with every option's 2,048 cases in all.
proptest! {
    #![proptest_config(ProptestConfig { cases: 46, ..ProptestConfig::default() })]

    #[test]
    fn batch_norm(random in random(0, false)) {
        agrees_with_the_reference(&random);
    }

    #[test]
    fn instance_norm(random in random(1, false)) {
        agrees_with_the_reference(&random);
    }

    #[test]
    fn group_norm(random in random(2, false)) {
        agrees_with_the_reference(&random);
    }

    #[test]
    fn layer_norm(random in random(3, false)) {
        agrees_with_the_reference(&random);
    }

    #[test]
    fn rms_norm(random in random(4, false)) {
        agrees_with_the_reference(&random);
    }
}

// Layouts, types and what surrounds a norm: nearly every case has pipelines of its own.
proptest! {
    #![proptest_config(ProptestConfig { cases: 26, ..ProptestConfig::default() })]

    #[test]
    fn every_option(random in (0u8..5).prop_flat_map(|kind| random(kind, true))) {
        agrees_with_the_reference(&random);
    }
}

/// What random cases found before, smallest first.
#[test]
fn what_failed_before() {
    let group = |weight| GroupNorm::new(1, 2).eps(0.0).weight(weight).bias(!weight);
    let batch = BatchNorm::new(1).eps(0.0).momentum(None).affine(false);
    let batch = batch.track_running_stats(false).virtual_batch_size(Some(2));
    let problems: [(Norm, &[usize], _); 3] = [
        (group(false).into(), &[4, 2], None),
        (group(true).into(), &[2, 2, 127], Some(Reduction::Split)),
        (batch.into(), &[4, 1], None),
    ];
    for (norm, shape, strategy) in problems {
        let mut case = Case::random(&norm, Mode::TRAINING, shape, 0).unwrap();
        case.strategy = strategy;
        check("own", context(), &case);
    }
    // Groups of one element, whose sum with the residual is rounded when it is stored: x̂ then is not 0.
    let norm = LayerNorm::new(&[1, 1]).eps(1e-12).bias(false).into();
    let case = Case::random(&norm, Mode::TRAINING, &[13, 512, 4, 1, 1], 0).unwrap();
    check(
        "own",
        context(),
        &case.with_residual().with_dtype(DType::BF16),
    );
}
