pub(crate) mod cases;
mod members;
pub(crate) mod shapes;

pub(crate) use members::{channel_of, group_of};

use std::sync::{Mutex, PoisonError};

use wgpu_norm::check::{Case, Report, run};
use wgpu_norm::{Caps, Context, Error, Mode, Norm, Strategy};

/// Bound on the error of every result relative to its norm, at any offset of the input tested:
/// 2⁻²⁴ is 6e-8; the longest chains of sums of the kernels cost some ten of these.
pub(crate) const TOLERANCE: f64 = 2e-6;

/// The device of this thread's test, on which others ran before. Software drivers compile on one thread of a device: tests that run
/// beside each other have devices of their own. Threads that a test starts must be given its device.
pub(crate) fn context() -> &'static Context {
    thread_local! {
        static LEASE: Lease = Lease::new();
    }
    LEASE.with(|lease| lease.context)
}

/// A device for the time that a thread lives.
struct Lease {
    context: &'static Context,
}

static FREE: Mutex<Vec<&'static Context>> = Mutex::new(Vec::new());

impl Lease {
    fn new() -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self {
            context: free.unwrap_or_else(|| Box::leak(Box::new(new_context()))),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A software driver that still compiles when the process ends may crash it: LLVM's own data go first. On a thread of its own,
        // since what belongs to this one is going already.
        let idle = || {
            self.context
                .device()
                .poll(wgpu::PollType::wait_indefinitely())
        };
        let _ = std::thread::scope(|scope| scope.spawn(idle).join());
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(self.context);
    }
}

/// Another device of the same adapter. With `WGPU_NORM_TEST_LIMITS=webgpu` it has no features and WebGPU's default limits.
pub(crate) fn new_context() -> Context {
    let context = Context::new().unwrap_or_else(|error| panic!("{error}"));
    match std::env::var("WGPU_NORM_TEST_LIMITS").as_deref() {
        Err(_) => context,
        Ok("webgpu") => with_default_limits(context.adapter_info()),
        Ok(other) => panic!("WGPU_NORM_TEST_LIMITS={other:?}: it can be \"webgpu\" only"),
    }
}

fn with_default_limits(info: &wgpu::AdapterInfo) -> Context {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let backends = descriptor.backends;
    let instance = wgpu::Instance::new(descriptor);
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    let adapter = adapters.into_iter().find(|a| a.get_info() == *info);
    let device = adapter
        .unwrap()
        .request_device(&wgpu::DeviceDescriptor::default());
    let (device, queue) = pollster::block_on(device).unwrap();
    Context::from_wgpu(device, queue).unwrap()
}

/// The device as it is, and told to behave as others: the ladder's rungs for GPUs and for CPUs, with and without subgroups.
pub(crate) fn devices() -> Vec<(&'static str, Context)> {
    devices_of(context())
}

/// The same for a test that compiles many pipelines: they go with its device. On lavapipe a thousand of them take a gigabyte or two.
pub(crate) fn own_devices() -> Vec<(&'static str, Context)> {
    devices_of(&new_context())
}

pub(crate) fn devices_of(context: &Context) -> Vec<(&'static str, Context)> {
    let own = *context.caps();
    let gpu = Caps {
        cpu: false,
        max_workgroup_size: own.max_workgroup_size.min(256),
        ..own
    };
    let all = [
        ("own", own),
        ("gpu", gpu),
        (
            "gpu without subgroups",
            Caps {
                subgroups: None,
                ..gpu
            },
        ),
        (
            "cpu without subgroups",
            Caps {
                subgroups: None,
                cpu: true,
                ..own
            },
        ),
    ];
    let mut devices: Vec<(&'static str, Context)> = Vec::new();
    for (name, caps) in all {
        // Without subgroups some are the same.
        if devices.iter().any(|(_, context)| *context.caps() == caps) {
            continue;
        }
        match context.with_caps(caps) {
            Ok(context) => devices.push((name, context)),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    devices
}

/// A device and the strategies to try on it.
pub(crate) type Turn<'a> = (&'static str, &'a Context, Vec<Option<Strategy>>);

/// For the problem of number `turn`: the first device with all strategies, and by turns another one with the ladder's choice and one strategy.
/// Most of the time goes into compiling; `WGPU_NORM_TEST_DEVICES=all` has all strategies on all devices.
pub(crate) fn by_turns<'a>(devices: &'a [(&'static str, Context)], turn: usize) -> Vec<Turn<'a>> {
    let all = match std::env::var("WGPU_NORM_TEST_DEVICES").as_deref() {
        Err(_) => false,
        Ok("all") => true,
        Ok(other) => panic!("WGPU_NORM_TEST_DEVICES={other:?}: it can be \"all\" only"),
    };
    let others = devices.len() - 1;
    let mut turns = Vec::new();
    for (number, (name, context)) in devices.iter().enumerate() {
        if all || number == 0 {
            turns.push((*name, context, STRATEGIES.to_vec()));
        } else if number - 1 == turn % others {
            let one = STRATEGIES[1 + turn / others % 3];
            turns.push((*name, context, vec![None, one]));
        }
    }
    turns
}

/// Without running statistics all modes are the same.
pub(crate) fn modes(norm: &Norm) -> impl Iterator<Item = Mode> + use<> {
    let number = 1 + usize::from(norm.tracks_running_stats());
    [Mode::TRAINING, Mode::EVAL].into_iter().take(number)
}

/// The ladder's choice and every strategy.
pub(crate) const STRATEGIES: [Option<Strategy>; 4] = [
    None,
    Some(Strategy::Resident),
    Some(Strategy::Looped),
    Some(Strategy::Split),
];

/// Runs the case, or nothing if its strategy cannot carry the shape. Panics if anything is wrong.
pub(crate) fn check(device: &str, context: &Context, case: &Case) -> Option<Report> {
    judge(device, case, run(context, case))
}

/// The report of a run that went well, nothing if its strategy cannot carry the shape.
pub(crate) fn judge(device: &str, case: &Case, report: Result<Report, Error>) -> Option<Report> {
    match report {
        Ok(report) => {
            let bad = report.rows.iter().filter(|row| row.error > TOLERANCE);
            let bad: Vec<_> = bad.collect();
            assert!(
                bad.is_empty(),
                "{device}: {:?}: {bad:#?}",
                (&case.norm, case.mode)
            );
            Some(report)
        }
        Err(Error::Strategy { .. }) if case.strategy.is_some() => None,
        Err(error) => panic!("{device}: {:?} {:?}: {error}", case.norm, case.shape),
    }
}

pub(crate) fn encoder(context: &Context) -> wgpu::CommandEncoder {
    let descriptor = wgpu::CommandEncoderDescriptor::default();
    context.device().create_command_encoder(&descriptor)
}
