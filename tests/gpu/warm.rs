//! Warmed-up plans and layers: nothing compiled, nothing allocated on the device, nothing waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wgpu_norm::{
    BackwardTensors, BatchNorm, Context, ForwardTensors, GroupNorm, InstanceNorm, Layer, LayerNorm,
    Mode, Norm, Plan, RmsNorm, Tensor,
};

use crate::common::{encoder, new_context};

const STEPS: usize = 100;

/// One launch and several, forward and backward; with and without running statistics.
fn norms() -> Vec<(Norm, Vec<usize>)> {
    vec![
        (BatchNorm::new(5).into(), vec![8, 5, 33]),
        (BatchNorm::new(2).into(), vec![20, 2, 64, 64]),
        (BatchNorm::new(70).weight(false).into(), vec![300, 70]),
        (
            InstanceNorm::new(3)
                .affine(true)
                .track_running_stats(true)
                .into(),
            vec![4, 3, 20],
        ),
        (InstanceNorm::new(1).into(), vec![1, 1, 200, 200]),
        (GroupNorm::new(2, 4).into(), vec![3, 4, 12]),
        (LayerNorm::new(&[65]).into(), vec![9, 65]),
        (LayerNorm::new(&[40_000]).into(), vec![2, 40_000]),
        (RmsNorm::new(&[500]).into(), vec![4, 500]),
    ]
}

/// Objects of the device, memory on it, pipelines of the context and bind groups of the plan. In wgpu the numbers are those of
/// its own counters (zeros where its backend has none).
fn counted(context: &Context, plan: &Plan) -> Vec<(&'static str, isize)> {
    let counters = context.device().get_internal_counters().hal;
    let report = context.device().generate_allocator_report();
    let allocated = report.map_or(0, |report| report.total_allocated_bytes as isize);
    vec![
        ("buffers", counters.buffers.read()),
        ("buffer memory", counters.buffer_memory.read()),
        ("memory allocations", counters.memory_allocations.read()),
        ("allocated bytes", allocated),
        ("bind groups", counters.bind_groups.read()),
        ("bind group layouts", counters.bind_group_layouts.read()),
        ("pipeline layouts", counters.pipeline_layouts.read()),
        ("shader modules", counters.shader_modules.read()),
        ("compute pipelines", counters.compute_pipelines.read()),
        ("query sets", counters.query_sets.read()),
        ("pipelines", context.pipeline_count() as isize),
        ("compile time", context.compile_time().as_nanos() as isize),
        ("kept bind groups", plan.bind_group_count() as isize),
    ]
}

/// The tensors of a step.
struct Step {
    plan: Plan,
    layer: Layer,
    input: Tensor,
    output: Tensor,
    statistics: Tensor,
    grad_input: Tensor,
    grad_weight: Option<Tensor>,
    grad_bias: Option<Tensor>,
}

impl Step {
    fn new(context: &Context, norm: &Norm, shape: &[usize], mode: Mode) -> Self {
        let plan = Plan::new(context, norm.clone(), shape, mode).unwrap();
        let layer = Layer::new(context, norm.clone()).unwrap();
        let uninit = |shape: &[usize]| Tensor::uninit(context, shape).unwrap();
        let like = |tensor: Option<&Tensor>| tensor.map(|tensor| uninit(tensor.shape()));
        let values: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|k| (k as f32).sin())
            .collect();
        Self {
            input: Tensor::from_slice(context, &values, shape).unwrap(),
            output: uninit(shape),
            statistics: uninit(&plan.statistics_shape()),
            grad_input: uninit(shape),
            grad_weight: like(layer.weight()),
            grad_bias: like(layer.bias()),
            plan,
            layer,
        }
    }

    /// Forward and backward pass.
    fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let forward = ForwardTensors {
            weight: self.layer.weight(),
            bias: self.layer.bias(),
            statistics: Some(&self.statistics),
            running: self.layer.running(),
            ..ForwardTensors::new(&self.input, &self.output)
        };
        self.plan.forward(encoder, &forward).unwrap();
        let backward = BackwardTensors {
            weight: self.layer.weight(),
            grad_input: Some(&self.grad_input),
            grad_weight: self.grad_weight.as_ref(),
            grad_bias: self.grad_bias.as_ref(),
            ..BackwardTensors::new(&self.input, &self.statistics, &self.output)
        };
        self.plan.backward(encoder, &backward).unwrap();
    }

    fn output_of_one_more(&self, context: &Context) -> Vec<f32> {
        let mut encoder = encoder(context);
        self.record(&mut encoder);
        context.queue().submit([encoder.finish()]);
        let output = self.output.to_vec().unwrap();
        // The copy that was read is freed by a poll.
        wait(context);
        output
    }
}

fn wait(context: &Context) {
    let waited = context.device().poll(wgpu::PollType::wait_indefinitely());
    waited.unwrap();
}

