//! Norms, shapes and devices of any kind: an `Err`, or launches within the limits of the device, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgpu_norm::{
    BatchNorm, Caps, Error, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, Recipe, RmsNorm,
    Strategy, Wanted,
};

type Numbers = (f64, Option<f64>);
type Input = (u8, Vec<u8>, Vec<u8>, Numbers, [bool; 8], u8);

fuzz_target!(|input: Input| {
    let (kind, parameters, shape, (eps, momentum), flags, device) = input;
    let sizes = |bytes: &[u8]| -> Vec<usize> { bytes.iter().copied().map(size).collect() };
    let norm = norm(kind, &sizes(&parameters), eps, momentum, flags);
    let [
        ..,
        batch_statistics,
        update_running,
        fits,
        mirrored,
        forward,
    ] = flags;
    let mode = Mode {
        batch_statistics,
        update_running,
    };
    let mut shape = sizes(&shape);
    if fits {
        fit(&norm, &mut shape);
    }
    let elements = norm.validate_shape(&shape, mode);
    let problem = norm.lower(&shape, mode);
    assert_eq!(elements.is_ok(), problem.is_ok());
    let (Ok(elements), Ok(Some(problem))) = (elements, problem) else {
        return;
    };
    assert_eq!(problem.elements as usize, elements);
    let groups = &problem.groups;
    assert_eq!(groups.items as usize * groups.elements() as usize, elements);
    let caps = caps(device);
    let strategy = [
        None,
        Some(Strategy::Resident),
        Some(Strategy::Looped),
        Some(Strategy::Split),
    ];
    let strategy = strategy[usize::from(kind >> 6)];
    let recipe = if forward {
        Recipe::forward(&problem, &caps, strategy)
    } else {
        let wanted = Wanted {
            input: mirrored,
            weight: norm.has_weight(),
            bias: norm.has_bias(),
        };
        Recipe::backward(&problem, &caps, strategy, wanted)
    };
    let recipe = match recipe {
        Ok(recipe) => recipe,
        Err(Error::Limit {
            needed, allowed, ..
        }) => return assert!(needed > allowed),
        Err(error) => return assert!(strategy.is_some(), "{error}"),
    };
    for step in recipe.steps {
        let grid = step.grid(&caps);
        let most = caps.max_workgroups_per_dimension;
        assert!(
            grid.iter().all(|&size| 0 < size && size <= most),
            "{grid:?}"
        );
    }
});

/// Small sizes mostly: few large ones have a product that is an error already.
fn size(byte: u8) -> usize {
    const LARGE: [usize; 8] = [
        1 << 16,
        1_000_003,
        1 << 29,
        1 << 31,
        (1 << 31) + 1,
        1 << 32,
        1 << 62,
        usize::MAX,
    ];
    match byte {
        0..=127 => usize::from(byte),
        128..=239 => 17 * usize::from(byte - 127),
        _ => LARGE[usize::from(byte % 8)],
    }
}

fn norm(kind: u8, sizes: &[usize], eps: f64, momentum: Option<f64>, flags: [bool; 8]) -> Norm {
    let [weight, bias, track, ..] = flags;
    let channels = sizes.first().copied().unwrap_or(4);
    match kind % 5 {
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
        2 => {
            let groups = sizes.get(1).copied().unwrap_or(2);
            let norm = GroupNorm::new(groups, channels).eps(eps);
            norm.weight(weight).bias(bias).into()
        }
        3 => (LayerNorm::new(sizes).eps(eps).weight(weight).bias(bias)).into(),
        _ => RmsNorm::new(sizes).eps(eps).weight(weight).into(),
    }
}

fn fit(norm: &Norm, shape: &mut Vec<usize>) {
    let parameters = norm.parameter_shape();
    match norm {
        Norm::Layer(_) | Norm::Rms(_) => shape.extend(parameters),
        _ if shape.len() > 1 => {
            shape[1] = parameters[0];
            shape.truncate(5);
        }
        _ => {}
    }
}

/// The least that WebGPU allows, GPUs and CPUs with subgroups of 4 to 64.
fn caps(device: u8) -> Caps {
    let width = 4 << (device % 5);
    Caps {
        cpu: device & 32 != 0,
        subgroups: (device & 64 != 0).then_some((width, width)),
        ..Caps::WEBGPU
    }
}
