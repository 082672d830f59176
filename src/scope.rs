//! wgpu's errors as `Err`s, by error scopes: the handlers of the device's owner are left alone.

use std::pin::pin;
use std::task::{self, Poll, Waker};

use crate::error::{Error, Result};

/// Runs `create` and returns what wgpu has to say against it. `bytes` is the memory asked for.
pub(crate) fn scoped<T>(
    device: &wgpu::Device,
    what: &str,
    bytes: u64,
    create: impl FnOnce() -> T,
) -> Result<T> {
    let out_of_memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let value = create();
    let rejected = [validation, internal].map(|scope| now(scope.pop()).flatten());
    if now(out_of_memory.pop()).flatten().is_some() {
        return Err(Error::OutOfMemory { bytes });
    }
    match rejected.into_iter().flatten().next() {
        Some(_) if is_lost(device) => Err(Error::DeviceLost(format!("noticed in {what}"))),
        Some(error) => Err(Error::Rejected {
            what: what.to_owned(),
            reason: error.to_string(),
        }),
        None => Ok(value),
    }
}

/// Whether the device is lost, without its owner's callback: a lost device makes invalid buffers without an error,
/// which shows when one is used.
fn is_lost(device: &wgpu::Device) -> bool {
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let probe = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgpu-norm.probe"),
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    probe.map_async(wgpu::MapMode::Read, .., |_| {});
    now(scope.pop()).flatten().is_some()
}

/// The output of a future that is ready at once, as those of error scopes are everywhere but in browsers;
/// there the error goes to the device's own handler.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
