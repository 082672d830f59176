//! Synchronized batch norm: whatever the split into shards, the outcome is that of the whole batch.

mod compare;
mod errors;
mod ranks;

use proptest::prelude::*;
use wgpu_norm::check::Case;
use wgpu_norm::sync::{ByRank, Statistics};
use wgpu_norm::{Activation, BatchNorm, Layer, Mode, Tensor};

use crate::common::{context, devices};
use ranks::Batch;

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
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_what_the_whole_batch_gives(
        rows in split(),
        sample in sample(),
        device in 0usize..4,
        [weight, bias, track, residual, relu] in any::<[bool; 5]>(),
        momentum in prop::sample::select(vec![None, Some(0.1)]),
        eps in prop::sample::select(vec![1e-5, 0.0]),
        offset in prop::sample::select(vec![0.0f32, 1e4]),
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
        let (name, context) = &devices()[device];
        let mut batch = Batch::random(norm, &rows, &sample, seed).offset(offset);
        if residual {
            batch.case = batch.case.with_residual();
        }
        let report = batch.run(context).compare(&batch);
        for (tensor, error) in report {
            prop_assert!(error < crate::common::TOLERANCE, "{name}: {tensor}: {error:e}");
        }
    }
}

/// Squares that f32 cannot hold: their unit goes along.
#[test]
fn shards_of_any_scale() {
    for scale in [1e-25f32, 1e-18, 1e15, 1e25] {
        let norm = BatchNorm::new(3).eps(0.0).track_running_stats(false);
        let mut batch = Batch::random(norm, &[5, 0, 2], &[3, 7], 7);
        batch.case.input.iter_mut().for_each(|x| *x *= scale);
        batch.case.grad_output.iter_mut().for_each(|g| *g *= scale);
        for (tensor, error) in batch.run(context()).compare(&batch) {
            assert!(error < 2e-6, "{scale:e}: {tensor}: {error:e}");
        }
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
        let mut batch = Batch::random(norm, &[40, 3], &[2, 57, 61], 11);
        batch.case = batch.case.with_residual();
        for (tensor, error) in batch.run(&context).compare(&batch) {
            assert!(error < 2e-6, "{name}: {tensor}: {error:e}");
        }
    }
}

/// Layers do what plans do, bit for bit, and a constant channel gives exactly the bias.
#[test]
fn layers_on_shards() {
    let norm = BatchNorm::new(2).momentum(Some(0.3));
    for activation in [Activation::None, Activation::Tanh] {
        let mut batch = Batch::random(norm.activation(activation), &[3, 0, 1], &[2, 5], 5);
        batch.case = batch.case.with_residual();
        let plans = batch.run(context());
        assert_eq!(batch.run_layers(context()), plans);
    }
    let mut batch = Batch::random(norm, &[3, 0, 1], &[2, 5], 5);
    batch.case.input.fill(1234.567);
    let bias = batch.case.bias.clone().unwrap();
    for (k, y) in batch.run(context()).output.iter().enumerate() {
        assert_eq!(*y, bias[k / 5 % 2]);
    }
}

/// What arrives in another order is merged in the same one.
#[test]
fn the_order_of_arrival_does_not_matter() {
    let batch = Batch::random(BatchNorm::new(9), &[4, 0, 11, 1, 3], &[9, 2], 3);
    let ranks = batch.local_statistics(context());
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
        Ok::<_, wgpu_norm::Error>(own.clone())
    });
    let gradients = gradients.unwrap();
    assert_eq!(gradients.grad_input.shape(), [0, 3, 2]);
    assert_eq!(gradients.grad_weight.unwrap().to_vec().unwrap(), [0.0; 3]);
}

/// A batch of one shard is what a case without shards would be.
#[test]
fn random_batches_are_cases() {
    let batch = Batch::random(BatchNorm::new(2), &[2, 1], &[2, 3], 1);
    let case = Case::random(&batch.case.norm, Mode::TRAINING, &[3, 2, 3], 1).unwrap();
    assert_eq!(batch.case, case);
}
