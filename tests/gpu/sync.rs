//! Synchronized batch norm: whatever the split into shards, the outcome is that of the whole batch.

mod errors;
mod ranks;

use proptest::prelude::*;
use wgpu_norm::check::{Case, results};
use wgpu_norm::sync::{ByRank, Statistics, SyncPlan};
use wgpu_norm::{Activation, BatchNorm, DType, Error, Layer, LayerNorm, Mode, Tensor};

use crate::common::{TOLERANCE, check, context, devices, judge, new_context};

/// A batch whose samples have the shape `sample`, and so many of which each rank has.
fn batch(norm: BatchNorm, ranks: &[usize], sample: &[usize], seed: u64) -> Case {
    let shape = [&[ranks.iter().sum()], sample].concat();
    let case = Case::random(&norm.into(), Mode::TRAINING, &shape, seed).unwrap();
    case.with_ranks(ranks)
}

/// Rows of each rank: some have none, one may have a single one.
fn split() -> impl Strategy<Value = Vec<usize>> {
    let rows = prop_oneof![2 => Just(0usize), 1 => Just(1), 3 => 0usize..40, 1 => 100usize..400];
    let enough = "two values";
    prop::collection::vec(rows, 1..6).prop_filter(enough, |rows| rows.iter().sum::<usize>() > 1)
}

