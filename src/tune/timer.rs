//! Time that the device spends, by its own clock where it has one.

use std::time::Duration;

use crate::clock::Clock;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::scope::scoped;

/// Times what is recorded.
pub(super) struct Timer<'a> {
    context: &'a Context,
    stamps: Option<Stamps>,
}

struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    mapped: wgpu::Buffer,
    nanoseconds: f64,
}

/// Two timestamps of 8 bytes.
const BYTES: u64 = 16;

impl<'a> Timer<'a> {
    pub(super) fn new(context: &'a Context) -> Result<Self> {
        let device = context.device();
        let has = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let stamps = has.then(|| scoped(device, "timestamps", BYTES, || Stamps::new(context)));
        Ok(Self {
            context,
            stamps: stamps.transpose()?,
        })
    }

    pub(super) const fn has_timestamps(&self) -> bool {
        self.stamps.is_some()
    }

    /// The time of what `record` records, in a submission of its own that is waited for.
    pub(super) fn time(
        &self,
        record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>,
    ) -> Result<Duration> {
        let (context, clock) = (self.context, Clock::start());
        let device = context.device();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("wgpu-norm.autotune"),
        });
        self.stamp(&mut encoder, 0);
        record(&mut encoder)?;
        self.stamp(&mut encoder, 1);
        if let Some(stamps) = &self.stamps {
            encoder.resolve_query_set(&stamps.queries, 0..2, &stamps.resolved, 0);
            encoder.copy_buffer_to_buffer(&stamps.resolved, 0, &stamps.mapped, 0, BYTES);
        }
        scoped(device, "autotuning", 0, || {
            context.queue().submit([encoder.finish()]);
            if let Some(stamps) = &self.stamps {
                stamps.mapped.map_async(wgpu::MapMode::Read, .., |_| {});
            }
        })?;
        context.poll(wgpu::PollType::wait_indefinitely())?;
        let elapsed = clock.elapsed();
        match &self.stamps {
            Some(stamps) => stamps.read(context),
            None => Ok(elapsed),
        }
    }

    /// An empty pass: timestamps between passes are a feature that fewer devices have.
    fn stamp(&self, encoder: &mut wgpu::CommandEncoder, index: u32) {
        if let Some(stamps) = &self.stamps {
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("timestamp"),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &stamps.queries,
                    beginning_of_pass_write_index: Some(index),
                    end_of_pass_write_index: None,
                }),
            });
        }
    }
}

impl Stamps {
    fn new(context: &Context) -> Self {
        let device = context.device();
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgpu-norm.timestamps"),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("wgpu-norm.timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            mapped: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            nanoseconds: context.queue().get_timestamp_period().into(),
        }
    }

    fn read(&self, context: &Context) -> Result<Duration> {
        let ticks = {
            let _no_poll = context.hold_polls();
            let view = self.mapped.get_mapped_range(..);
            let view = view.map_err(|error| Error::DeviceLost(error.to_string()))?;
            let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
            // A clock that goes backwards measures nothing.
            stamps[1].saturating_sub(stamps[0])
        };
        self.mapped.unmap();
        Ok(Duration::from_nanos(
            (ticks as f64 * self.nanoseconds) as u64,
        ))
    }
}
