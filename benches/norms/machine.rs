//! What this machine is, and what it has room for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::time::SystemTime;

use wgpu_norm::{Context, Tensor, wgpu};

use super::cases::tensor_bytes;
use super::timer::Timer;
use crate::Result;

/// More than the last-level cache of nearly all GPUs: 50 MiB (H100) to 128 MiB (Radeon RX 6900 XT).
const GPU_FLUSH: u64 = 256 << 20;

/// Twice the processor's last-level cache, but no more than so much more: caches of a server's many cores take long to fill.
const MOST_MORE: u64 = 64 << 20;

/// Where the system does not tell the size of the processor's last-level cache.
const USUAL_CPU_CACHE: u64 = 64 << 20;

/// The verification in f64 takes this many times the bytes of one tensor on the host.
const VERIFICATION: u64 = 20;

/// The device, its clock, and the bytes that clear its caches and the processor's.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) context: Context,
    pub(crate) timer: Timer,
    /// Which copy is the fastest, by the bytes that it moves.
    pub(crate) fastest_copies: RefCell<HashMap<u64, usize>>,
    gpu_flush: Option<u64>,
    cpu_flush: Option<u64>,
}

impl Machine {
    /// Without `flush` two sets of buffers take turns.
    pub(crate) fn new(flush: bool) -> Result<Self> {
        let context = Context::new()?;
        let cpu_flush = cpu_cache() + cpu_cache().min(MOST_MORE);
        let gpu_flush = match is_real_gpu(&context) {
            true => GPU_FLUSH,
            false => cpu_flush,
        };
        Ok(Self {
            timer: Timer::new(&context),
            fastest_copies: RefCell::default(),
            gpu_flush: flush.then_some(gpu_flush),
            cpu_flush: flush.then_some(cpu_flush),
            context,
        })
    }

    pub(crate) fn is_real_gpu(&self) -> bool {
        is_real_gpu(&self.context)
    }

    /// Sets of buffers of `bytes` to take turns, so that each is out of the device's caches when its turn comes again.
    pub(crate) fn gpu_sets(&self, bytes: u64) -> usize {
        sets(self.gpu_flush, bytes)
    }

    /// The same for the processor.
    pub(crate) fn cpu_sets(&self, bytes: u64) -> usize {
        sets(self.cpu_flush, bytes)
    }

    /// Name, driver and backend of the device.
    pub(crate) fn device(&self) -> String {
        let info = self.context.adapter_info();
        let driver = format!("{} {}", info.driver, info.driver_info);
        format!("{}, {}, {}", info.name, driver.trim(), info.backend)
    }

    /// How times are taken.
    pub(crate) fn method(&self) -> String {
        let flush = |bytes: Option<u64>| bytes.unwrap_or_default() >> 20;
        format!(
            "gpu and copy: {}, buffers of {} MiB or more in turn; cpu: {} threads, {} MiB or more in turn",
            self.timer.method(),
            flush(self.gpu_flush),
            rayon::current_num_threads(),
            flush(self.cpu_flush),
        )
    }

    /// `Err` if device or host lack the memory to measure and to verify a norm on `shape`.
    pub(crate) fn has_room(&self, shape: &[usize]) -> Result<()> {
        // Four tensors for the norm; the copy's two have one and a half times the elements.
        let mut half_larger = shape.to_vec();
        half_larger[0] = shape[0].div_ceil(2) * 3;
        let shapes = [shape, shape, shape, shape, &half_larger, &half_larger];
        let tensors = shapes.map(|shape| Tensor::uninit(&self.context, shape));
        for tensor in &tensors {
            tensor.as_ref().map_err(ToString::to_string)?;
        }
        if tensor_bytes(&half_larger) > self.context.caps().max_binding_size {
            return Err("the copy binds more than the device can".into());
        }
        let needed = VERIFICATION * tensor_bytes(shape);
        match available_memory() {
            Some(available) if available < needed => {
                Err(format!("its verification needs {} GiB of memory", needed >> 30).into())
            }
            _ => Ok(()),
        }
    }
}

/// Today, in UTC.
pub(crate) fn date() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.chars().take_while(|&c| c != 'T').collect()
}

fn is_real_gpu(context: &Context) -> bool {
    context.adapter_info().device_type != wgpu::DeviceType::Cpu
}

fn sets(flush: Option<u64>, bytes: u64) -> usize {
    flush.map_or(2, |flush| flush.div_ceil(bytes).max(1) as usize)
}

/// Bytes of the processor's last-level cache.
fn cpu_cache() -> u64 {
    let size = |index| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim().strip_suffix('K')?.parse::<u64>().ok()? << 10)
    };
    (0..5).filter_map(size).max().unwrap_or(USUAL_CPU_CACHE)
}

/// Where the system is Linux.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}
