//! A device with its capabilities and compiled pipelines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::adapter;
use crate::allocator::keep_freed_memory;
use crate::caps::Caps;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::pipeline::{self, Pipeline};
use crate::source::Variant;
use crate::tune::Book;

/// A wgpu device and queue, what they can do, and the pipelines compiled so far.
///
/// Cheap to clone, usable from many threads at once. Clones share the device and its pipelines.
#[derive(Debug, Clone)]
pub struct Context {
    shared: Arc<Shared>,
    caps: Caps,
}

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    caps: Caps,
    pipelines: Mutex<HashMap<(Kernel, Variant, bool), Arc<Pipeline>>>,
    compile_time: Mutex<Duration>,
    tunings: Mutex<Book>,
    /// `None` where the device has no such thing.
    cache: Mutex<Option<wgpu::PipelineCache>>,
    /// A poll of a destroyed device frees all its buffers, those too that another thread has mapped and is reading.
    polls: RwLock<()>,
    /// Why the device was lost. Only heard of on devices of our own: others have their owner's handler.
    lost: Arc<OnceLock<String>>,
}

impl Context {
    /// Chooses an adapter, without a window, and creates a device with all the limits that it has.
    ///
    /// Real GPUs come before software ones. The standard variables `WGPU_BACKEND`, `WGPU_ADAPTER_NAME` and
    /// `WGPU_POWER_PREF` narrow the choice. Blocks; in browsers use [`Context::new_async`].
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is none, [`Error::NoDevice`] if it refuses.
    pub fn new() -> Result<Self> {
        pollster::block_on(Self::new_async())
    }

    /// [`Context::new`] without blocking.
    ///
    /// # Errors
    /// Those of [`Context::new`].
    pub async fn new_async() -> Result<Self> {
        let (device, queue) = adapter::request_device().await?;
        let context = Self::from_wgpu(device, queue)?;
        let lost = context.shared.lost.clone();
        context
            .device()
            .set_device_lost_callback(move |reason, message| {
                let _ = lost.set(format!("{reason:?}: {message}"));
            });
        Ok(context)
    }

