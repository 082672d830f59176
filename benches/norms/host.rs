//! What recording costs the processor: plans and layers that were used before, into encoders that are never submitted.
//!
//! - `host/plan`: the calls of [`wgpu_norm::Plan`] alone; wgpu only takes notes in them
//! - `host/finished`: these between the making of the encoder and its `finish`, where wgpu validates and writes the commands
//! - `host/layer`: the calls of [`wgpu_norm::Layer`], which allocate their results

use std::cell::{LazyCell, RefCell};

use criterion::{BatchSize, BenchmarkId, Criterion};
use wgpu_norm::{Mode, wgpu};

use super::cases::{Pass, Problem, shape_name};
use super::gpu::{FirstUse, Gpu};
use super::machine::Machine;
use super::summary::Beside;
use crate::{Result, done};

/// The passes recorded together, and their name.
const RECORDED: [(&str, &[Pass]); 3] = [
    ("forward", &[Pass::Forward]),
    ("backward", &[Pass::Backward]),
    ("forward+backward", &[Pass::Forward, Pass::Backward]),
];

const LEVELS: [&str; 3] = ["host/plan", "host/finished", "host/layer"];

/// The parts of the names of what is measured.
pub(crate) fn names(problem: &Problem) -> Vec<(&'static str, &'static str, String)> {
    let name = format!("{}/{}", problem.norm.name(), shape_name(&problem.shape));
    let of = |level| RECORDED.map(|(passes, _)| (level, passes, name.clone()));
    LEVELS.into_iter().flat_map(of).collect()
}

pub(crate) fn measure(
    criterion: &mut Criterion,
    machine: &Machine,
    problem: &Problem,
    beside: &RefCell<Beside>,
) {
    let gpu = LazyCell::new(|| {
        let (gpu, first_use) = done("host", warm(machine, problem));
        beside.borrow_mut().first_uses.push(first_use);
        gpu
    });
    for ((level, passes, name), (_, recorded)) in
        names(problem).into_iter().zip(RECORDED.iter().cycle())
    {
        let mut group = criterion.benchmark_group(level);
        let id = BenchmarkId::new(passes, &name);
        let encoder = || {
            let device = machine.context.device();
            device.create_command_encoder(&Default::default())
        };
        group.bench_function(id, |bencher| {
            let gpu = LazyCell::force(&gpu);
            match level {
                "host/plan" => bencher.iter_batched_ref(
                    encoder,
                    |encoder| done(level, plan(gpu, encoder, recorded)),
                    BatchSize::PerIteration,
                ),
                "host/finished" => bencher.iter_batched(
                    || (),
                    |()| {
                        let mut encoder = encoder();
                        done(level, plan(gpu, &mut encoder, recorded));
                        encoder.finish()
                    },
                    BatchSize::PerIteration,
                ),
                _ => layer(bencher, gpu, encoder, recorded),
            }
        });
        group.finish();
    }
}

/// After a forward and a backward pass, and what these took with and without a warm-up before.
fn warm(machine: &Machine, problem: &Problem) -> Result<(Gpu, FirstUse)> {
    let case = problem.case(Mode::TRAINING)?;
    let warmed_up = Gpu::new(&machine.context, problem, &case, 1)?.warmed_up(&case)?;
    let gpu = Gpu::new(&machine.context, problem, &case, 1)?;
    let first_use = gpu.first_use(problem, &case)?;
    let with_warm_up = FirstUse {
        warmed_up: Some(warmed_up),
        ..first_use
    };
    Ok((gpu, with_warm_up))
}

fn plan(gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, passes: &[Pass]) -> Result<()> {
    passes
        .iter()
        .try_for_each(|&pass| gpu.record(encoder, pass, 0))
}

fn layer(
    bencher: &mut criterion::Bencher<'_>,
    gpu: &Gpu,
    encoder: impl Fn() -> wgpu::CommandEncoder,
    passes: &[Pass],
) {
    let (layer, input, grad_output) = gpu.layer();
    let forward = layer.record_forward(&mut encoder(), input, Mode::TRAINING);
    let saved = done("host/layer", forward.map_err(Into::into)).saved;
    let record = |encoder: &mut wgpu::CommandEncoder| -> Result<_> {
        let forward = passes.contains(&Pass::Forward);
        let forward = forward.then(|| layer.record_forward(encoder, input, Mode::TRAINING));
        let forward = forward.transpose()?;
        let saved = forward.as_ref().map_or(&saved, |forward| &forward.saved);
        let backward = passes.contains(&Pass::Backward);
        let backward = backward.then(|| layer.record_backward(encoder, saved, grad_output));
        let backward = backward.transpose()?;
        Ok((forward, backward))
    };
    bencher.iter_batched_ref(
        encoder,
        |encoder| done("host/layer", record(encoder)),
        BatchSize::PerIteration,
    );
}
