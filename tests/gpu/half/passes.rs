//! All norms, modes and strategies on data of 16 bits against the reference in f64.

use wgpu_norm::check::Case;
use wgpu_norm::{Activation, DType, Norm};

use super::storages;
use crate::common::{STRATEGIES, check, context, modes, own_devices, shapes};

/// One strategy after the other on the device as it is and on another, each norm on another of these, with f16 packed or told to behave as others:
/// most of the time goes into compiling.
fn all_strategies(dtype: DType, norms: &[(Norm, Vec<usize>)], residual: bool) {
    let mut runs = 0;
    let own = storages()
        .into_iter()
        .filter(|(stored, _)| *stored == dtype);
    let own = own.map(|(_, device)| match device.caps() == context().caps() {
        true => ("own", device),
        false => ("packed", device),
    });
    let (own, mut others): (Vec<_>, Vec<_>) = own.partition(|(name, _)| *name == "own");
    others.extend(own_devices().into_iter().skip(1));
    for (number, (name, device)) in own.iter().chain(&others).enumerate() {
        for (seed, (norm, shape)) in norms.iter().enumerate() {
            if number >= own.len() && (number + seed) % others.len() != 0 {
                continue;
            }
            for (turn, mode) in modes(norm).enumerate() {
                let case = Case::random(norm, mode, shape, seed as u64).unwrap();
                let case = if residual { case.with_residual() } else { case };
                let case = case.with_dtype(dtype);
                // Not in step with the turns of the devices.
                let way = number + seed + seed / others.len() + turn;
                let strategy = STRATEGIES[way % STRATEGIES.len()];
                let case = Case { strategy, ..case };
                runs += usize::from(check(name, device, &case).is_some());
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > norms.len());
}

/// Every fourth shape: all kinds of each norm are among them, and odd rows.
fn some(norms: Vec<(Norm, Vec<usize>)>, first: usize) -> Vec<(Norm, Vec<usize>)> {
    norms.into_iter().skip(first).step_by(4).collect()
}

fn all_norms() -> Vec<(Norm, Vec<usize>)> {
    let mut norms = some(shapes::batch(), 1);
    norms.extend(some(shapes::instance(), 1));
    norms.extend(some(shapes::group(), 0));
    norms.extend(some(shapes::layer(), 1));
    norms.extend(some(shapes::rms(), 0));
    norms
}

#[test]
fn f16() {
    all_strategies(DType::F16, &all_norms(), false);
}

#[test]
fn bf16() {
    all_strategies(DType::BF16, &all_norms(), false);
}

/// With what surrounds the norm, on shapes with and without vectors.
fn surrounded(dtype: DType) {
    let norms = [
        shapes::batch(),
        shapes::instance(),
        shapes::group(),
        shapes::layer(),
        shapes::rms(),
    ];
    let activations = [Activation::Relu, Activation::Silu, Activation::GeluTanh]
        .into_iter()
        .cycle();
    let norms = norms
        .into_iter()
        .flat_map(|norms| norms.into_iter().skip(1).step_by(9));
    let norms = norms
        .zip(activations)
        .map(|((norm, shape), activation)| (norm.with_activation(activation), shape));
    all_strategies(dtype, &norms.collect::<Vec<_>>(), true);
}

#[test]
fn f16_with_residual_and_activation() {
    surrounded(DType::F16);
}

#[test]
fn bf16_with_residual_and_activation() {
    surrounded(DType::BF16);
}
