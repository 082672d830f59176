//! Norms, shapes and devices of any kind: an `Err`, or launches within the limits of the device, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgpu_norm::geometry::{Problem, Residual};
use wgpu_norm::{
    Activation, BatchNorm, Caps, DType, DoubleWanted, Error, GroupNorm, InstanceNorm, LayerNorm,
    Mode, Norm, Recipe, RmsNorm, Strategy, Wanted,
};

type Numbers = (f64, Option<f64>);
type Options = ([bool; 6], u8, u8);
type Input = (u8, Vec<u8>, Vec<u8>, Numbers, [bool; 8], u8, Options);

fuzz_target!(|input: Input| {
    let (kind, parameters, shape, (eps, momentum), flags, device, options) = input;
    let sizes = |bytes: &[u8]| -> Vec<usize> { bytes.iter().copied().map(size).collect() };
    let (
        [
            other_order,
            per_sample,
            zero_centered,
            residual,
            double,
            alone,
        ],
        activation,
        dtype,
    ) = options;
    let order = (
        other_order,
        (dtype & 1 != 0).then_some(usize::from(dtype >> 3)),
    );
    let norm = norm(kind, &sizes(&parameters), (eps, momentum), flags, order);
    let norm = match alone {
        true => norm,
        false => norm
            .with_weights(per_sample, zero_centered)
            .with_activation(Activation::ALL[usize::from(activation) % Activation::ALL.len()]),
    };
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
    let residual = residual.then(|| norm.residual_place());
    let problem = Problem {
        dtype: DType::DATA[usize::from(dtype) % DType::DATA.len()],
        residual,
        ..problem
    };
    let caps = caps(device);
    let strategy = [
        None,
        Some(Strategy::Resident),
        Some(Strategy::Looped),
        Some(Strategy::Split),
    ];
    let strategy = strategy[usize::from(kind >> 6)];
    let recipe = if double {
        let wanted = DoubleWanted {
            input: mirrored,
            weight: norm.has_weight(),
            grad_output: forward,
        };
        Recipe::double_backward(&problem, &caps, wanted)
    } else if forward {
        Recipe::forward(&problem, &caps, strategy)
    } else {
        let wanted = Wanted {
            input: mirrored,
            weight: norm.has_weight(),
            bias: norm.has_bias(),
            residual: residual == Some(Residual::After),
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

fn norm(
    kind: u8,
    sizes: &[usize],
    (eps, momentum): (f64, Option<f64>),
    flags: [bool; 8],
    (other_order, ghost): (bool, Option<usize>),
) -> Norm {
    let [weight, bias, track, ..] = flags;
    let channels = sizes.first().copied().unwrap_or(4);
    match kind % 5 {
        0 => (BatchNorm::new(channels).eps(eps).momentum(momentum))
            .weight(weight)
            .bias(bias)
            .track_running_stats(track)
            .channels_last(other_order)
            .virtual_batch_size(ghost)
            .into(),
        1 => (InstanceNorm::new(channels).eps(eps).momentum(momentum))
            .weight(weight)
            .bias(bias)
            .track_running_stats(track)
            .channels_last(other_order)
            .into(),
        2 => {
            let groups = sizes.get(1).copied().unwrap_or(2);
            let norm = GroupNorm::new(groups, channels).eps(eps);
            let norm = norm.weight(weight).bias(bias);
            norm.channels_last(other_order).into()
        }
        3 => (LayerNorm::new(sizes).eps(eps).weight(weight).bias(bias))
            .channels_first(other_order)
            .into(),
        _ => (RmsNorm::new(sizes).eps(eps).weight(weight))
            .channels_first(other_order)
            .into(),
    }
}

fn fit(norm: &Norm, shape: &mut Vec<usize>) {
    let parameters = norm.parameter_shape();
    shape.truncate(5);
    if let Some(dimension) = norm.channel_dimension(shape.len())
        && dimension < shape.len()
    {
        shape[dimension] = parameters.first().copied().unwrap_or(1);
    } else if matches!(norm, Norm::Layer(_) | Norm::Rms(_)) {
        shape.extend(parameters);
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
