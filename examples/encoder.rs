//! Norms inside a wgpu program of your own: your device, your buffers, your command encoder, one submission.
//!
//! A copy of the program's own, group norm in place, batch norm in training, and both backward passes; then a comparison
//! with the f64 reference: `cargo run --release --example encoder`

use wgpu_norm::check::Row;
use wgpu_norm::reference::{self, Parameters};
use wgpu_norm::{BackwardTensors, ForwardTensors, Running};
use wgpu_norm::{BatchNorm, Context, GroupNorm, Mode, Norm, Plan, Tensor, wgpu};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const SHAPE: [usize; 3] = [4, 8, 16];
const TRAINING: Mode = Mode::TRAINING;

fn main() -> Result<()> {
    let (device, queue) = pollster::block_on(own_device())?;
    let context = Context::from_wgpu(device.clone(), queue.clone())?;
    let group_norm: Norm = GroupNorm::new(2, 8).affine(false).into();
    let batch_norm: Norm = BatchNorm::new(8).affine(false).into();
    let group = Plan::new(&context, group_norm.clone(), &SHAPE, TRAINING)?;
    let batch = Plan::new(&context, batch_norm.clone(), &SHAPE, TRAINING)?;

    // One buffer holds all tensors but one; each begins at a multiple of the device's alignment.
    let (pool, kept) = (own_buffer(&device, 16_384), own_buffer(&device, 2048));
    let alignment = device.limits().min_storage_buffer_offset_alignment.into();
    let mut end = 0;
    let mut tensor = |shape: &[usize]| -> wgpu_norm::Result<Tensor> {
        let tensor = Tensor::from_buffer(&context, pool.clone(), end, shape)?;
        end = (end + tensor.byte_len()).next_multiple_of(alignment);
        Ok(tensor)
    };
    let (x, output, gradient) = (tensor(&SHAPE)?, tensor(&SHAPE)?, tensor(&SHAPE)?);
    let (mean, var) = (tensor(&[8])?, tensor(&[8])?);
    let group_statistics = tensor(&group.statistics_shape())?;
    let batch_statistics = tensor(&batch.statistics_shape())?;
    let x_kept = Tensor::from_buffer(&context, kept.clone(), 0, &SHAPE)?;
    let wave = |step: f32| -> Vec<f32> { (0..512).map(|i| (i as f32 * step).sin()).collect() };
    x.write(&wave(0.37))?;
    gradient.write(&wave(0.71))?;
    var.write(&[1.0; 8])?; // the running mean begins at 0, as every buffer of wgpu does

    // Group norm will overwrite x, which its backward pass needs: keep a copy.
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(&pool, x.offset(), &kept, 0, x.byte_len());
    let in_place = ForwardTensors {
        statistics: Some(&group_statistics),
        ..ForwardTensors::new(&x, &x)
    };
    group.forward(&mut encoder, &in_place)?;
    let with_running = ForwardTensors {
        statistics: Some(&batch_statistics),
        running: Some(Running {
            mean: &mean,
            var: &var,
            num_batches_tracked: &Tensor::counter(&context)?,
        }),
        ..ForwardTensors::new(&x, &output)
    };
    batch.forward(&mut encoder, &with_running)?;
    // Each input gradient overwrites the output gradient that it comes from: one tensor for the whole way back.
    let backward = |input, statistics| BackwardTensors {
        grad_input: Some(&gradient),
        ..BackwardTensors::new(input, statistics, &gradient)
    };
    batch.backward(&mut encoder, &backward(&x, &batch_statistics))?;
    group.backward(&mut encoder, &backward(&x_kept, &group_statistics))?;
    queue.submit([encoder.finish()]);

    // The same in f64.
    let [input, slopes] = [0.37, 0.71].map(|step| wave(step).into_iter().map(f64::from).collect());
    let run =
        |norm, x: &Vec<f64>| reference::forward(norm, TRAINING, &SHAPE, x, &Parameters::new(norm));
    let back = |norm, x: &Vec<f64>, gradient: &Vec<f64>| {
        reference::backward(norm, TRAINING, &SHAPE, x, &Parameters::new(norm), gradient)
    };
    let middle = run(&group_norm, &input)?.output;
    let last = run(&batch_norm, &middle)?;
    let slopes = back(&batch_norm, &middle, &slopes)?.grad_input;
    let slopes = back(&group_norm, &input, &slopes)?.grad_input;
    for (name, tensor, want) in [
        ("output", output, last.output),
        ("running_var", var, last.running_var.unwrap_or_default()),
        ("grad_input", gradient, slopes),
    ] {
        let got = tensor.to_vec()?; // waits for the submission
        let error = Row::new(String::new(), name, &got, &want, 0.0).error;
        println!("{name:11} error {error:.1e}  {:7.4?} ...", &got[..5]);
    }
    Ok(())
}

/// The kernels are chosen by what the device was given, so ask for the adapter's limits and for subgroups.
async fn own_device() -> Result<(wgpu::Device, wgpu::Queue)> {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let instance = wgpu::Instance::new(descriptor);
    let adapter = instance.request_adapter(&Default::default()).await?;
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() & wgpu::Features::SUBGROUP,
        required_limits: adapter.limits(),
        ..Default::default()
    };
    Ok(adapter.request_device(&descriptor).await?)
}

/// A buffer with the usages that tensors need.
fn own_buffer(device: &wgpu::Device, size: u64) -> wgpu::Buffer {
    use wgpu::BufferUsages as Usage;
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("own buffer"),
        size,
        usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        mapped_at_creation: false,
    })
}
