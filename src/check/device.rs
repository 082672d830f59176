use std::collections::BTreeMap;

use super::case::Case;
use super::double::Double;
use super::shards;
use crate::context::Context;
use crate::error::Result;
use crate::geometry::Residual;
use crate::plan::{BackwardTensors, ForwardTensors, Plan, Running};
use crate::scope::scoped;
use crate::tensor::Tensor;
use crate::tune::Tuning;

/// Results by name.
pub type Results = BTreeMap<&'static str, Vec<f32>>;

/// Runs forward and backward pass of `case` and returns all results: `output`, the planes of the statistics `mean`,
/// `mean_low`, `rstd` and `var`, and as far as there are any `running_mean`, `running_var`, `num_batches_tracked`,
/// `grad_input`, `grad_weight`, `grad_bias`, `residual_output`, `grad_residual`, and of the second derivative
/// `double_grad_input`, `double_grad_weight`, `grad_grad_output`.
///
/// Ranks have a [`SyncPlan`](crate::sync::SyncPlan) each, all on this device. Results are those of the whole batch: tensors one behind the
/// other, gradients of parameters added up, statistics once, and NaN where two ranks have different ones.
///
/// Of 16-bit data the values are those stored, in f32.
///
/// Outputs, saved statistics and scratch memory are filled with NaN beforehand: an element that is not written shows.
///
/// # Errors
/// Those of [`Plan::new`] and of the device; with ranks those of [`SyncPlan::new`](crate::sync::SyncPlan::new), and
/// [`Error::Length`](crate::Error::Length) if they do not have as many samples as the input.
pub fn results(context: &Context, case: &Case) -> Result<Results> {
    if let Some(ranks) = &case.ranks {
        return shards::results(context, case, ranks);
    }
    let Case {
        norm,
        shape,
        mode,
        dtype,
        ..
    } = case;
    let plan = match case.strategy.map(Tuning::with_strategy) {
        Some(tuning) => Plan::with_tuning(context, norm.clone(), shape, *dtype, *mode, tuning)?,
        None => Plan::of_dtype(context, *dtype, norm.clone(), shape, *mode)?,
    };
    let tensors = Tensors::new(context, case, &plan)?;
    tensors.run(context, &plan)?;
    tensors.read()
}

/// All tensors of a case on the device.
pub(crate) struct Tensors {
    input: Tensor,
    grad_output: Tensor,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    running: Option<OwnRunning>,
    output: Tensor,
    statistics: Tensor,
    grad_input: Tensor,
    grad_weight: Option<Tensor>,
    grad_bias: Option<Tensor>,
    residual: Option<Tensor>,
    residual_output: Option<Tensor>,
    grad_residual: Option<Tensor>,
    grad_residual_output: Option<Tensor>,
    lengths: Option<Tensor>,
    double: Option<Double>,
}

struct OwnRunning {
    mean: Tensor,
    var: Tensor,
    num_batches_tracked: Tensor,
}

impl Tensors {
    pub(crate) fn new(context: &Context, case: &Case, plan: &Plan) -> Result<Self> {
        let (affine, channels) = (
            case.norm.affine_shape(&case.shape),
            case.norm.parameter_shape(),
        );
        let parameter = |values: &Option<Vec<f32>>, shape: &[usize]| {
            let values = values.as_ref();
            values
                .map(|values| Tensor::from_slice(context, values, shape))
                .transpose()
        };
        let poisoned = |shape: &[usize]| Tensor::full(context, shape, f32::NAN);
        let tensor = |values: &[f32]| Tensor::from_f32(context, case.dtype, values, &case.shape);
        let like_input = || tensor(&vec![f32::NAN; case.input.len()]);
        let gradient = |parameter: &Option<Tensor>| {
            let parameter = parameter.as_ref();
            parameter.map(|_| poisoned(&affine)).transpose()
        };
        let data = |values: &Option<Vec<f32>>| {
            let values = values.as_ref();
            values.map(|values| tensor(values)).transpose()
        };
        // The sum, or the gradient of what is added after the norm.
        let before = case.norm.residual_place() == Residual::Before;
        let beside = |here| {
            let there = case.residual.as_ref().filter(|_| here);
            there.map(|_| like_input()).transpose()
        };
        let (weight, bias) = (
            parameter(&case.weight, &affine)?,
            parameter(&case.bias, &affine)?,
        );
        let running = match (
            parameter(&case.running_mean, &channels)?,
            parameter(&case.running_var, &channels)?,
        ) {
            (Some(mean), Some(var)) => {
                let num_batches_tracked = Tensor::counter(context)?;
                num_batches_tracked.write(&[case.num_batches_tracked])?;
                Some(OwnRunning {
                    mean,
                    var,
                    num_batches_tracked,
                })
            }
            _ => None,
        };
        let lengths = case.lengths.as_ref();
        let lengths = lengths.map(|lengths| Tensor::from_slice(context, lengths, &[lengths.len()]));
        Ok(Self {
            input: tensor(&case.input)?,
            grad_output: tensor(&case.grad_output)?,
            grad_weight: gradient(&weight)?,
            grad_bias: gradient(&bias)?,
            weight,
            bias,
            running,
            residual: data(&case.residual)?,
            grad_residual_output: data(&case.grad_residual_output)?,
            residual_output: beside(before)?,
            grad_residual: beside(!before)?,
            output: like_input()?,
            statistics: poisoned(&plan.statistics_shape())?,
            grad_input: like_input()?,
            lengths: lengths.transpose()?,
            double: Double::new(context, case)?,
        })
    }