/// Counted where a step records, before it is submitted: what it had made would be alive then, held by the commands.
#[test]
fn a_warm_step_allocates_and_compiles_nothing() {
    let context = new_context();
    for (norm, shape) in norms() {
        for mode in [Mode::TRAINING, Mode::EVAL] {
            let step = Step::new(&context, &norm, &shape, mode);
            step.plan.warm_up().unwrap();
            step.record(&mut encoder(&context));
            let first = step.output_of_one_more(&context);
            let warm = counted(&context, &step.plan);
            assert!(
                warm.iter()
                    .any(|&(name, n)| name == "kept bind groups" && n > 0)
            );
            for _ in 0..STEPS {
                let mut encoder = encoder(&context);
                step.record(&mut encoder);
                let commands = encoder.finish();
                assert_eq!(counted(&context, &step.plan), warm, "{norm:?} {mode:?}");
                context.queue().submit([commands]);
            }
            wait(&context);
            assert_eq!(counted(&context, &step.plan), warm, "{norm:?} {mode:?}");
            assert_eq!(step.output_of_one_more(&context), first);
            step.plan.forget_tensors();
            assert_eq!(step.plan.bind_group_count(), 0);
        }
    }
}

#[test]
fn one_buffer_more_is_counted() {
    let context = new_context();
    let plan = Plan::new(&context, LayerNorm::new(&[8]), &[2, 8], Mode::EVAL).unwrap();
    let before = counted(&context, &plan);
    let _tensor = Tensor::uninit(&context, &[2, 8]).unwrap();
    assert_ne!(counted(&context, &plan), before);
}

/// wgpu calls back when it polls or submits, and not otherwise: a step that waited would be seen.
#[test]
fn a_warm_step_waits_for_nothing() {
    let context = new_context();
    for (norm, shape) in norms() {
        let step = Step::new(&context, &norm, &shape, Mode::TRAINING);
        step.plan.warm_up().unwrap();
        let mut first = encoder(&context);
        step.record(&mut first);
        context.queue().submit([first.finish()]);
        let done = Arc::new(AtomicBool::new(false));
        let set = done.clone();
        context
            .queue()
            .on_submitted_work_done(move || set.store(true, Ordering::SeqCst));
        for _ in 0..STEPS {
            let mut encoder = encoder(&context);
            step.record(&mut encoder);
            drop(encoder.finish());
        }
        assert!(!done.load(Ordering::SeqCst), "{norm:?}");
        wait(&context);
        assert!(done.load(Ordering::SeqCst));
    }
}

/// The first step after a warm-up compiles nothing and allocates no scratch memory; a second warm-up has nothing to do.
#[test]
fn a_warm_up_leaves_nothing_to_compile() {
    for (norm, shape) in norms() {
        let context = new_context();
        let step = Step::new(&context, &norm, &shape, Mode::TRAINING);
        let report = step.plan.warm_up().unwrap();
        assert!(
            report.pipelines > 0 && report.time >= context.compile_time(),
            "{report:?}"
        );
        assert_eq!(report.pipelines, context.pipeline_count());
        assert!(!context.compile_time().is_zero());
        let scratch = step.plan.scratch();
        let bytes: u64 = scratch.iter().map(wgpu::Buffer::size).sum();
        assert_eq!(bytes, report.scratch_bytes);
        step.record(&mut encoder(&context));
        assert_eq!(context.pipeline_count(), report.pipelines, "{norm:?}");
        assert_eq!(step.plan.scratch(), scratch);
        let again = step.plan.warm_up().unwrap();
        assert_eq!((again.pipelines, again.scratch_bytes), (0, bytes));
    }
}

/// Layers too, whose plans keep no bind groups; and evaluation without a backward pass.
#[test]
fn a_layer_is_warmed_up_for_a_shape() {
    for (norm, shape) in norms() {
        let context = new_context();
        let layer = Layer::new(&context, norm.clone()).unwrap();
        let input = Tensor::full(&context, &shape, 0.5).unwrap();
        for mode in [Mode::TRAINING, Mode::EVAL] {
            let before = context.pipeline_count();
            let report = layer.warm_up(&shape, mode).unwrap();
            assert_eq!(report.pipelines, context.pipeline_count() - before);
            let forward = layer.forward(&input, mode).unwrap();
            if mode.batch_statistics {
                layer.backward(&forward.saved, &input).unwrap();
            }
            assert_eq!(
                context.pipeline_count() - before,
                report.pipelines,
                "{norm:?}"
            );
        }
        let plan = Plan::new(&context, norm.clone(), &shape, Mode::EVAL).unwrap();
        plan.warm_up_forward().unwrap();
        let (pipelines, scratch) = (context.pipeline_count(), plan.scratch());
        let output = Tensor::uninit(&context, &shape).unwrap();
        let forward = ForwardTensors {
            weight: layer.weight(),
            bias: layer.bias(),
            running: layer.running(),
            ..ForwardTensors::new(&input, &output)
        };
        plan.forward(&mut encoder(&context), &forward).unwrap();
        assert_eq!(
            (context.pipeline_count(), plan.scratch()),
            (pipelines, scratch)
        );
    }
}

#[test]
fn an_empty_tensor_needs_no_warm_up() {
    let context = crate::common::context();
    let layer = Layer::new(context, LayerNorm::new(&[8])).unwrap();
    let report = layer.warm_up(&[0, 8], Mode::TRAINING).unwrap();
    assert_eq!(report, wgpu_norm::WarmUp::default());
}