    /// Uses the caller's device and queue. Its error handlers are left alone.
    ///
    /// The device should have been requested with the adapter's limits rather than the defaults, and with the feature
    /// `SUBGROUP`, for tensors of f16 `SHADER_F16`, and for software devices `SHADER_INT64`, where there are any: the capabilities used are those
    /// of the device, not of the adapter.
    ///
    /// For a software device 31 MiB are allocated and freed, untouched, so that glibc keeps the memory that the driver takes for each workgroup.
    ///
    /// Make one context per device and clone it: tensors of two contexts do not mix, even if both were made from one device,
    /// since wgpu does not say whether two devices are the same.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device has fewer storage buffers per stage than the kernels need.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let caps = Caps::of(&device);
        let needed = crate::kernel::MOST_SLOTS;
        if caps.max_storage_buffers < needed {
            return Err(Error::Limit {
                what: "a kernel".to_owned(),
                needed: needed.into(),
                limit: "max_storage_buffers_per_shader_stage",
                allowed: caps.max_storage_buffers.into(),
            });
        }
        if caps.cpu {
            keep_freed_memory();
        }
        let has_cache = device.features().contains(wgpu::Features::PIPELINE_CACHE);
        // Only an optimization: a device that gives none works without.
        let cache = has_cache.then(|| pipeline::new_cache(&device, None));
        let cache = cache.and_then(Result::ok);
        Ok(Self {
            shared: Arc::new(Shared {
                info: device.adapter_info(),
                cache: Mutex::new(cache),
                device,
                queue,
                caps,
                pipelines: Mutex::default(),
                compile_time: Mutex::default(),
                tunings: Mutex::default(),
                polls: RwLock::default(),
                lost: Arc::default(),
            }),
            caps,
        })
    }

    /// The same device, used as if it had only `caps`: to run here what other devices will run.
    ///
    /// # Errors
    /// [`Error::Limit`] if `caps` has more than the device, [`Error::Value`] if it aligns less.
    pub fn with_caps(&self, caps: Caps) -> Result<Self> {
        let has = self.shared.caps;
        let over = |limit, needed: u64, allowed: u64| {
            if needed <= allowed {
                return Ok(());
            }
            Err(Error::Limit {
                what: "the capabilities asked for".to_owned(),
                needed,
                limit,
                allowed,
            })
        };
        over(
            "max_compute_invocations_per_workgroup",
            caps.max_workgroup_size.into(),
            has.max_workgroup_size.into(),
        )?;
        over(
            "max_compute_workgroups_per_dimension",
            caps.max_workgroups_per_dimension.into(),
            has.max_workgroups_per_dimension.into(),
        )?;
        over(
            "max_storage_buffer_binding_size",
            caps.max_binding_size,
            has.max_binding_size,
        )?;
        over("max_buffer_size", caps.max_buffer_size, has.max_buffer_size)?;
        for (name, asked, least) in [
            (
                "offset_alignment",
                caps.offset_alignment,
                has.offset_alignment,
            ),
            (
                "uniform_alignment",
                caps.uniform_alignment,
                has.uniform_alignment,
            ),
        ] {
            if !asked.is_multiple_of(least) {
                return Err(Error::Value {
                    name,
                    expected: "a multiple of the device's",
                    got: format!("{asked}, where the device's is {least}"),
                });
            }
        }
        if caps.subgroups.is_some() && caps.subgroups != has.subgroups {
            return Err(Error::Unexpected(
                "subgroups",
                "the device has none, or of other sizes",
            ));
        }
        for (name, asked, has) in [
            ("shader_f16", caps.shader_f16, has.shader_f16),
            ("shader_int64", caps.shader_int64, has.shader_int64),
        ] {
            if asked && !has {
                return Err(Error::Unexpected(name, "the device has no such type"));
            }
        }
        Ok(Self {
            shared: self.shared.clone(),
            caps,
        })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// Name, driver and backend of the adapter.
    #[must_use]
    pub fn adapter_info(&self) -> &wgpu::AdapterInfo {
        &self.shared.info
    }

    /// The capabilities that decide how a problem is split.
    #[must_use]
    pub const fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Number of pipelines compiled so far.
    #[must_use]
    pub fn pipeline_count(&self) -> usize {
        self.pipelines().len()
    }

    /// The time that compiling these took, added up over all threads. Drivers that compile at the first launch of a pipeline, as
    /// Mesa's lavapipe, do so later, outside it; the times of [`Plan::warm_up`](crate::Plan::warm_up) have both. Zero in browsers.
    #[must_use]
    pub fn compile_time(&self) -> Duration {
        *self.compile_time_lock()
    }

    fn compile_time_lock(&self) -> MutexGuard<'_, Duration> {
        let time = &self.shared.compile_time;
        time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not by comparing devices: those of two instances of wgpu may compare equal.
    pub(crate) fn is_same_device(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Lets the device make progress, when nobody reads mapped memory.
    pub(crate) fn poll(&self, how: wgpu::PollType) -> Result<()> {
        let polls = &self.shared.polls;
        let _alone = polls.write().unwrap_or_else(PoisonError::into_inner);
        let polled = self.device().poll(how);
        polled.map_err(|error| Error::DeviceLost(error.to_string()))?;
        Ok(())
    }

    /// No poll of this context until the guard is dropped.
    pub(crate) fn hold_polls(&self) -> RwLockReadGuard<'_, ()> {
        let polls = &self.shared.polls;
        polls.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Err` if the device is known to be lost.
    pub(crate) fn check_lost(&self) -> Result<()> {
        match self.shared.lost.get() {
            Some(reason) => Err(Error::DeviceLost(reason.clone())),
            None => Ok(()),
        }
    }

    /// The pipeline of a kernel variant, compiled at its first use, and whether this was it.
    pub(crate) fn pipeline(
        &self,
        kernel: Kernel,
        variant: &Variant,
        shared: bool,
    ) -> Result<(Arc<Pipeline>, bool)> {
        let key = (kernel, *variant, shared);
        if let Some(pipeline) = self.pipelines().get(&key) {
            return Ok((pipeline.clone(), false));
        }
        // Compiled outside the lock: others need not wait. Of two threads that compile the same, the first one's stays.
        let clock = Clock::start();
        let cache = self.pipeline_cache();
        let pipeline = Pipeline::new(self.device(), kernel, variant, shared, cache.as_ref())?;
        let pipeline = Arc::new(pipeline);
        *self.compile_time_lock() += clock.elapsed();
        Ok((
            self.pipelines().entry(key).or_insert(pipeline).clone(),
            true,
        ))
    }

    /// The choices of autotuning.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        let tunings = self.shared.tunings.lock();
        tunings.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pipeline_cache(&self) -> Option<wgpu::PipelineCache> {
        let cache = self.shared.cache.lock();
        cache.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_pipeline_cache(&self, cache: wgpu::PipelineCache) {
        let slot = self.shared.cache.lock();
        *slot.unwrap_or_else(PoisonError::into_inner) = Some(cache);
    }

    fn pipelines(&self) -> MutexGuard<'_, HashMap<(Kernel, Variant, bool), Arc<Pipeline>>> {
        // A map is whole even if another thread panicked while it held the lock.
        self.shared
            .pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
