//! Anything that a caller can ask for: an `Err` or what the documentation promises, never a panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use wgpu_norm::{
    BatchNorm, Error, GroupNorm, InstanceNorm, Layer, LayerNorm, Mode, Norm, Plan, RmsNorm, Tensor,
};

use crate::common::context;

/// Elements that 32-bit indices reach, by the documentation of `Norm::validate_shape`.
const MOST_ELEMENTS: u128 = 1 << 31;

/// Largest tensor that is really made: more would only cost time.
const LARGEST_MADE: u128 = 1 << 16;

/// Sizes around every limit: empty, small with many divisors, 16, 31, 32 and 64 bits.
fn size() -> impl Strategy<Value = usize> {
    const LARGE: [usize; 10] = [
        65_535,
        65_536,
        (1 << 29) + 1,
        1 << 31,
        (1 << 31) + 1,
        u32::MAX as usize,
        1 << 32,
        1 << 62,
        usize::MAX - 1,
        usize::MAX,
    ];
    prop_oneof![1 => Just(0), 12 => 1..9usize, 2 => select(&LARGE)]
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    vec(size(), 0..10)
}

fn number() -> impl Strategy<Value = f64> {
    const ODD: [f64; 9] = [
        0.0,
        -0.0,
        -1e-5,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        1.0,
    ];
    prop_oneof![3 => Just(1e-5), 1 => select(&ODD), 1 => any::<f64>()]
}

fn mode() -> impl Strategy<Value = Mode> {
    any::<[bool; 2]>().prop_map(|[batch_statistics, update_running]| Mode {
        batch_statistics,
        update_running,
    })
}

fn norm() -> impl Strategy<Value = Norm> {
    let sizes = (size(), size(), vec(size(), 0..10));
    let numbers = (number(), option::of(number()));
    (0..5, sizes, numbers, any::<[bool; 3]>()).prop_map(
        |(kind, (channels, groups, shape), (eps, momentum), [weight, bias, track])| match kind {
            0 => (BatchNorm::new(channels).eps(eps).momentum(momentum))
                .weight(weight)
                .bias(bias)
                .track_running_stats(track)
                .into(),
            1 => (InstanceNorm::new(channels).eps(eps).momentum(momentum))
                .weight(weight)
                .bias(bias)
                .track_running_stats(track)
                .into(),
            2 => (GroupNorm::new(groups, channels).eps(eps))
                .weight(weight)
                .bias(bias)
                .into(),
            3 => (LayerNorm::new(&shape).eps(eps))
                .weight(weight)
                .bias(bias)
                .into(),
            _ => RmsNorm::new(&shape).eps(eps).weight(weight).into(),
        },
    )
}

/// A norm with a shape that fits it more often than by chance.
fn call() -> impl Strategy<Value = (Norm, Vec<usize>)> {
    (norm(), shape(), 0..4).prop_map(|(norm, mut shape, fit)| {
        match &norm {
            _ if fit == 0 => {}
            Norm::Layer(_) | Norm::Rms(_) => shape.extend(norm.parameter_shape()),
            _ if shape.len() > 1 => {
                shape.truncate(5);
                shape[1] = norm.parameter_shape()[0];
            }
            _ => {}
        }
        (norm, shape)
    })
}

fn product(shape: &[usize]) -> u128 {
    let product = |count: u128, &size: &usize| count.saturating_mul(size as u128);
    if shape.contains(&0) {
        0
    } else {
        shape.iter().fold(1, product)
    }
}

/// What the documentation of `Norm::validate` says.
fn is_valid(norm: &Norm) -> bool {
    let momentum = match norm {
        Norm::Batch(n) => n.momentum,
        Norm::Instance(n) => n.momentum,
        _ => None,
    };
    let parameters = norm.parameter_shape();
    let divides = match norm {
        Norm::Group(n) => n.num_groups > 0 && n.num_channels % n.num_groups == 0,
        _ => true,
    };
    let eps = norm.eps() as f32;
    (0.0..f32::INFINITY).contains(&eps)
        && momentum.is_none_or(|momentum| (momentum as f32).is_finite())
        && !parameters.contains(&0)
        && product(&parameters) <= MOST_ELEMENTS
        && (1..=8).contains(&parameters.len())
        && divides
}

/// What the documentation of `Norm::validate_shape` and of the norms says.
fn takes(norm: &Norm, shape: &[usize], mode: Mode) -> bool {
    let channels_first = |ranks: std::ops::RangeInclusive<usize>| {
        ranks.contains(&shape.len()) && shape[1] == norm.parameter_shape()[0]
    };
    let fits = match norm {
        Norm::Instance(_) => channels_first(3..=5),
        Norm::Batch(_) | Norm::Group(_) => channels_first(2..=5),
        _ => shape.len() <= 8 && shape.ends_with(&norm.parameter_shape()),
    };
    let by_batch = mode.batch_statistics || !norm.tracks_running_stats();
    let one_value = match norm {
        Norm::Batch(_) => product(shape) == norm.parameter_shape()[0] as u128,
        Norm::Instance(_) => fits && product(&shape[2..]) == 1,
        _ => false,
    };
    let empty = product(shape) == 0;
    is_valid(norm) && fits && product(shape) <= MOST_ELEMENTS && (empty || !by_batch || !one_value)
}

