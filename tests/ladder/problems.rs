//! Random norms, shapes and devices.

use proptest::prelude::*;
use wgpu_norm::geometry::{Problem, Residual};
use wgpu_norm::{
    Activation, BatchNorm, Caps, DType, DoubleWanted, Error, GroupNorm, InstanceNorm, LayerNorm,
    Mode, Norm, Recipe, RmsNorm, Strategy as Reduction, Wanted,
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
    // The least that WebGPU allows, and so little that random tensors do not fit it.
    let binding = prop_oneof![3 => Just(128u64 << 20), 1 => (1u64..1 << 12).prop_map(|n| 4 * n)];
    let alignment = prop_oneof![Just(4u32), Just(16), Just(256)];
    let cores = prop_oneof![Just(1u32), Just(2), Just(16)];
    let limits = (workgroup, dispatch, binding, alignment, cores);
    (any::<[bool; 4]>(), subgroups, limits).prop_map(
        |(
            [cpu, slow_loads, shader_f16, shader_int64],
            subgroups,
            (max_workgroup_size, dispatch, max_binding_size, offset_alignment, cores),
        )| {
            Caps {
                cpu,
                slow_loads,
                cores,
                subgroups,
                shader_f16,
                shader_int64,
                max_workgroup_size,
                max_workgroups_per_dimension: dispatch,
                max_binding_size: max_binding_size.max(2 * u64::from(offset_alignment)),
                offset_alignment,
                ..Caps::WEBGPU
            }
        },
    )
}

/// lavapipe on two cores without AVX-512.
pub(crate) const LAVAPIPE: Caps = Caps {
    cpu: true,
    slow_loads: true,
    cores: 2,
    shader_int64: true,
    subgroups: Some((8, 8)),
    max_workgroup_size: 1024,
    ..Caps::WEBGPU
};

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
    let activation = prop::sample::select(Activation::ALL.to_vec());
    let kinds = (0u8..5, sizes, any::<[bool; 4]>(), 1usize..=3);
    let shaped = kinds.prop_map(move |(kind, sizes, [weight, bias, track, moved], blocks)| {
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
        let c = if kind == 2 {
            c.next_multiple_of(groups)
        } else {
            c
        };
        let shape = |n| match moved {
            true => vec![n, s, c],
            false => vec![n, c, s],
        };
        let flat = |n| if s == 2 { vec![n, c] } else { shape(n) };
        let (norm, shape): (Norm, _) = match kind {
            0 => {
                let norm = BatchNorm::new(c).weight(weight).bias(bias);
                let norm = norm.track_running_stats(track).channels_last(moved);
                let samples = (n / blocks).max(2);
                if blocks == 1 {
                    return (norm.into(), flat(n));
                }
                let norm = norm.virtual_batch_size(Some(samples));
                (norm.into(), flat(samples * blocks))
            }
            1 => {
                let norm = InstanceNorm::new(c).weight(weight).bias(bias);
                let norm = norm.track_running_stats(track).channels_last(moved);
                (norm.into(), shape(n))
            }
            2 => {
                let norm = GroupNorm::new(groups, c).weight(weight).bias(bias);
                (norm.channels_last(moved).into(), flat(n))
            }
            3 => {
                let norm = LayerNorm::new(&[c]).weight(weight).bias(bias);
                let shape = if moved { vec![n, c, s] } else { vec![n, s, c] };
                (norm.channels_first(moved).into(), shape)
            }
            _ => {
                let norm = RmsNorm::new(&[c]).weight(weight);
                let shape = if moved { vec![n, c, s] } else { vec![n, s, c] };
                (norm.channels_first(moved).into(), shape)
            }
        };
        (norm, shape)
    });
    let weights = (prop::bool::weighted(0.3), prop::bool::weighted(0.2));
    (shaped, activation, weights).prop_map(|((norm, shape), activation, weights)| {
        let (per_sample, zero_centered) = weights;
        let ghost = norm.virtual_batch_size().is_some();
        let norm = norm.with_weights(per_sample && !ghost, zero_centered);
        (norm.with_activation(activation), shape)
    })
}

