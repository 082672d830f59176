mod activations;
mod blocks;
mod double;
mod edges;
mod gradients;
mod padding;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Forward, Parameters, forward};
use crate::ops::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm};

const FREEZE: Mode = Mode::TRAINING.update_running(false);
const MODES: [Mode; 4] = [
    Mode::TRAINING,
    Mode::EVAL,
    FREEZE,
    Mode::EVAL.update_running(true),
];

/// Every norm with every choice of weight, bias and running statistics, and a small shape for each; `eps` for all.
fn configurations(eps: f64) -> Vec<(Norm, Vec<usize>)> {
    let mut all = Vec::new();
    for weight in [false, true] {
        all.push((
            RmsNorm::new(&[5]).eps(eps).weight(weight).into(),
            vec![3, 5],
        ));
        for bias in [false, true] {
            let layer = LayerNorm::new(&[2, 3]).eps(eps).weight(weight).bias(bias);
            all.push((layer.into(), vec![2, 2, 3]));
            let group = GroupNorm::new(2, 6).eps(eps).weight(weight).bias(bias);
            all.push((group.into(), vec![2, 6, 3]));
            for track in [false, true] {
                let batch = BatchNorm::new(3).eps(eps).weight(weight).bias(bias);
                all.push((batch.track_running_stats(track).into(), vec![2, 3, 2, 2]));
                let instance = InstanceNorm::new(3).eps(eps).weight(weight).bias(bias);
                all.push((instance.track_running_stats(track).into(), vec![2, 3, 5]));
            }
        }
    }
    all
}

fn random(rng: &mut StdRng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.random_range(-1.0..2.0)).collect()
}

/// Parameters of `norm` with nothing left at 0 or 1.
fn random_parameters(rng: &mut StdRng, norm: &Norm) -> Parameters {
    let mut parameters = Parameters::new(norm);
    let filled = [
        &mut parameters.weight,
        &mut parameters.bias,
        &mut parameters.running_mean,
    ];
    for values in filled.into_iter().flatten() {
        *values = random(rng, values.len());
    }
    for var in parameters.running_var.iter_mut().flatten() {
        *var = rng.random_range(0.5..2.0);
    }
    parameters
}

/// Compares with `tolerance` relative to the largest of `expected`, or to 1.
#[track_caller]
fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0_f64, |scale, x| scale.max(x.abs()));
    for (a, b) in got.iter().zip(expected) {
        assert!(
            (a - b).abs() <= tolerance * scale,
            "{got:?}, expected {expected:?}"
        );
    }
}

/// Forward of a new layer in training, after a change of its parameters.
fn train(
    norm: impl Into<Norm>,
    shape: &[usize],
    input: &[f64],
    change: impl Fn(&mut Parameters),
) -> Forward {
    let norm = norm.into();
    let mut parameters = Parameters::new(&norm);
    change(&mut parameters);
    forward(&norm, Mode::TRAINING, shape, input, &parameters).unwrap()
}