fn fits_device(shape: &[usize]) -> bool {
    let caps = context().caps();
    4 * product(shape).min(1 << 64) <= u128::from(caps.max_buffer_size)
}

fn is_limit<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Limit { .. }))
}

/// A plan that the norm `takes`; a device may refuse large ones.
fn is_as_documented<T>(plan: &Result<T, Error>, takes: bool, shape: &[usize]) -> bool {
    let refused = takes && product(shape) > LARGEST_MADE && is_limit(plan);
    plan.is_ok() == takes || refused
}

proptest! {
    // A case takes some microseconds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn norms_and_plans((norm, shape) in call(), mode in mode()) {
        prop_assert_eq!(norm.validate().is_ok(), is_valid(&norm));
        let takes = takes(&norm, &shape, mode);
        let counted = norm.validate_shape(&shape, mode);
        prop_assert_eq!(counted.is_ok(), takes, "{:?}", counted);
        if let Ok(elements) = counted {
            prop_assert_eq!(elements as u128, product(&shape));
        }
        let problem = norm.lower(&shape, mode);
        prop_assert_eq!(problem.is_ok(), takes);
        if let Ok(problem) = problem {
            let elements = problem.map_or(0, |problem| problem.elements);
            prop_assert_eq!(u128::from(elements), product(&shape));
        }
        let plan = Plan::new(context(), norm, &shape, mode);
        prop_assert!(is_as_documented(&plan, takes, &shape), "{:?}", plan.map(drop));
    }

    #[test]
    fn tensors(shape in shape(), at in size(), missing in 0u64..5) {
        let small = product(&shape) <= LARGEST_MADE;
        if small || !fits_device(&shape) {
            let tensor = Tensor::uninit(context(), &shape);
            prop_assert_eq!(tensor.is_ok(), small);
            prop_assert!(small || is_limit(&tensor));
            if let Ok(tensor) = tensor {
                prop_assert_eq!(tensor.len() as u128, product(&shape));
                prop_assert_eq!(u128::from(tensor.byte_len()), 4 * product(&shape));
                prop_assert_eq!(tensor.is_empty(), product(&shape) == 0);
            }
        }
        let data = [0.5; 12];
        let tensor = Tensor::from_slice(context(), &data, &shape);
        if small || !fits_device(&shape) {
            prop_assert_eq!(tensor.is_ok(), product(&shape) == 12, "{:?}", tensor.map(drop));
        }
        let alignment = u64::from(context().caps().offset_alignment);
        let offset = (at as u64).wrapping_mul(alignment.min(at as u64));
        let ends = u128::from(offset) + 4 * product(&shape).min(1 << 64);
        // Within two elements of the end, where the tensor is small.
        let size = if ends <= LARGEST_MADE { ends as u64 + 8 } else { 16 };
        let size = size.saturating_sub(4 * missing) & !3;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let buffer = context().device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let tensor = Tensor::from_buffer(context(), buffer, offset, &shape);
        let allowed = offset % alignment == 0 && ends <= u128::from(size);
        prop_assert_eq!(tensor.is_ok(), allowed && fits_device(&shape), "{:?}", tensor.map(drop));
    }
}

proptest! {
    // A layer takes some 50 µs: up to five buffers.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn layers((norm, shape) in call(), mode in mode()) {
        let parameters = norm.parameter_shape();
        let small = product(&parameters) <= LARGEST_MADE;
        let has_any = norm.has_weight() || norm.has_bias() || norm.tracks_running_stats();
        prop_assume!(small || !has_any || !fits_device(&parameters));
        let layer = Layer::new(context(), norm.clone());
        prop_assert_eq!(layer.is_ok(), is_valid(&norm) && (small || !has_any));
        prop_assert!(!is_valid(&norm) || layer.is_ok() || is_limit(&layer));
        let Ok(layer) = layer else { return Ok(()) };
        let plan = layer.plan(&shape, mode);
        let takes = takes(&norm, &shape, mode);
        prop_assert!(is_as_documented(&plan, takes, &shape), "{:?}", plan);
        if product(&shape) == 0 && shape.len() < 10 {
            let input = Tensor::uninit(context(), &shape).unwrap();
            let forward = layer.forward(&input, mode);
            prop_assert_eq!(forward.is_ok(), plan.is_ok());
            if let Ok(forward) = forward {
                layer.backward(&forward.saved, &input).unwrap();
            }
        }
    }
}
