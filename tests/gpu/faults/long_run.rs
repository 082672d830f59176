//! Ten thousand steps of a training loop: no memory, pipeline or bind group more than after the first ones.

use wgpu_norm::{
    BackwardTensors, BatchNorm, Context, ForwardTensors, Layer, LayerNorm, Mode, Plan, Tensor,
};

use super::{alone, new_context};
use crate::common::encoder;

const STEPS: usize = 10_000;

/// Until allocators and the driver's pools have their size.
const WARM_UP: usize = 3_000;

/// 100 bytes a step: what a leak of anything would exceed, and more than the noise of the allocators.
const MOST_GROWTH: usize = 100 * STEPS;

/// Bytes of this process in memory, where the system says so.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// All that may grow: bytes on the device, blocks on the device, pipelines.
fn held(context: &Context) -> (u64, usize, usize) {
    let waited = context.device().poll(wgpu::PollType::wait_indefinitely());
    waited.unwrap();
    let report = context.device().generate_allocator_report();
    let (bytes, blocks) = report.map_or((0, 0), |report| {
        (report.total_allocated_bytes, report.allocations.len())
    });
    (bytes, blocks, context.pipeline_count())
}

fn runs_without_growth(context: &Context, mut step: impl FnMut(usize)) {
    (0..WARM_UP).for_each(&mut step);
    let (device, before) = (held(context), resident());
    (0..STEPS).for_each(&mut step);
    assert_eq!(held(context), device, "bytes, blocks and pipelines");
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{before} bytes before, {after} after {STEPS} steps");
        assert!(after < before + MOST_GROWTH, "{before} bytes, then {after}");
    }
}

#[test]
fn a_layer_does_not_grow() {
    if !alone("faults::long_run::a_layer_does_not_grow") {
        return;
    }
    let context = new_context();
    let layer = Layer::new(&context, BatchNorm::new(3)).unwrap();
    let inputs = [2, 3, 5].map(|rows| Tensor::full(&context, &[rows, 3], 0.5).unwrap());
    runs_without_growth(&context, |k| {
        let input = &inputs[k % inputs.len()];
        let forward = layer.forward(input, Mode::TRAINING).unwrap();
        let gradients = layer.backward(&forward.saved, &forward.output).unwrap();
        // As a loop that looks at its loss now and then.
        if k % 100 == 0 {
            gradients.grad_input.to_vec().unwrap();
        }
    });
}

/// Without keeping anything of it: with tensors that are new at each step, which the plan's kept bind groups see come and go.
#[test]
fn a_plan_does_not_grow() {
    if !alone("faults::long_run::a_plan_does_not_grow") {
        return;
    }
    let context = new_context();
    let norm = LayerNorm::new(&[8]).affine(false);
    let plan = Plan::new(&context, norm, &[4, 8], Mode::TRAINING).unwrap();
    let input = Tensor::full(&context, &[4, 8], 0.5).unwrap();
    let statistics = Tensor::uninit(&context, &plan.statistics_shape()).unwrap();
    runs_without_growth(&context, |k| {
        let [output, grad_input] = [(); 2].map(|()| Tensor::uninit(&context, &[4, 8]).unwrap());
        let mut encoder = encoder(&context);
        let forward = ForwardTensors {
            statistics: Some(&statistics),
            ..ForwardTensors::new(&input, &output)
        };
        plan.forward(&mut encoder, &forward).unwrap();
        let backward = BackwardTensors {
            grad_input: Some(&grad_input),
            ..BackwardTensors::new(&input, &statistics, &output)
        };
        plan.backward(&mut encoder, &backward).unwrap();
        context.queue().submit([encoder.finish()]);
        if k % 100 == 0 {
            grad_input.to_vec().unwrap();
        }
        assert!(
            plan.bind_group_count() <= 2 * 8,
            "two launches, 8 sets each"
        );
    });
}