/// Which recipe of a problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick {
    pub(crate) dtype: DType,
    pub(crate) mode: Mode,
    pub(crate) strategy: Option<Reduction>,
    /// The gradients wanted; `None` for the forward pass.
    pub(crate) wanted: Option<Wanted>,
    /// There is a residual.
    pub(crate) residual: bool,
}

pub(crate) fn strategies() -> impl Iterator<Item = Option<Reduction>> + Clone {
    std::iter::once(None).chain(Reduction::ALL.into_iter().map(Some))
}

/// All recipes of a problem: modes, strategies, all sets of gradients, without and with a residual.
pub(crate) fn picks(dtype: DType) -> impl Iterator<Item = Pick> {
    let wanted = |bits: u8| Wanted {
        input: bits & 1 != 0,
        weight: bits & 2 != 0,
        bias: bits & 4 != 0,
        residual: bits & 8 != 0,
    };
    let alone = std::iter::once(None).chain((1..8).map(wanted).map(Some));
    let residual = std::iter::once(None).chain([1, 7, 8, 9, 14, 15].map(wanted).map(Some));
    let passes = (alone.map(|wanted| (wanted, false))).chain(residual.map(|wanted| (wanted, true)));
    let modes = MODES.into_iter();
    modes.flat_map(move |mode| {
        let passes = passes.clone();
        strategies().flat_map(move |strategy| {
            passes.clone().map(move |(wanted, residual)| Pick {
                dtype,
                mode,
                strategy,
                wanted,
                residual,
            })
        })
    })
}

/// The backward pass in training, by the ladder's choice.
pub(crate) const fn all_gradients(dtype: DType) -> Pick {
    Pick {
        dtype,
        mode: Mode::TRAINING,
        strategy: None,
        wanted: Some(Wanted {
            input: true,
            weight: true,
            bias: true,
            residual: false,
        }),
        residual: false,
    }
}

pub(crate) fn pick() -> impl Strategy<Value = Pick> {
    let all: Vec<Pick> = DType::DATA.into_iter().flat_map(picks).collect();
    (0..all.len()).prop_map(move |index| all[index])
}

/// What is to be computed.
pub(crate) fn problem(norm: &Norm, shape: &[usize], pick: Pick) -> Result<Option<Problem>, Error> {
    let lowered = norm.lower(shape, pick.mode)?;
    Ok(lowered.map(|problem| Problem {
        dtype: pick.dtype,
        residual: pick.residual.then(|| norm.residual_place()),
        ..problem
    }))
}

