//! Speed of every norm on this machine's GPU, beside a good CPU version and a plain copy of as many bytes.
//!
//! `cargo bench` runs everything, `cargo bench -- batch_norm/forward` some. Names are `{norm}/{pass}/{shape}/{what}`:
//!
//! - `gpu`: this crate through [`wgpu_norm::Plan`]; the tensors stay on the device, each iteration records, submits, waits
//! - `cpu`: two passes in f32 over vectors of accumulators, on all cores; `RUSTFLAGS=-Ctarget-cpu=native` gives it the
//!   machine's widest vectors
//! - `copy`: a GPU copy of the bytes that the pass must move at least, the speed to reach. On an adapter that is the CPU,
//!   anything else that runs slows it down too: shares of it mean something on an idle machine only
//!
//! Throughput counts these least bytes: input and output, and `grad_output` in the backward pass. Values are random.
//! Each case is compared with the f64 reference before it is timed. `cargo test` runs each case once, untimed, with a
//! sixteenth of the batch.

mod norms {
    pub(crate) mod cases;
    pub(crate) mod copy;
    pub(crate) mod cpu;
    pub(crate) mod gpu;
}

use std::cell::LazyCell;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use norms::cases::{self, Pass, Problem};
use norms::{copy::Copy, cpu::Cpu, gpu::Gpu};
use wgpu_norm::Context;

/// Norm-wise distance to the f64 reference. The worst found: 3.3e-7 on the GPU (lavapipe), 3.1e-6 in the CPU version's
/// bias gradient of 65,536 rows, which it adds one after the other.
const TOLERANCE: f64 = 1e-5;

fn main() -> wgpu_norm::Result<()> {
    // `cargo bench` passes --bench, `cargo test` does not.
    let timed = std::env::args().any(|argument| argument == "--bench");
    let context = Context::new()?;
    // 96 measurements of 2 seconds, and as much again for verification: 4 minutes.
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
        .configure_from_args();
    for problem in cases::problems(if timed { 1 } else { 16 }) {
        let passes = problem.passes();
        for mode_passes in passes.chunk_by(|a, b| a.mode() == b.mode()) {
            measure(&mut criterion, &context, &problem, mode_passes);
        }
    }
    criterion.final_summary();
    Ok(())
}

/// Measures passes of one mode. What they need is made, and verified, when the first of them is chosen to run.
fn measure(criterion: &mut Criterion, context: &Context, problem: &Problem, passes: &[Pass]) {
    let case = LazyCell::new(|| {
        problem
            .case(passes[0].mode())
            .expect("shapes fit their norms")
    });
    let gpu = LazyCell::new(|| Gpu::verified(context, &case).expect("the device works"));
    let mut cpu = LazyCell::new(|| Cpu::verified(&case).expect("shapes fit their norms"));
    for &pass in passes {
        let bytes = pass.bytes(&problem.shape);
        let copy = LazyCell::new(|| Copy::verified(context, bytes).expect("the device works"));
        let mut group =
            criterion.benchmark_group(format!("{}/{}", problem.norm.name(), pass.name()));
        group.throughput(Throughput::Bytes(bytes));
        let id = |what| BenchmarkId::new(problem.shape_name(), what);
        group.bench_function(id("gpu"), |bencher| bencher.iter(|| gpu.run(pass)));
        group.bench_function(id("cpu"), |bencher| {
            let cpu = LazyCell::force_mut(&mut cpu);
            bencher.iter(|| cpu.run(pass));
        });
        group.bench_function(id("copy"), |bencher| bencher.iter(|| copy.run()));
        group.finish();
    }
}
