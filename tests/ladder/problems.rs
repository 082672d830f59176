//! Random norms, shapes and devices.

use proptest::prelude::*;
use wgpu_norm::{
    BatchNorm, Caps, Error, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, Recipe, RmsNorm,
    Strategy as Reduction, Wanted,
};

/// Devices from the weakest to the oddest.
pub(crate) fn caps() -> impl Strategy<Value = Caps> {
    let subgroups = prop_oneof![
        Just(None),
        Just(Some((4, 4))),
        Just(Some((8, 8))),
        Just(Some((32, 32))),
        Just(Some((8, 32))),
        Just(Some((64, 64))),
        Just(Some((4, 128))),
    ];
    let workgroup = prop_oneof![Just(128u32), Just(256), Just(1024)];
    let dispatch = prop_oneof![Just(65_535u32), Just(7)];
    (any::<bool>(), subgroups, workgroup, dispatch).prop_map(
        |(cpu, subgroups, max_workgroup_size, max_workgroups_per_dimension)| Caps {
            cpu,
            subgroups,
            max_workgroup_size,
            max_workgroups_per_dimension,
            ..Caps::WEBGPU
        },
    )
}

pub(crate) const MODES: [Mode; 3] = [
    Mode::TRAINING,
    Mode::TRAINING.update_running(false),
    Mode::EVAL,
];

/// A size: small ones, powers of two and their neighbours, primes.
fn size(most: usize) -> impl Strategy<Value = usize> {
    let near = (0u32..=most.ilog2()).prop_map(|k| 1usize << k);
    prop_oneof![
        3 => 1usize..=9.min(most),
        1 => near.clone(),
        1 => near.prop_map(|n| n + 1),
        1 => 1usize..=most,
    ]
}

/// A norm and the shape of an input of at most about `most` elements.
pub(crate) fn norm(most: usize) -> impl Strategy<Value = (Norm, Vec<usize>)> {
    let sizes = (size(most), size(most), size(most), 1usize..=4);
    (0u8..5, sizes, any::<[bool; 3]>()).prop_map(move |(kind, sizes, [weight, bias, track])| {
        let (mut n, mut c, mut s, groups) = sizes;
        while n.saturating_mul(c).saturating_mul(s) > most {
            // The largest gives way, so that each size is large at times.
            if n >= c && n >= s {
                n = n.div_ceil(2);
            } else if c >= s {
                c = c.div_ceil(2);
            } else {
                s = s.div_ceil(2);
            }
        }
        // Two values at least, as batch statistics need.
        let (n, s) = (n.max(2), s.max(2));
        match kind {
            0 => {
                let norm = BatchNorm::new(c)
                    .weight(weight)
                    .bias(bias)
                    .track_running_stats(track);
                let shape = if s == 2 { vec![n, c] } else { vec![n, c, s] };
                (norm.into(), shape)
            }
            1 => {
                let norm = InstanceNorm::new(c).weight(weight).bias(bias);
                (norm.track_running_stats(track).into(), vec![n, c, s])
            }
            2 => {
                let c = c.next_multiple_of(groups);
                let norm = GroupNorm::new(groups, c).weight(weight).bias(bias);
                (norm.into(), if s == 2 { vec![n, c] } else { vec![n, c, s] })
            }
            3 => (
                LayerNorm::new(&[s]).weight(weight).bias(bias).into(),
                vec![n, s],
            ),
            _ => (RmsNorm::new(&[s]).weight(weight).into(), vec![n, s]),
        }
    })
}

/// The recipes of all passes of a norm, with every strategy that can carry it.
pub(crate) fn recipes(norm: &Norm, shape: &[usize], caps: &Caps) -> Vec<Recipe> {
    let forced = [
        None,
        Some(Reduction::Resident),
        Some(Reduction::Looped),
        Some(Reduction::Split),
    ];
    let mut recipes = Vec::new();
    for mode in MODES {
        let Some(problem) = norm.lower(shape, mode).unwrap() else {
            continue;
        };
        for strategy in forced {
            let forward = Recipe::forward(&problem, caps, strategy);
            // A single workgroup updates running statistics, in 60,000 iterations at most.
            let refused =
                matches!(&forward, Err(Error::Limit { needed, .. }) if *needed > 60_000 * 128);
            assert!(
                strategy.is_some() || refused || forward.is_ok(),
                "{forward:?}"
            );
            recipes.extend(forward.ok());
            for bits in 1..8 {
                let wanted = Wanted {
                    input: bits & 1 != 0,
                    weight: bits & 2 != 0 && norm.has_weight(),
                    bias: bits & 4 != 0 && norm.has_bias(),
                };
                let backward = Recipe::backward(&problem, caps, strategy, wanted);
                assert!(strategy.is_some() || backward.is_ok(), "{backward:?}");
                recipes.extend(backward.ok());
            }
        }
    }
    recipes
}
