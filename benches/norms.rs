//! Speed of every norm on this machine's GPU, beside a good CPU version and a plain copy of as many bytes.
//!
//! `cargo bench` runs everything, `cargo bench -- batch_norm/forward` some. Names are `{norm}/{pass}/{shape}/{what}`:
//!
//! - `copy`: a GPU copy of the bytes that the pass must move at least, the speed to reach; of several kernels the fastest
//! - `gpu`: this crate through [`wgpu_norm::Plan`]; the tensors stay on the device. After each sample its copy runs as often, and the
//!   summary's share of the copy is the median of these pairs: machines change their speed from second to second
//! - `cpu`: two passes in f32 over vectors of accumulators, on all cores; `RUSTFLAGS=-Ctarget-cpu=native` gives it the
//!   machine's widest vectors
//!
//! On an adapter that is the CPU, anything else that runs slows all of them down: shares mean something on an idle machine only.
//!
//! `gpu` and `copy` are device time by timestamps where the device has them, `cpu` is time on the clock. Throughput counts
//! the least bytes: input and output, and `grad_output` in the backward pass. Values are random, and several sets of buffers
//! take turns, which together have twice the bytes of the processor's last-level cache or 64 MiB more, or 256 MiB on a real GPU: no run
//! finds its data in a cache. Each case is compared with the f64 reference before it is timed. Real GPUs get large shapes too.
//!
//! Where the elements of a group do not lie beside each other (`channels_last`, and layer norm with `channels_first`), a norm whose
//! do, its twin, runs after each sample as well, and the summary has the share of its speed.
//!
//! What a shape ends in is more than the plain norm of f32 data, without `cpu`: the type of the data, `channels_last`, the activation,
//! `residual`, and so on. The pass `double_backward` is the second derivative.
//!
//! `host/{plan, finished, layer}/{pass}/{norm}/{shape}` is the processor time of recording.
//!
//! In the end comes a summary, on the terminal and as `summary.csv` and `summary.svg` in `target/criterion`: from the medians
//! of this run. It also says what the first use of a plan costs, the compilation, with `host` also after a warm-up; drivers keep compiled shaders on disk
//! (Mesa's does not with `MESA_SHADER_CACHE_DISABLE=true`).
//!
//! `cargo test` runs each case once, untimed, with a sixteenth of the batch, and writes nothing.

mod norms {
    pub(crate) mod cases;
    pub(crate) mod chart;
    pub(crate) mod copy;
    pub(crate) mod cpu;
    pub(crate) mod gpu;
    pub(crate) mod host;
    pub(crate) mod machine;
    pub(crate) mod set;
    pub(crate) mod shard;
    pub(crate) mod summary;
    pub(crate) mod timer;
}

use std::cell::{LazyCell, RefCell};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use norms::cases::{self, Pass, Problem};
use norms::machine::Machine;
use norms::summary::{self, Beside, Saved};
use norms::{copy::Copy, cpu::Cpu, gpu::Gpu, host};
use wgpu_norm::check::Case;

type Error = Box<dyn std::error::Error>;
type Result<T> = std::result::Result<T, Error>;
/// A norm, and its twin if it has one.
type WithTwin = (Gpu, Option<Gpu>);

fn main() -> Result<()> {
    // `cargo bench` passes --bench, `cargo test` does not.
    let given = |option| std::env::args().any(|argument| argument == option);
    let timed = given("--bench") && !given("--test");
    let machine = Machine::new(timed)?;
    let saved = Saved::from_now();
    let mut criterion = Criterion::default()
        .output_directory(saved.folder())
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
        .configure_from_args();
    let problems = problems(&machine, timed);
    // Batch norm, whose groups are split over several launches, and layer norm, whose are not.
    let recorded = [&problems[0], &problems[6]].map(Clone::clone);
    let beside = RefCell::default();
    for problem in &recorded {
        host::measure(&mut criterion, &machine, problem, &beside);
    }
    for problem in &problems {
        for passes in problem.passes().chunk_by(|a, b| a.mode() == b.mode()) {
            measure(&mut criterion, &machine, problem, passes, &beside);
        }
    }
    if timed {
        summary::write(&saved, &machine, &problems, &recorded, &beside.take())?;
    }
    Ok(())
}