/// The recipe, unless the strategy, the device or 32-bit indices cannot carry it.
pub(crate) fn recipe(norm: &Norm, shape: &[usize], caps: &Caps, pick: Pick) -> Option<Recipe> {
    let recipe = problem(norm, shape, pick).and_then(|problem| match (problem, pick.wanted) {
        (None, _) => Ok(None),
        (Some(problem), None) => Recipe::forward(&problem, caps, pick.strategy).map(Some),
        (Some(problem), Some(wanted)) => {
            let wanted = Wanted {
                weight: wanted.weight && norm.has_weight(),
                bias: wanted.bias && norm.has_bias(),
                residual: wanted.residual && norm.residual_place() == Residual::After,
                ..wanted
            };
            Recipe::backward(&problem, caps, pick.strategy, wanted).map(Some)
        }
    });
    match recipe {
        Ok(recipe) => recipe,
        Err(Error::Strategy { .. }) => {
            assert!(pick.strategy.is_some());
            None
        }
        Err(Error::Limit {
            needed, allowed, ..
        }) => {
            assert!(needed > allowed);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// All recipes of a norm on data of a type.
pub(crate) fn recipes(norm: &Norm, shape: &[usize], caps: &Caps, dtype: DType) -> Vec<Recipe> {
    picks(dtype)
        .filter_map(|pick| recipe(norm, shape, caps, pick))
        .collect()
}

/// The recipes of samples with lengths, as far as the device can carry them: forward and backward with all gradients, in training and
/// in evaluation, alone and with a residual.
pub(crate) fn length_recipes(norm: &Norm, shape: &[usize], caps: &Caps) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    for (mode, residual) in [
        (Mode::TRAINING, false),
        (Mode::TRAINING, true),
        (Mode::EVAL, true),
    ] {
        let Ok(Some(problem)) = norm.lower(shape, mode) else {
            continue;
        };
        let Ok(lengths) = norm.lengths(shape, &problem) else {
            continue;
        };
        let problem = Problem {
            residual: residual.then(|| norm.residual_place()),
            lengths: Some(lengths),
            ..problem
        };
        let wanted = Wanted {
            input: true,
            weight: norm.has_weight(),
            bias: norm.has_bias(),
            residual: problem.residual == Some(Residual::After),
        };
        // Whatever is asked for, it is the split.
        let strategy = Some(Reduction::Resident);
        recipes.extend(fitting([
            Recipe::forward(&problem, caps, None),
            Recipe::forward(&problem, caps, strategy),
            Recipe::backward(&problem, caps, None, wanted),
            Recipe::backward(&problem, caps, strategy, wanted),
        ]));
    }
    let split = |recipe: &Recipe| recipe.strategy == Reduction::Split;
    assert!(recipes.iter().all(split));
    recipes
}

/// The recipes that are not passes of a norm, as far as the device can carry them: of a synchronized batch norm, or of the observer of a
/// layer norm's groups.
pub(crate) fn other_recipes(norm: &Norm, shape: &[usize], caps: &Caps) -> Vec<Recipe> {
    let Ok(Some(problem)) = norm.lower(shape, Mode::TRAINING) else {
        return Vec::new();
    };
    if matches!(norm, Norm::Layer(_)) {
        return fitting([Recipe::observe(&problem, caps, 1025)]);
    }
    let synchronized = matches!(norm, Norm::Batch(_)) && !norm.per_sample();
    if !synchronized || norm.virtual_batch_size().is_some() {
        return Vec::new();
    }
    let all = Wanted {
        input: false,
        weight: norm.has_weight(),
        bias: norm.has_bias(),
        residual: false,
    };
    let none = Wanted {
        weight: false,
        bias: false,
        ..all
    };
    fitting([
        Recipe::sync_statistics(&problem, caps),
        Recipe::sync_normalize(&problem, caps, false),
        Recipe::sync_normalize(&problem, caps, true),
        Recipe::sync_sums(&problem, caps, all),
        Recipe::sync_sums(&problem, caps, none),
        Recipe::sync_grad_input(&problem, caps, false),
    ])
}

/// Those of the second derivative with all gradients, and with each alone.
pub(crate) fn double_recipes(
    norm: &Norm,
    shape: &[usize],
    caps: &Caps,
    (dtype, mode): (DType, Mode),
) -> Vec<Recipe> {
    let Ok(Some(problem)) = norm.lower(shape, mode) else {
        return Vec::new();
    };
    let problem = Problem { dtype, ..problem };
    let recipe = |[input, weight, grad_output]: [bool; 3]| {
        let wanted = DoubleWanted {
            input,
            weight: weight && norm.has_weight(),
            grad_output,
        };
        Recipe::double_backward(&problem, caps, wanted)
    };
    let [t, f] = [true, false];
    fitting([[t, t, t], [t, f, f], [f, t, f], [f, f, t]].map(recipe))
}

fn fitting<const N: usize>(recipes: [Result<Recipe, Error>; N]) -> Vec<Recipe> {
    let checked = recipes.into_iter().filter_map(|recipe| match recipe {
        Ok(recipe) => Some(recipe),
        Err(Error::Limit {
            needed, allowed, ..
        }) => {
            assert!(needed > allowed);
            None
        }
        Err(error) => panic!("{error}"),
    });
    checked.collect()
}
