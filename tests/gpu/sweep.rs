//! Every norm, pass and mode over lists of shapes, on all rungs of the ladder, against f64.

use std::collections::BTreeMap;

use wgpu_norm::check::{Case, Report};
use wgpu_norm::{Activation, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm};

use crate::common::{STRATEGIES, by_turns, check, context, modes, own_devices, shapes};

/// One test body for all: every shape and mode on the device as it is, as the ladder says and by one of the three strategies, and in one of these
/// two ways on another device by turns.
fn sweep(shapes: Vec<(Norm, Vec<usize>)>) {
    let (mut count, mut worst) = (0, Report::default());
    let devices = own_devices();
    for (seed, (norm, shape)) in shapes.iter().enumerate() {
        for (number, (device, context, strategies)) in
            by_turns(&devices, seed).into_iter().enumerate()
        {
            for (turn, mode) in modes(norm).enumerate() {
                // Not in step with the turns of the devices.
                let forced = STRATEGIES[1 + (number + seed + seed / 3 + turn) % 3];
                let ways = match strategies.len() == STRATEGIES.len() {
                    true => vec![None, forced],
                    false => vec![[None, forced][(seed / 3 + turn) % 2]],
                };
                for strategy in ways {
                    let mut case = Case::random(norm, mode, shape, seed as u64).unwrap();
                    case.strategy = strategy;
                    // And with the mean 100 standard deviations away from 0.
                    for case in [case.clone(), case.offset(100.0)] {
                        if let Some(report) = check(device, context, &case) {
                            worst.rows.extend(report.worst_row().cloned());
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    let worst = worst.worst_row().unwrap();
    println!(
        "{count} comparisons, worst {:.1e}: {} {}",
        worst.error, worst.case, worst.tensor
    );
    // The ladder's choice, near 0 and far, at least.
    assert!(count >= shapes.len() * 2);
}

#[test]
fn batch_norm() {
    sweep(shapes::batch());
}

#[test]
fn instance_norm() {
    sweep(shapes::instance());
}

#[test]
fn group_norm() {
    sweep(shapes::group());
}

#[test]
fn layer_norm() {
    sweep(shapes::layer());
}

#[test]
fn rms_norm() {
    sweep(shapes::rms());
}

#[test]
fn channels_last() {
    sweep(shapes::channels_last());
}

#[test]
fn channels_first() {
    sweep(shapes::channels_first());
}

#[test]
fn ghost_batch_norm() {
    sweep(shapes::ghost());
}

/// Every activation, without and with a residual: shapes that between them meet all kernels, in every mode, on two devices as the ladder says
/// and by one of the strategies, by turns with a residual and each with another activation (all of them everywhere would compile 6,000
/// pipelines).
fn surrounded(norms: &[(Norm, &[usize])]) {
    let (mut count, mut worst) = (0, Report::default());
    let mut activations = Activation::ALL.into_iter().cycle();
    let devices = own_devices();
    let mut forced = STRATEGIES.into_iter().flatten().cycle();
    for (seed, (norm, shape)) in norms.iter().enumerate() {
        for (turn, mode) in modes(norm).enumerate() {
            for (number, (device, context, _)) in by_turns(&devices, seed).into_iter().enumerate() {
                for (way, strategy) in [None, forced.next()].into_iter().enumerate() {
                    let activation = activations.next().unwrap();
                    let norm = norm.clone().with_activation(activation);
                    let mut case = Case::random(&norm, mode, shape, seed as u64).unwrap();
                    case.strategy = strategy;
                    if (seed + turn + number + way) % 2 == 0 {
                        case = case.with_residual();
                    }
                    if let Some(report) = check(device, context, &case) {
                        worst.rows.extend(report.worst_row().cloned());
                        count += 1;
                    }
                }
                // So that the next device has others.
                activations.next();
            }
        }
    }
    let worst = worst.worst_row().unwrap();
    println!(
        "{count} comparisons, worst {:.1e}: {} {}",
        worst.error, worst.case, worst.tensor
    );
}

#[test]
fn batch_norm_surrounded() {
    surrounded(&[
        (BatchNorm::new(8).into(), &[37, 8]),
        (BatchNorm::new(3).into(), &[4, 3, 6, 6]),
        (BatchNorm::new(5).into(), &[3, 5, 7]),
    ]);
}

#[test]
fn instance_norm_surrounded() {
    let norm = InstanceNorm::new(3).affine(true).track_running_stats(true);
    surrounded(&[(norm.into(), &[9, 3, 7, 5]), (norm.into(), &[2, 3, 8, 8])]);
}

#[test]
fn group_norm_surrounded() {
    surrounded(&[
        (GroupNorm::new(1, 6).into(), &[3, 6]),
        (GroupNorm::new(2, 8).into(), &[2, 8, 4, 4]),
        (GroupNorm::new(2, 6).into(), &[3, 6, 68]),
        (GroupNorm::new(2, 10).into(), &[3, 10, 13, 64]),
    ]);
}

#[test]
fn layer_norm_surrounded() {
    surrounded(&[
        (LayerNorm::new(&[64]).into(), &[130, 64]),
        (LayerNorm::new(&[63]).into(), &[7, 63]),
        (LayerNorm::new(&[1028]).into(), &[2, 1028]),
    ]);
}

#[test]
fn rms_norm_surrounded() {
    surrounded(&[
        (RmsNorm::new(&[64]).into(), &[130, 64]),
        (RmsNorm::new(&[513]).into(), &[5, 513]),
    ]);
}

#[test]
fn other_orders_surrounded() {
    let instance = InstanceNorm::new(8).affine(true).channels_last(true);
    surrounded(&[
        (BatchNorm::new(8).channels_last(true).into(), &[3, 5, 8]),
        (instance.track_running_stats(true).into(), &[3, 35, 8]),
        (GroupNorm::new(2, 8).channels_last(true).into(), &[3, 35, 8]),
        (
            LayerNorm::new(&[5]).channels_first(true).into(),
            &[3, 5, 12],
        ),
        (RmsNorm::new(&[5]).channels_first(true).into(), &[2, 5, 7]),
        (
            BatchNorm::new(8).virtual_batch_size(Some(6)).into(),
            &[12, 8],
        ),
    ]);
}

/// Weight and bias each there or not, running statistics kept or not and averaged in either way, in all modes.
#[test]
fn every_combination_of_optional_parts() {
    let mut norms: Vec<(Norm, &[usize])> = Vec::new();
    for (weight, bias) in [(false, false), (true, false), (false, true), (true, true)] {
        for (track, momentum) in [
            (false, None),
            (true, None),
            (true, Some(0.1)),
            (true, Some(1.0)),
        ] {
            let batch = BatchNorm::new(4).weight(weight).bias(bias);
            let batch = batch.track_running_stats(track).momentum(momentum);
            norms.push((batch.into(), &[3, 4, 5]));
            norms.push((batch.into(), &[6, 4]));
            let instance = InstanceNorm::new(4).weight(weight).bias(bias);
            let instance = instance.track_running_stats(track).momentum(momentum);
            norms.push((instance.into(), &[3, 4, 2, 4]));
            norms.push((instance.channels_last(true).into(), &[3, 5, 4]));
            norms.push((batch.virtual_batch_size(Some(3)).into(), &[6, 4]));
        }
        let group = GroupNorm::new(2, 4).weight(weight).bias(bias);
        norms.push((group.into(), &[3, 4, 5]));
        norms.push((group.into(), &[3, 4]));
        norms.push((
            GroupNorm::new(1, 4)
                .weight(weight)
                .bias(bias)
                .channels_last(true)
                .into(),
            &[3, 5, 4],
        ));
        let points = LayerNorm::new(&[3]).weight(weight).bias(bias);
        norms.push((points.channels_first(true).into(), &[2, 3, 4]));
        let layer = LayerNorm::new(&[3, 4]).weight(weight).bias(bias);
        norms.push((layer.into(), &[5, 3, 4]));
        norms.push((RmsNorm::new(&[12]).weight(weight).into(), &[5, 12]));
    }
    let modes = [
        Mode::TRAINING,
        Mode::TRAINING.update_running(false),
        Mode::EVAL,
    ];
    for (seed, (norm, shape)) in norms.iter().enumerate() {
        for mode in modes {
            for strategy in STRATEGIES {
                let mut case = Case::random(norm, mode, shape, seed as u64).unwrap();
                case.strategy = strategy;
                check("own", context(), &case);
            }
        }
    }
}

/// The mean is up to a million standard deviations away from 0: f32 holds the input, so it holds the answer.
#[test]
fn any_offset() {
    let norms: [(Norm, &[usize]); 7] = [
        (BatchNorm::new(3).into(), &[4, 3, 6, 6]),
        (BatchNorm::new(5).into(), &[70, 5]),
        (InstanceNorm::new(3).affine(true).into(), &[2, 3, 33]),
        (GroupNorm::new(2, 4).into(), &[2, 4, 64]),
        (LayerNorm::new(&[1000]).into(), &[3, 1000]),
        (LayerNorm::new(&[5003]).into(), &[2, 5003]),
        (RmsNorm::new(&[1000]).into(), &[3, 1000]),
    ];
    let mut worst = BTreeMap::new();
    let devices = own_devices();
    for (turn, (norm, shape)) in norms.iter().enumerate() {
        for (device, context, strategies) in by_turns(&devices, turn) {
            for offset in [0, 100, -10_000, 1_000_000] {
                for &strategy in &strategies {
                    let case = Case::random(norm, Mode::TRAINING, shape, 3).unwrap();
                    let mut case = case.offset(offset as f32);
                    case.strategy = strategy;
                    for row in check(device, context, &case).unwrap_or_default().rows {
                        let error = worst.entry((row.tensor, offset)).or_insert(0.0);
                        *error = row.error.max(*error);
                    }
                }
            }
        }
    }
    for ((tensor, offset), error) in worst {
        println!("offset {offset:8} σ: worst error of {tensor:11} {error:.1e}");
    }
}