fn problems(machine: &Machine, timed: bool) -> Vec<Problem> {
    let mut problems = cases::problems(if timed { 1 } else { 16 });
    if timed && machine.is_real_gpu() {
        for problem in cases::large_problems() {
            match machine.has_room(&problem.shape) {
                Ok(()) => problems.push(problem),
                Err(error) => eprintln!(
                    "left out: {} {:?}: {error}",
                    problem.norm.name(),
                    problem.shape
                ),
            }
        }
    }
    problems
}

/// Measures passes of one mode. What they need is made, and verified, when the first of them is chosen to run.
fn measure(
    criterion: &mut Criterion,
    machine: &Machine,
    problem: &Problem,
    passes: &[Pass],
    beside: &RefCell<Beside>,
) {
    let name = format!("{} {:?}", problem.norm.name(), problem.shape);
    let mode = passes[0].mode();
    let case = LazyCell::new(|| done(&name, problem.case(mode)));
    let verified = |problem: &Problem, case: &Case| {
        let sets = machine.gpu_sets(Pass::Forward.bytes(problem));
        done(&name, Gpu::verified(machine, problem, case, sets))
    };
    let with_twin = LazyCell::new(|| {
        let (gpu, first_use) = verified(problem, &case);
        beside.borrow_mut().first_uses.push(first_use);
        let twin = problem.twin.as_ref();
        let twin = twin.map(|twin| verified(twin, &done(&name, twin.case(mode))).0);
        (gpu, twin)
    });
    let sets = machine.cpu_sets(Pass::Forward.bytes(problem));
    let copies = LazyCell::new(|| vec![case.clone(); sets]);
    let mut cpu = LazyCell::new(|| done(&name, Cpu::verified(&copies)));
    for &pass in passes {
        measure_pass(
            criterion,
            machine,
            (problem, pass),
            (&with_twin, &mut cpu),
            beside,
        );
    }
}

fn measure_pass<'a>(
    criterion: &mut Criterion,
    machine: &Machine,
    (problem, pass): (&Problem, Pass),
    (with_twin, cpu): (
        &LazyCell<WithTwin, impl FnOnce() -> WithTwin>,
        &mut LazyCell<Cpu<'a>, impl FnOnce() -> Cpu<'a>>,
    ),
    beside: &RefCell<Beside>,
) {
    let bytes = pass.bytes(problem);
    let copy = LazyCell::new(|| done("copy", Copy::tuned(machine, bytes)));
    let mut group = criterion.benchmark_group(problem.group(pass));
    group.throughput(Throughput::Bytes(bytes));
    group.sampling_mode(SamplingMode::Flat);
    let id = |what| BenchmarkId::new(problem.size_name(), what);
    // Made before criterion's warm-up, which would otherwise be over at once.
    group.bench_function(id("copy"), |bencher| {
        let copy = LazyCell::force(&copy);
        bencher.iter_custom(|runs| done("copy", copy.time(&machine.timer, runs)));
    });
    group.bench_function(id("gpu"), |bencher| {
        let ((gpu, twin), copy) = (LazyCell::force(with_twin), LazyCell::force(&copy));
        bencher.iter_custom(|runs| {
            let time = done("gpu", gpu.time(&machine.timer, pass, runs));
            let of_copy = done("copy", copy.time(&machine.timer, runs));
            let share = of_copy.as_secs_f64() / time.as_secs_f64();
            beside.borrow_mut().share_of_copy(problem, pass, share);
            if let Some(twin) = twin {
                let of_twin = done("twin", twin.time(&machine.timer, pass, runs));
                let share = of_twin.as_secs_f64() / time.as_secs_f64();
                beside.borrow_mut().share_of_twin(problem, pass, share);
            }
            time
        });
    });
    if problem.is_plain() {
        group.bench_function(id("cpu"), |bencher| {
            let cpu = LazyCell::force_mut(cpu);
            bencher.iter(|| cpu.run(pass));
        });
    }
    group.finish();
}

/// The value, or the end of the program: criterion's closures cannot return errors.
fn done<T>(what: &str, result: Result<T>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("error: {what}: {error}");
        std::process::exit(1)
    })
}
