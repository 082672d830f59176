//! Time that the device spends, by its own clock where it has one.

use std::time::{Duration, Instant};

use wgpu_norm::{Context, wgpu};

use crate::Result;

/// Runs per submission: enough for the cost of submitting to vanish where there are no timestamps.
const RUNS: u64 = 32;

const BYTES: u64 = 2 * RUNS * 8;

/// Times what is recorded.
#[derive(Debug)]
pub(crate) struct Timer {
    context: Context,
    clock: Option<Clock>,
}

/// Timestamps, before and after each run.
#[derive(Debug)]
struct Clock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    mapped: wgpu::Buffer,
    nanoseconds: f64,
}

impl Timer {
    pub(crate) fn new(context: &Context) -> Self {
        let device = context.device();
        let timestamps = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        Self {
            context: context.clone(),
            clock: timestamps.then(|| Clock::new(device, context.queue())),
        }
    }

    /// In words.
    pub(crate) const fn method(&self) -> &'static str {
        match self.clock {
            Some(_) => "device time by timestamps",
            None => "time from recording to completion, 32 runs per submission",
        }
    }

    /// The time of this many runs of what `record` records. Runs must be made to wait for each other by a buffer that all of
    /// them write.
    pub(crate) fn time(
        &self,
        runs: u64,
        mut record: impl FnMut(&mut wgpu::CommandEncoder) -> Result<()>,
    ) -> Result<Duration> {
        let mut total = Duration::ZERO;
        let mut left = runs;
        while left > 0 {
            let runs = left.min(RUNS);
            total += self.submission(runs, &mut record)?;
            left -= runs;
        }
        Ok(total)
    }

    fn submission(
        &self,
        runs: u64,
        record: &mut impl FnMut(&mut wgpu::CommandEncoder) -> Result<()>,
    ) -> Result<Duration> {
        let (device, start) = (self.context.device(), Instant::now());
        let mut encoder = device.create_command_encoder(&Default::default());
        for run in 0..runs as u32 {
            self.stamp(&mut encoder, 2 * run);
            record(&mut encoder)?;
            self.stamp(&mut encoder, 2 * run + 1);
        }
        if let Some(clock) = &self.clock {
            let stamps = 0..2 * runs as u32;
            encoder.resolve_query_set(&clock.queries, stamps, &clock.resolved, 0);
            encoder.copy_buffer_to_buffer(&clock.resolved, 0, &clock.mapped, 0, BYTES);
        }
        self.context.queue().submit([encoder.finish()]);
        match &self.clock {
            Some(clock) => clock.read(device, runs),
            None => {
                device.poll(wgpu::PollType::wait_indefinitely())?;
                Ok(start.elapsed())
            }
        }
    }

    /// An empty pass: timestamps between passes are a feature that fewer devices have.
    fn stamp(&self, encoder: &mut wgpu::CommandEncoder, index: u32) {
        if let Some(clock) = &self.clock {
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("timestamp"),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &clock.queries,
                    beginning_of_pass_write_index: Some(index),
                    end_of_pass_write_index: None,
                }),
            });
        }
    }
}

impl Clock {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * RUNS as u32,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            mapped: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            nanoseconds: queue.get_timestamp_period().into(),
        }
    }

    /// Waits, and adds up the runs.
    fn read(&self, device: &wgpu::Device, runs: u64) -> Result<Duration> {
        let stamped = self.mapped.slice(..16 * runs);
        stamped.map_async(wgpu::MapMode::Read, |_| {});
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let bytes = stamped.get_mapped_range()?.to_vec();
        self.mapped.unmap();
        let (stamps, _) = bytes.as_chunks::<8>();
        let mut ticks = 0;
        for pair in stamps.chunks(2) {
            let [start, end] = [pair[0], pair[1]].map(u64::from_le_bytes);
            if end <= start {
                return Err(format!("the device's clock went from {start} to {end}").into());
            }
            ticks += end - start;
        }
        Ok(Duration::from_nanos(
            (ticks as f64 * self.nanoseconds) as u64,
        ))
    }
}
