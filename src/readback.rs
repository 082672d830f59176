//! Copying a tensor to the CPU, blocking or not.

use std::task::Poll;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use crate::error::{Error, Result};
use crate::scope::scoped;
use crate::tensor::Tensor;

type Mapped = std::result::Result<(), wgpu::BufferAsyncError>;

/// A copy that is under way.
struct Pending {
    staging: wgpu::Buffer,
    mapped: OneshotReceiver<Mapped>,
}

/// The values of `tensor`; waits for the device.
pub(crate) fn blocking<T: bytemuck::Pod>(tensor: &Tensor) -> Result<Vec<T>> {
    let Some(pending) = start(tensor)? else {
        return Ok(Vec::new());
    };
    let context = tensor.context();
    context.poll(wgpu::PollType::wait_indefinitely())?;
    let mapped = pollster::block_on(pending.mapped.receive());
    finish(tensor, &pending, mapped)
}

/// The values of `tensor`; lets others run while the device works.
pub(crate) async fn cooperative<T: bytemuck::Pod>(tensor: &Tensor) -> Result<Vec<T>> {
    let Some(pending) = start(tensor)? else {
        return Ok(Vec::new());
    };
    let own = tensor.context();
    let mapped = {
        let mut received = std::pin::pin!(pending.mapped.receive());
        std::future::poll_fn(|context| {
            if let Poll::Ready(mapped) = received.as_mut().poll(context) {
                return Poll::Ready(Ok(mapped));
            }
            if let Err(error) = own.poll(wgpu::PollType::Poll) {
                return Poll::Ready(Err(error));
            }
            // A native device makes progress only when polled; a browser's wakes us itself.
            if !cfg!(target_family = "wasm") {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await?
    };
    finish(tensor, &pending, mapped)
}

fn start(tensor: &Tensor) -> Result<Option<Pending>> {
    let context = tensor.context();
    context.check_lost()?;
    if tensor.is_empty() {
        return Ok(None);
    }
    let (device, size) = (context.device(), tensor.byte_len());
    let (sender, mapped) = oneshot_channel();
    let staging = scoped(device, "a copy to the CPU", size, || {
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-norm.staging"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("wgpu-norm.readback"),
        });
        encoder.copy_buffer_to_buffer(tensor.buffer(), tensor.offset(), &staging, 0, size);
        context.queue().submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = sender.send(result);
        });
        staging
    })?;
    Ok(Some(Pending { staging, mapped }))
}

fn finish<T: bytemuck::Pod>(
    tensor: &Tensor,
    pending: &Pending,
    mapped: Option<Mapped>,
) -> Result<Vec<T>> {
    match mapped {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(Error::DeviceLost(error.to_string())),
        None => return Err(Error::DeviceLost("the copy never ended".to_owned())),
    }
    let _no_poll = tensor.context().hold_polls();
    let view = pending
        .staging
        .get_mapped_range(..)
        .map_err(|error| Error::DeviceLost(error.to_string()))?;
    // Dropped, not unmapped: wgpu panics if the device was destroyed meanwhile.
    // Behind an odd number of 16-bit elements there are two bytes more.
    let bytes = view.get(..tensor.len() * size_of::<T>());
    Ok(bytemuck::pod_collect_to_vec(bytes.unwrap_or(&view)))
}
