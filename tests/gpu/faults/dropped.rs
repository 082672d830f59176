//! Things dropped in any order: what was recorded or submitted still gives the same bits.

use std::any::Any;

use wgpu_norm::{
    BackwardTensors, BatchNorm, Context, ForwardTensors, Layer, LayerNorm, Mode, Plan, Tensor,
};

use super::{lent_context, new_context};
use crate::common::encoder;

const SHAPE: [usize; 3] = [2, 3, 700];

fn values(step: f32) -> Vec<f32> {
    (0..2 * 3 * 700).map(|k| (k as f32 * step).sin()).collect()
}

/// Everything that a pass needs besides the results.
struct Parts {
    parts: Vec<Box<dyn Any>>,
    encoder: wgpu::CommandEncoder,
    queue: wgpu::Queue,
    results: Vec<Tensor>,
}

/// A plan recorded and a layer's step submitted, on a device of their own.
fn work(make: fn() -> Context) -> Parts {
    let context = make();
    let (device, queue) = (context.device().clone(), context.queue().clone());
    let [input, grad_output] = [0.37, 0.11].map(|step| {
        let values = values(step);
        Tensor::from_slice(&context, &values, &SHAPE).unwrap()
    });
    let layer = Layer::new(&context, BatchNorm::new(3)).unwrap();
    let forward = layer.forward(&input, Mode::TRAINING).unwrap();
    let saved = forward.saved.clone();
    let gradients = layer.backward(&saved, &grad_output).unwrap();
    let norm = LayerNorm::new(&[700]).affine(false);
    let plan = Plan::new(&context, norm, &SHAPE, Mode::TRAINING).unwrap();
    let uninit = |shape: &[usize]| Tensor::uninit(&context, shape).unwrap();
    let (output, grad_input) = (uninit(&SHAPE), uninit(&SHAPE));
    let statistics = uninit(&plan.statistics_shape());
    let mut encoder = encoder(&context);
    let forward_tensors = ForwardTensors {
        statistics: Some(&statistics),
        ..ForwardTensors::new(&forward.output, &output)
    };
    plan.forward(&mut encoder, &forward_tensors).unwrap();
    let backward_tensors = BackwardTensors {
        grad_input: Some(&grad_input),
        ..BackwardTensors::new(&forward.output, &statistics, &grad_output)
    };
    plan.backward(&mut encoder, &backward_tensors).unwrap();
    Parts {
        results: vec![output, grad_input, gradients.grad_input],
        parts: vec![
            Box::new(context),
            Box::new(device),
            Box::new(input),
            Box::new(layer),
            Box::new(saved),
            Box::new(forward),
            Box::new(plan),
            Box::new(grad_output),
            Box::new(statistics),
        ],
        encoder,
        queue,
    }
}

impl Parts {
    /// Submits after `before` of the parts are gone, reads when all are.
    fn finish(mut self, before: usize) -> Vec<Vec<f32>> {
        let rest = self.parts.split_off(before);
        // Front to back, as a vector drops its elements.
        drop(self.parts);
        self.queue.submit([self.encoder.finish()]);
        drop(self.queue);
        drop(rest);
        let read = |tensor: &Tensor| tensor.to_vec().unwrap();
        self.results.iter().map(read).collect()
    }
}

#[test]
fn in_any_order() {
    let want = work(new_context).finish(0);
    assert!(want.iter().flatten().all(|x| x.is_finite()));
    assert!(want.iter().all(|x| x.iter().any(|&x| x.abs() > 1e-3)));
    let parts = work(new_context).parts.len();
    for round in 0..2 * parts {
        let make = [new_context, lent_context][round % 2];
        let mut parts_now = work(make);
        parts_now.parts.rotate_left(round % parts);
        if round >= parts {
            parts_now.parts.reverse();
        }
        let before = [parts, round % parts, 0][round % 3];
        assert_eq!(parts_now.finish(before), want, "round {round}");
    }
}

/// Dropped on other threads, while the work is on its way.
#[test]
fn on_other_threads() {
    let want = work(new_context).finish(0);
    for _ in 0..4 {
        let Parts {
            parts: _parts,
            encoder,
            queue,
            results,
        } = work(lent_context);
        queue.submit([encoder.finish()]);
        let threads: Vec<_> = results
            .into_iter()
            .map(|tensor| std::thread::spawn(move || tensor.to_vec().unwrap()))
            .collect();
        drop((_parts, queue));
        let got: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(got, want);
    }
}

/// An encoder that is never submitted, and a buffer that its owner destroys.
#[test]
fn never_used_or_destroyed() {
    let parts = work(new_context);
    drop(parts.encoder);
    // The layer's step was submitted, the plan's never: its outputs are as they were made.
    assert!(parts.results[0].to_vec().unwrap().iter().all(|&x| x == 0.0));
    let context = lent_context();
    let layer = Layer::new(&context, LayerNorm::new(&[700])).unwrap();
    let input = Tensor::from_slice(&context, &values(0.37), &SHAPE).unwrap();
    let saved = layer.forward(&input, Mode::TRAINING).unwrap().saved;
    input.buffer().destroy();
    assert!(input.to_vec().is_err());
    assert!(input.write(&values(0.37)).is_err());
    assert!(layer.forward(&input, Mode::TRAINING).is_err());
    assert!(layer.backward(&saved, &input).is_err());
    let again = Tensor::from_slice(&context, &values(0.37), &SHAPE).unwrap();
    layer.forward(&again, Mode::TRAINING).unwrap();
}
