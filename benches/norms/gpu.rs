//! This crate, with all tensors on the device.

use wgpu_norm::check::{self, Case};
use wgpu_norm::{
    BackwardTensors, Context, ForwardTensors, Layer, Plan, Result, Running, State, Tensor, wgpu,
};

use super::cases::Pass;
use crate::TOLERANCE;

/// A norm on one shape in one mode.
#[derive(Debug)]
pub(crate) struct Gpu {
    layer: Layer,
    plan: Plan,
    input: Tensor,
    output: Tensor,
    statistics: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_weight: Option<Tensor>,
    grad_bias: Option<Tensor>,
}

impl Gpu {
    /// Compares all results with the reference, then gets ready to run.
    pub(crate) fn verified(context: &Context, case: &Case) -> Result<Self> {
        let report = check::run(context, case)?;
        assert!(report.worst() < TOLERANCE, "{report}");
        let layer = Layer::new(context, case.norm.clone())?;
        layer.load_state(&state(case))?;
        let plan = Plan::new(context, case.norm.clone(), &case.shape, case.mode)?;
        let like = |parameter: Option<&Tensor>| {
            parameter
                .map(|tensor| Tensor::uninit(context, tensor.shape()))
                .transpose()
        };
        let gpu = Self {
            input: Tensor::from_slice(context, &case.input, &case.shape)?,
            output: Tensor::uninit(context, &case.shape)?,
            statistics: Tensor::uninit(context, &plan.statistics_shape())?,
            grad_output: Tensor::from_slice(context, &case.grad_output, &case.shape)?,
            grad_input: Tensor::uninit(context, &case.shape)?,
            grad_weight: like(layer.weight())?,
            grad_bias: like(layer.bias())?,
            layer,
            plan,
        };
        // The backward pass needs the statistics of a forward pass.
        gpu.submit(|encoder| gpu.forward(encoder));
        Ok(gpu)
    }

    /// Records, submits and waits.
    pub(crate) fn run(&self, pass: Pass) {
        match pass {
            Pass::Forward | Pass::Eval => self.submit(|encoder| self.forward(encoder)),
            Pass::Backward => self.submit(|encoder| self.backward(encoder)),
        }
    }

    fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>) {
        let context = self.layer.context();
        let mut encoder = context.device().create_command_encoder(&Default::default());
        record(&mut encoder).expect("the tensors fit the plan");
        context.queue().submit([encoder.finish()]);
        let done = context.device().poll(wgpu::PollType::wait_indefinitely());
        done.expect("the device works");
    }

    fn forward(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        let layer = &self.layer;
        let running = layer.running_mean().zip(layer.running_var());
        let running = running.zip(layer.num_batches_tracked_tensor());
        let tensors = ForwardTensors {
            input: &self.input,
            output: &self.output,
            weight: layer.weight(),
            bias: layer.bias(),
            statistics: Some(&self.statistics),
            running: running.map(|((mean, var), num_batches_tracked)| Running {
                mean,
                var,
                num_batches_tracked,
            }),
        };
        self.plan.forward(encoder, &tensors)
    }

    fn backward(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        let tensors = BackwardTensors {
            input: &self.input,
            statistics: &self.statistics,
            weight: self.layer.weight(),
            grad_output: &self.grad_output,
            grad_input: Some(&self.grad_input),
            grad_weight: self.grad_weight.as_ref(),
            grad_bias: self.grad_bias.as_ref(),
        };
        self.plan.backward(encoder, &tensors)
    }
}

fn state(case: &Case) -> State {
    State {
        shape: case.norm.parameter_shape(),
        weight: case.weight.clone(),
        bias: case.bias.clone(),
        running_mean: case.running_mean.clone(),
        running_var: case.running_var.clone(),
        num_batches_tracked: Some(case.num_batches_tracked.into())
            .filter(|_| case.norm.tracks_running_stats()),
    }
}
