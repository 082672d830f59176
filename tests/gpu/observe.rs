//! Mean, variance and histogram of tensors against the CPU.

use proptest::prelude::*;
use wgpu_norm::check::Case;
use wgpu_norm::observe::{Histogram, Moments, Observer, uniform_edges};
use wgpu_norm::{Caps, Error, LayerNorm, Mode, Tensor};

use crate::common::{context, devices, encoder};

/// The definition, value by value.
fn histogram(values: &[f32], edges: &[f32]) -> Histogram {
    let bins = edges.len() - 1;
    let mut counts = vec![0; bins];
    let (mut below, mut above, mut nan) = (0, 0, 0);
    for value in values {
        if value.is_nan() {
            nan += 1;
        } else if *value < edges[0] {
            below += 1;
        } else if *value >= edges[bins] {
            above += 1;
        } else {
            let within = |k: &usize| edges[*k] <= *value && *value < edges[k + 1];
            counts[(0..bins).find(within).unwrap()] += 1;
        }
    }
    Histogram {
        edges: edges.to_vec(),
        counts,
        below,
        above,
        nan,
    }
}

fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let squares = values.iter().map(|&x| (f64::from(x) - mean).powi(2));
    (mean, squares.sum::<f64>() / count)
}

fn random(elements: usize, seed: u64) -> Vec<f32> {
    let norm = LayerNorm::new(&[elements]).into();
    let case = Case::random(&norm, Mode::EVAL, &[elements], seed);
    case.unwrap().input
}

/// Room and scratch memory full of NaN: what is read was written.
fn observe(observer: &Observer, tensor: &Tensor) -> wgpu_norm::observe::Observation {
    let context = tensor.context();
    let room = observer.room().unwrap();
    for _ in 0..2 {
        for scratch in observer.scratch() {
            let nan = vec![0xff; scratch.size() as usize];
            context.queue().write_buffer(&scratch, 0, &nan);
        }
        let mut encoder = encoder(context);
        observer.record(&mut encoder, tensor, &room).unwrap();
        context.queue().submit([encoder.finish()]);
    }
    observer.read(&room).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn random_tensors(
        elements in prop_oneof![1usize..70, 100usize..5000, Just(40_009), Just(65_536), Just(300_000)],
        edges in prop::collection::btree_set(-300i32..300, 2..40),
        bins in prop::option::of(prop::sample::select(vec![1usize, 64, 1024])),
        device in 0usize..4,
        offset in prop::sample::select(vec![0.0f32, -1e4]),
        seed in any::<u64>(),
    ) {
        let edges = match bins {
            Some(bins) => uniform_edges(offset - 2.0, offset + 3.0, bins),
            None => edges.iter().map(|&k| offset + k as f32 / 100.0).collect(),
        };
        let values: Vec<f32> = random(elements, seed).iter().map(|x| x + offset).collect();
        let devices = devices();
        let (name, context) = &devices[device % devices.len()];
        let tensor = Tensor::from_slice(context, &values, &[elements]).unwrap();
        let observer = Observer::new(context, &[elements], &edges).unwrap();
        let seen = observe(&observer, &tensor);
        prop_assert_eq!(&seen.histogram, &histogram(&values, &edges), "{}", name);
        let (mean, var) = moments(&values);
        let deviation = var.sqrt().max(1e-3);
        prop_assert_eq!(seen.moments.count, elements as u64);
        prop_assert!((seen.moments.mean - mean).abs() < 1e-6 * deviation, "{seen:?} {mean}");
        prop_assert!((seen.moments.var - var).abs() < 2e-6 * deviation * deviation, "{seen:?} {var}");
    }
}

/// Values on edges, both zeros, denormals, infinities and NaN of either sign.
#[test]
fn special_values() {
    let tiny = f32::from_bits(1);
    let edges = [-f32::MAX, -1.0, -tiny, 0.0, tiny, 1.0, f32::MAX];
    let nan = f32::from_bits(0xffc0_0001);
    let infinity = f32::INFINITY;
    let inner = [-0.0, 0.0, tiny, -tiny, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0];
    let outer = [infinity, -infinity, f32::MAX, -f32::MAX, f32::NAN, nan];
    let values = [&inner[..], &outer].concat();
    for (name, context) in devices() {
        for values in [&values[..], &values[1..]] {
            let tensor = Tensor::from_slice(&context, values, &[values.len()]).unwrap();
            let observer = Observer::new(&context, &[values.len()], &edges).unwrap();
            let seen = observe(&observer, &tensor);
            assert_eq!(seen.histogram, histogram(values, &edges), "{name}");
            assert!(!seen.moments.mean.is_finite() && !seen.moments.var.is_finite());
        }
    }
}

#[test]
fn shapes_and_empty_tensors() {
    let edges = [0.0, 1.0];
    let observer = Observer::new(context(), &[2, 3], &edges).unwrap();
    let values = [0.5, 0.0, 1.0, -1.0, 0.25, 3.0];
    let tensor = Tensor::from_slice(context(), &values, &[2, 3]).unwrap();
    let seen = observer.observe(&tensor).unwrap();
    assert_eq!(seen.histogram, histogram(&values, &edges));
    let wrong = Tensor::from_slice(context(), &values, &[3, 2]).unwrap();
    let error = observer.observe(&wrong).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    let empty = Tensor::uninit(context(), &[0, 3]).unwrap();
    let seen = Observer::new(context(), &[0, 3], &edges)
        .unwrap()
        .observe(&empty)
        .unwrap();
    assert_eq!(seen.histogram, histogram(&[], &edges));
    let nothing = Moments {
        count: 0,
        mean: 0.0,
        var: 0.0,
    };
    assert_eq!(seen.moments, nothing);
}

#[test]
fn mistakes() {
    let message = |edges: &[f32]| {
        let error = Observer::new(context(), &[4], edges).unwrap_err();
        assert!(matches!(error, Error::Value { .. }));
        error.to_string()
    };
    for (edges, says) in [
        (vec![], "got 0"),
        (vec![1.0], "got 0"),
        (uniform_edges(0.0, 1.0, 1025), "got 1025"),
        (vec![0.0, 1.0, 1.0], "[1.0, 1.0]"),
        (vec![0.0, f32::NAN], "NaN"),
        (vec![0.0, f32::INFINITY], "inf"),
    ] {
        let message = message(&edges);
        assert!(message.contains(says), "{message}");
    }
    let small = Caps {
        max_binding_size: 1 << 10,
        ..*context().caps()
    };
    let small = context().with_caps(small).unwrap();
    let error = Observer::new(&small, &[300], &[0.0, 1.0]).unwrap_err();
    assert!(
        matches!(error, Error::Limit { needed: 1200, .. }),
        "{error}"
    );
}