#[test]
fn small_values_by_hand() {
    // Two channels with 1, 3 and 10, 30: means 2 and 20, biased variances 1 and 100, unbiased ones 2 and 200.
    let batch = train(
        BatchNorm::new(2).eps(0.0),
        &[2, 2],
        &[1.0, 10.0, 3.0, 30.0],
        |p| {
            p.weight = Some(vec![1.0, 2.0]);
            p.bias = Some(vec![0.0, 5.0]);
        },
    );
    assert_eq!(batch.output, [-1.0, 3.0, 1.0, 7.0]);
    assert_eq!((batch.mean, batch.var), (vec![2.0, 20.0], vec![1.0, 100.0]));
    assert_close(&batch.running_mean.unwrap(), &[0.2, 2.0], 1e-15);
    assert_close(&batch.running_var.unwrap(), &[1.1, 20.9], 1e-15);
    assert_eq!(batch.num_batches_tracked, 1);

    let (halves, statistics) = ([1.0, 3.0, 10.0, 30.0], (vec![2.0, 20.0], vec![1.0, 100.0]));
    let unit = [-1.0, 1.0, -1.0, 1.0];
    for (norm, shape) in [
        (InstanceNorm::new(2).eps(0.0).into(), vec![1, 2, 2]),
        (GroupNorm::new(2, 4).eps(0.0).into(), vec![1, 4]),
        (Norm::from(LayerNorm::new(&[2]).eps(0.0)), vec![2, 2]),
    ] {
        let got = train(norm, &shape, &halves, |_| {});
        assert_eq!(got.output, unit);
        assert_eq!((got.mean, got.var), statistics);
    }

    // Mean square of 1 and 7: 25. With eps = 11 its root is 6.
    let rms = train(RmsNorm::new(&[2]).eps(11.0), &[1, 2], &[1.0, 7.0], |p| {
        p.weight = Some(vec![6.0, 12.0]);
    });
    assert_close(&rms.output, &[1.0, 14.0], 1e-15);
    assert_eq!((rms.mean, rms.var), (vec![0.0], vec![25.0]));
}

#[test]
fn cumulative_running_statistics_average_all_batches() {
    // Per sample and channel: mean and unbiased variance of two values a, b are (a + b) / 2 and (a - b)² / 2.
    let instance = InstanceNorm::new(1)
        .track_running_stats(true)
        .momentum(None);
    let batch = BatchNorm::new(1).momentum(None);
    for (norm, shape) in [(Norm::from(instance), [2, 1, 2]), (batch.into(), [1, 1, 4])] {
        let mut parameters = random_parameters(&mut StdRng::seed_from_u64(2), &norm);
        let (mut mean, mut var) = (0.0, 0.0);
        for (index, input) in [
            [0.0, 2.0, 4.0, 8.0],
            [1.0, 1.0, 7.0, 3.0],
            [-5.0, 0.0, 0.5, 9.0],
        ]
        .iter()
        .enumerate()
        {
            let got = forward(&norm, Mode::TRAINING, &shape, input, &parameters).unwrap();
            let average = input.iter().sum::<f64>() / 4.0;
            mean += average;
            var += if shape[0] == 2 {
                ((input[0] - input[1]).powi(2) + (input[2] - input[3]).powi(2)) / 4.0
            } else {
                input.iter().map(|x| (x - average).powi(2)).sum::<f64>() / 3.0
            };
            let batches = (index + 1) as f64;
            assert_eq!(got.num_batches_tracked, index as u64 + 1);
            assert_close(got.running_mean.as_ref().unwrap(), &[mean / batches], 1e-15);
            assert_close(got.running_var.as_ref().unwrap(), &[var / batches], 1e-15);
            parameters.running_mean = got.running_mean;
            parameters.running_var = got.running_var;
            parameters.num_batches_tracked = got.num_batches_tracked;
        }
    }
}

#[test]
fn running_statistics_move_in_training_only_and_normalize_in_eval_only() {
    let mut rng = StdRng::seed_from_u64(3);
    for (norm, shape) in configurations(1e-5) {
        for mode in MODES {
            let input = random(&mut rng, shape.iter().product());
            let parameters = random_parameters(&mut rng, &norm);
            let got = forward(&norm, mode, &shape, &input, &parameters).unwrap();
            let updates = norm.tracks_running_stats() && mode == Mode::TRAINING;
            assert_eq!(got.num_batches_tracked, u64::from(updates));
            assert_eq!(got.running_mean != parameters.running_mean, updates);
            assert_eq!(got.running_var != parameters.running_var, updates);
            let by_running = norm.tracks_running_stats() && !mode.batch_statistics;
            assert_eq!(
                Some(&got.mean) == parameters.running_mean.as_ref(),
                by_running
            );
            assert_eq!(
                Some(&got.var) == parameters.running_var.as_ref(),
                by_running
            );
        }
    }
}
