//! Layers in training loops: state, threads, shapes that change, asynchronous reads, the caller's device.

use wgpu_norm::{
    BatchNorm, Context, Error, InstanceNorm, Layer, LayerNorm, Mode, RmsNorm, State, Tensor,
};

use crate::common::context;

fn input(rows: usize) -> Tensor {
    let values: Vec<f32> = (0..rows * 6)
        .map(|k| ((k * k * 7 + k) % 23) as f32 * 0.3)
        .collect();
    Tensor::from_slice(context(), &values, &[rows, 3, 2]).unwrap()
}

#[test]
fn a_state_round_trips_into_another_layer() {
    let layers = [0, 1].map(|_| Layer::new(context(), BatchNorm::new(3)).unwrap());
    layers[0].weight().unwrap().write(&[1.0, 2.0, 3.0]).unwrap();
    for rows in [4, 5, 4] {
        layers[0].forward(&input(rows), Mode::TRAINING).unwrap();
    }
    let state = layers[0].state().unwrap();
    assert_eq!(state.num_batches_tracked, Some(3));
    let names: Vec<_> = state.floats().map(|(name, _)| name).collect();
    assert_eq!(names, ["weight", "bias", "running_mean", "running_var"]);
    layers[1].load_state(&state).unwrap();
    assert_eq!(layers[1].state().unwrap(), state);
    assert_eq!(pollster::block_on(layers[1].state_async()).unwrap(), state);
    let outputs = layers.each_ref().map(|layer| {
        let forward = layer.forward(&input(2), Mode::EVAL).unwrap();
        forward.output.to_vec().unwrap()
    });
    assert_eq!(outputs[0], outputs[1]);
    layers[1].reset_running_stats().unwrap();
    let fresh = layers[1].state().unwrap();
    assert_eq!(fresh.running_var, Some(vec![1.0; 3]));
    assert_eq!(
        (fresh.num_batches_tracked, fresh.weight),
        (Some(0), state.weight)
    );
}

#[test]
fn scale_and_shift_are_the_evaluation() {
    let layer = Layer::new(context(), BatchNorm::new(3)).unwrap();
    layer.weight().unwrap().write(&[1.0, -2.0, 3.0]).unwrap();
    layer.bias().unwrap().write(&[0.5, 0.0, -1.0]).unwrap();
    layer.forward(&input(5), Mode::TRAINING).unwrap();
    let fold = layer.scale_shift().unwrap();
    let (scale, shift) = (fold.scale(), fold.shift());
    let input = input(4);
    let output = layer.forward(&input, Mode::EVAL).unwrap().output;
    let values = input.to_vec().unwrap();
    for (k, (x, y)) in values.iter().zip(output.to_vec().unwrap()).enumerate() {
        let folded = x * scale[k / 2 % 3] + shift[k / 2 % 3];
        assert!((folded - y).abs() < 2e-6, "{folded} {y}");
    }
    let plain = Layer::new(context(), InstanceNorm::new(3)).unwrap();
    assert!(matches!(
        plain.scale_shift(),
        Err(Error::Missing("running_mean", _))
    ));
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let layer = Layer::new(context(), BatchNorm::new(3)).unwrap();
    let good = layer.state().unwrap();
    let altered = |alter: fn(&mut State)| {
        let mut state = State {
            weight: Some(vec![9.0; 3]),
            ..good.clone()
        };
        alter(&mut state);
        state
    };
    for bad in [
        altered(|state| state.bias = None),
        altered(|state| state.running_var = Some(vec![1.0; 4])),
        altered(|state| state.num_batches_tracked = Some(1 << 40)),
    ] {
        assert!(matches!(layer.load_state(&bad), Err(Error::State(_))));
        assert_eq!(layer.state().unwrap(), good);
    }
    // Old PyTorch checkpoints have no counter.
    layer
        .load_state(&altered(|state| state.num_batches_tracked = None))
        .unwrap();
    assert_eq!(layer.state().unwrap().num_batches_tracked, Some(0));
}

#[test]
fn asynchronous_and_blocking_reads_agree() {
    let tensor = input(9);
    assert_eq!(
        pollster::block_on(tensor.to_vec_async()).unwrap(),
        tensor.to_vec().unwrap()
    );
}

/// Both layers recorded back to back in one encoder of the caller's, forward and backward.
#[test]
fn layers_record_into_the_callers_encoder() {
    let layers = [
        Layer::new(context(), BatchNorm::new(3)).unwrap(),
        Layer::new(context(), LayerNorm::new(&[3, 2])).unwrap(),
    ];
    let x = input(7);
    let mode = Mode::TRAINING.update_running(false);
    let first = layers[0].forward(&x, mode).unwrap();
    let second = layers[1].forward(&first.output, mode).unwrap();
    let back = layers[1].backward(&second.saved, &x).unwrap();
    let want = layers[0].backward(&first.saved, &back.grad_input).unwrap();

    let mut encoder = context()
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let first = layers[0].record_forward(&mut encoder, &x, mode).unwrap();
    let second = layers[1]
        .record_forward(&mut encoder, &first.output, mode)
        .unwrap();
    let back = layers[1]
        .record_backward(&mut encoder, &second.saved, &x)
        .unwrap();
    let got = layers[0]
        .record_backward(&mut encoder, &first.saved, &back.grad_input)
        .unwrap();
    context().queue().submit([encoder.finish()]);
    assert_eq!(
        got.grad_input.to_vec().unwrap(),
        want.grad_input.to_vec().unwrap()
    );
}

/// Eight threads, one layer, batches of changing size: each result is the one that a single thread gets.
#[test]
fn many_threads_share_a_layer() {
    let layer = Layer::new(context(), RmsNorm::new(&[2])).unwrap();
    let inputs: Vec<Tensor> = (1..12).map(input).collect();
    let result = |rows: usize| {
        let input = &inputs[rows - 1];
        let forward = layer.forward(input, Mode::TRAINING).unwrap();
        let gradients = layer.backward(&forward.saved, input).unwrap();
        (
            forward.output.to_vec().unwrap(),
            gradients.grad_input.to_vec().unwrap(),
        )
    };
    let alone: Vec<_> = (1..12).map(result).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (alone, result) = (&alone, &result);
            scope.spawn(move || {
                for k in 0..22 {
                    let rows = 1 + (k + thread) % 11;
                    assert_eq!(result(rows), alone[rows - 1]);
                }
            });
        }
    });
}

/// The caller's device, with WebGPU's default limits and no features: what a browser gives.
#[test]
fn works_on_a_device_with_default_limits() {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let instance = wgpu::Instance::new(descriptor);
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
    let adapter = pollster::block_on(adapter).unwrap();
    let device = adapter.request_device(&wgpu::DeviceDescriptor::default());
    let (device, queue) = pollster::block_on(device).unwrap();
    let context = Context::from_wgpu(device, queue).unwrap();
    assert_eq!(context.caps().max_storage_buffers, 8);
    assert_eq!(context.caps().subgroups, None);
    let norm = InstanceNorm::new(3).affine(true).track_running_stats(true);
    let report = wgpu_norm::check::norm(&context, norm, &[5, 3, 40]).unwrap();
    assert!(report.worst() < crate::common::TOLERANCE, "{report}");
}