/// What comes after the rows: channels and space.
fn sample() -> impl Strategy<Value = Vec<usize>> {
    let channels = prop::sample::select(vec![1usize, 2, 3, 4, 8, 13, 64, 65]);
    let space = prop::sample::select(vec![vec![], vec![1], vec![3], vec![4, 4], vec![7, 5, 3]]);
    (channels, space).prop_map(|(channels, space)| {
        let mut sample = vec![channels];
        sample.extend(space);
        sample
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_what_the_whole_batch_gives(
        rows in split(),
        sample in sample(),
        device in 0usize..4,
        [weight, bias, track, residual, relu] in any::<[bool; 5]>(),
        momentum in prop::sample::select(vec![None, Some(0.1)]),
        eps in prop::sample::select(vec![1e-5, 0.0]),
        offset in prop::sample::select(vec![0.0f32, 1e4]),
        dtype in prop::sample::select(vec![DType::F32, DType::F32, DType::F16, DType::BF16]),
        seed in any::<u64>(),
    ) {
        let activation = if relu { Activation::Silu } else { Activation::None };
        let norm = BatchNorm::new(sample[0])
            .weight(weight)
            .bias(bias)
            .track_running_stats(track)
            .momentum(momentum)
            .eps(eps)
            .activation(activation);
        let devices = devices();
        let (name, context) = &devices[device % devices.len()];
        let mut case = batch(norm, &rows, &sample, seed).offset(offset);
        if residual {
            case = case.with_residual();
        }
        let report = wgpu_norm::check::run(context, &case.with_dtype(dtype)).unwrap();
        prop_assert!(report.worst() < TOLERANCE, "{name}: {report}");
    }
}

/// Squares that f32 cannot hold: their unit goes along.
#[test]
fn shards_of_any_scale() {
    for scale in [1e-25f32, 1e-18, 1e15, 1e25] {
        let norm = BatchNorm::new(3).eps(0.0).track_running_stats(false);
        let mut case = batch(norm, &[5, 0, 2], &[3, 7], 7);
        case.input.iter_mut().for_each(|x| *x *= scale);
        case.grad_output.iter_mut().for_each(|g| *g *= scale);
        let mut report = wgpu_norm::check::run(context(), &case).unwrap();
        // The variance itself is over or under what f32 has; rstd is not.
        report.rows.retain(|row| row.tensor != "var");
        judge("own", &case, Ok(report));
    }
}

/// A large shard: several parts per channel, slices of a binding, merged in two steps.
#[test]
fn long_channels_in_slices() {
    for (name, context) in devices() {
        let caps = *context.caps();
        let small = wgpu_norm::Caps {
            max_binding_size: 1 << 18,
            ..caps
        };
        let context = context.with_caps(small).unwrap();
        let norm = BatchNorm::new(2).activation(Activation::Silu);
        let case = batch(norm, &[40, 3], &[2, 57, 61], 11);
        check(name, &context, &case.with_residual());
    }
}

/// Layers do what plans do, bit for bit, and a constant channel gives exactly the bias.
#[test]
fn layers_on_shards() {
    let norm = BatchNorm::new(2).momentum(Some(0.3));
    for activation in [Activation::None, Activation::Tanh] {
        let case = batch(norm.activation(activation), &[3, 0, 1], &[2, 5], 5);
        let case = case.with_residual();
        let plans = results(context(), &case).unwrap();
        assert_eq!(ranks::layers(context(), &case), plans);
    }
    let mut case = batch(norm, &[3, 0, 1], &[2, 5], 5);
    case.input.fill(1234.567);
    let bias = case.bias.clone().unwrap();
    let output = &results(context(), &case).unwrap()["output"];
    for (k, y) in output.iter().enumerate() {
        assert_eq!(*y, bias[k / 5 % 2]);
    }
}

/// Mean and sum of squares of a channel of a rank.
fn local(samples: u64, channel: u64) -> (f64, f64) {
    let x = (samples * 9 + channel) as f64;
    if samples == 0 {
        (0.0, 0.0)
    } else {
        (x.sin(), x.cos().abs())
    }
}

/// What arrives in another order is merged in the same one.
#[test]
fn the_order_of_arrival_does_not_matter() {
    let ranks = [4, 0, 11, 1, 3].map(|samples| {
        let (mean, m2) = (0..9).map(|k| local(samples, k)).unzip();
        Statistics::new(samples * 2, mean, m2).unwrap()
    });
    let want = Statistics::merge(&ranks).unwrap();
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
        let mut parts = ByRank::new(5);
        for rank in order {
            let message = ranks[rank].to_message();
            parts
                .insert(rank, Statistics::from_message(&message).unwrap())
                .unwrap();
        }
        assert_eq!(Statistics::merge(&parts.finish().unwrap()).unwrap(), want);
    }
    // The order of the ranks does, in the last bits: else the above would show nothing.
    let mut reversed = ranks;
    reversed.reverse();
    assert_ne!(Statistics::merge(&reversed).unwrap(), want);
}

/// All shards empty: nothing happens, the exchange is called all the same.
#[test]
fn an_empty_batch_leaves_everything_alone() {
    let layer = Layer::new(context(), BatchNorm::new(3)).unwrap();
    let layer = wgpu_norm::sync::SyncLayer::new(layer).unwrap();
    let input = Tensor::uninit(context(), &[0, 3, 2]).unwrap();
    let mut calls = 0;
    let forward = layer.forward(&input, Mode::TRAINING, |own| {
        calls += 1;
        Statistics::merge(&[own.clone(), own.clone()])
    });
    let forward = forward.unwrap();
    assert_eq!((calls, forward.saved.count()), (1, 0));
    assert_eq!(layer.layer().num_batches_tracked().unwrap(), Some(0));
    let gradients = layer.backward(&forward.saved, &forward.output, |own| {
        Ok::<_, Error>(own.clone())
    });
    let gradients = gradients.unwrap();
    assert_eq!(gradients.grad_input.shape(), [0, 3, 2]);
    assert_eq!(gradients.grad_weight.unwrap().to_vec().unwrap(), [0.0; 3]);
}

/// What a warm-up compiles is what the halves of the passes launch, on an empty shard as well.
#[test]
fn a_warm_up_leaves_nothing_to_compile() {
    for residual in [false, true] {
        let context = new_context();
        let norm = BatchNorm::new(5).activation(Activation::Tanh);
        let case = batch(norm, &[3, 0], &[5, 7], 2);
        let case = if residual { case.with_residual() } else { case };
        for samples in [3, 0] {
            let plan = SyncPlan::new(&context, norm, &[samples, 5, 7], Mode::TRAINING).unwrap();
            let report = match residual {
                false => plan.warm_up(),
                true => plan.warm_up_residual(),
            };
            // An empty shard updates its running statistics as the others do.
            assert_eq!(report.unwrap().pipelines > 0, samples > 0);
        }
        let warm = context.pipeline_count();
        results(&context, &case).unwrap();
        assert_eq!(context.pipeline_count(), warm);
    }
}

/// Shards that are not those of the batch, and what no shard has.
#[test]
fn cases_without_shards() {
    let case = batch(BatchNorm::new(2), &[2, 1], &[2, 3], 1);
    let error = |case: &Case| results(context(), case).unwrap_err();
    assert_eq!(
        error(&case.clone().with_ranks(&[2, usize::MAX])),
        Error::Length {
            shape: vec![3],
            expected: 3,
            got: usize::MAX
        }
    );
    let rows = Case::random(&LayerNorm::new(&[3]).into(), Mode::TRAINING, &[2, 3], 1).unwrap();
    for (case, what) in [
        (rows.with_ranks(&[2]), "ranks"),
        (case.with_second_derivative(), "grad_grad_input"),
    ] {
        assert!(matches!(error(&case), Error::Unexpected(name, _) if name == what));
    }
}