    fn run(&self, context: &Context, plan: &Plan) -> Result<()> {
        let device = context.device();
        // The first recording, never submitted, allocates the scratch memory that is then poisoned.
        self.record(
            &mut device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default()),
            plan,
        )?;
        poison(context, &plan.scratch());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.record(&mut encoder, plan)?;
        scoped(device, "a check", 0, || {
            context.queue().submit([encoder.finish()]);
        })
    }

    fn record(&self, encoder: &mut wgpu::CommandEncoder, plan: &Plan) -> Result<()> {
        self.record_forward(encoder, plan)?;
        self.record_backward(encoder, plan)?;
        let Some(double) = &self.double else {
            return Ok(());
        };
        let read = [&self.input, &self.statistics, &self.grad_output];
        double.record(encoder, plan, read, self.weight.as_ref())
    }

    pub(crate) fn record_forward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        plan: &Plan,
    ) -> Result<()> {
        let running = self.running.as_ref();
        plan.forward(
            encoder,
            &ForwardTensors {
                input: &self.input,
                output: &self.output,
                residual: self.residual.as_ref(),
                residual_output: self.residual_output.as_ref(),
                weight: self.weight.as_ref(),
                bias: self.bias.as_ref(),
                statistics: Some(&self.statistics),
                running: running.map(|running| Running {
                    mean: &running.mean,
                    var: &running.var,
                    num_batches_tracked: &running.num_batches_tracked,
                }),
                lengths: self.lengths.as_ref(),
            },
        )
    }

    pub(crate) fn record_backward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        plan: &Plan,
    ) -> Result<()> {
        plan.backward(
            encoder,
            &BackwardTensors {
                input: self.residual_output.as_ref().unwrap_or(&self.input),
                statistics: &self.statistics,
                weight: self.weight.as_ref(),
                bias: self.bias.as_ref(),
                residual: self
                    .residual
                    .as_ref()
                    .filter(|_| self.residual_output.is_none()),
                grad_output: &self.grad_output,
                grad_residual_output: self.grad_residual_output.as_ref(),
                grad_residual: self.grad_residual.as_ref(),
                grad_input: Some(&self.grad_input),
                grad_weight: self.grad_weight.as_ref(),
                grad_bias: self.grad_bias.as_ref(),
                lengths: self.lengths.as_ref(),
            },
        )
    }

    fn read(&self) -> Result<Results> {
        let mut results = Results::new();
        // Input and residual have the same gradient where the norm takes their sum.
        let of_sum = self.residual_output.as_ref().map(|_| &self.grad_input);
        let running = self.running.as_ref();
        for (name, tensor) in [
            ("output", Some(&self.output)),
            ("running_mean", running.map(|running| &running.mean)),
            ("running_var", running.map(|running| &running.var)),
            ("grad_input", Some(&self.grad_input)),
            ("grad_weight", self.grad_weight.as_ref()),
            ("grad_bias", self.grad_bias.as_ref()),
            ("residual_output", self.residual_output.as_ref()),
            ("grad_residual", self.grad_residual.as_ref().or(of_sum)),
        ] {
            if let Some(tensor) = tensor {
                results.insert(name, tensor.to_vec()?);
            }
        }
        if let Some(running) = running {
            let batches = running.num_batches_tracked.to_vec_of::<u32>()?;
            let batches = batches.into_iter().map(|count| count as f32).collect();
            results.insert("num_batches_tracked", batches);
        }
        results.extend(planes(&self.statistics.to_vec()?));
        if let Some(double) = &self.double {
            double.read(&mut results)?;
        }
        Ok(results)
    }
}

/// The planes of the statistics, by name.
pub(super) fn planes(statistics: &[f32]) -> Results {
    let groups = statistics.len() / 4;
    let planes = ["mean", "mean_low", "rstd", "var"].into_iter().enumerate();
    let plane = |(k, name)| (name, statistics[k * groups..(k + 1) * groups].to_vec());
    planes.map(plane).collect()
}

/// Fills scratch memory with NaN.
pub(super) fn poison(context: &Context, scratch: &[wgpu::Buffer]) {
    for scratch in scratch {
        let nan = vec![0xff; scratch.size() as usize];
        context.queue().write_buffer(scratch, 0, &nan);
    }
}
