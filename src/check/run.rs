use super::case::Case;
use super::report::{Report, Row};
use crate::context::Context;
use crate::error::Result;
use crate::ops::Norm;
use crate::plan::{BackwardTensors, ForwardTensors, Plan, Running};
use crate::reference;
use crate::scope::scoped;
use crate::tensor::Tensor;

/// Runs `case` on the GPU and in f64 and compares all results.
///
/// Outputs, saved statistics and scratch memory are filled with NaN beforehand: an element that is not written shows.
///
/// # Errors
/// Those of [`Plan::new`] and of the device. A wrong result is not an error but a row of the report.
pub fn run(context: &Context, case: &Case) -> Result<Report> {
    let plan = match case.strategy {
        Some(strategy) => {
            Plan::with_strategy(context, case.norm.clone(), &case.shape, case.mode, strategy)?
        }
        None => Plan::new(context, case.norm.clone(), &case.shape, case.mode)?,
    };
    let results = Device::new(context, case, &plan)?.run(context, &plan)?;
    let parameters = reference_parameters(case);
    let (input, grad_output) = (wide(&case.input), wide(&case.grad_output));
    let (norm, mode, shape) = (&case.norm, case.mode, case.shape.as_slice());
    let forward = reference::forward(norm, mode, shape, &input, &parameters)?;
    let gradients = reference::backward(norm, mode, shape, &input, &parameters, &grad_output)?;
    let strategy = case.strategy.map_or("ladder", |strategy| strategy.name());
    let training = if case.mode.batch_statistics {
        "training"
    } else {
        "eval"
    };
    let name = format!("{} {shape:?} {training} {strategy}", case.norm.name());
    let scale = input_gradient_scale(case, &forward, &parameters);
    let groups = forward.mean.len();
    let rstd: Vec<f64> = forward.var.iter().map(|var| rstd(*var, norm)).collect();
    let mut rows = Vec::new();
    let mut row = |tensor, got: &Option<Vec<f32>>, want: Option<&Vec<f64>>, scale| {
        if let (Some(got), Some(want)) = (got, want) {
            rows.push(Row::new(name.clone(), tensor, got, want, scale));
        }
    };
    row("output", &results.output, Some(&forward.output), 0.0);
    let plane = |k: usize| Some(results.statistics[k * groups..(k + 1) * groups].to_vec());
    if !case.input.is_empty() {
        row("mean", &plane(0), Some(&forward.mean), 0.0);
        row("rstd", &plane(2), Some(&rstd), 0.0);
        row("var", &plane(3), Some(&forward.var), 0.0);
    }
    row(
        "running_mean",
        &results.running_mean,
        forward.running_mean.as_ref(),
        0.0,
    );
    row(
        "running_var",
        &results.running_var,
        forward.running_var.as_ref(),
        0.0,
    );
    let batches = vec![forward.num_batches_tracked as f64];
    row(
        "num_batches",
        &results.num_batches_tracked,
        Some(&batches),
        0.0,
    );
    row(
        "grad_input",
        &results.grad_input,
        Some(&gradients.grad_input),
        scale,
    );
    row(
        "grad_weight",
        &results.grad_weight,
        gradients.grad_weight.as_ref(),
        0.0,
    );
    row(
        "grad_bias",
        &results.grad_bias,
        gradients.grad_bias.as_ref(),
        0.0,
    );
    Ok(Report { rows })
}

/// All tensors of a case on the device.
struct Device {
    input: Tensor,
    grad_output: Tensor,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    running: Option<(Tensor, Tensor, Tensor)>,
    output: Tensor,
    statistics: Tensor,
    grad_input: Tensor,
    grad_weight: Option<Tensor>,
    grad_bias: Option<Tensor>,
}

#[derive(Default)]
struct Results {
    output: Option<Vec<f32>>,
    statistics: Vec<f32>,
    running_mean: Option<Vec<f32>>,
    running_var: Option<Vec<f32>>,
    num_batches_tracked: Option<Vec<f32>>,
    grad_input: Option<Vec<f32>>,
    grad_weight: Option<Vec<f32>>,
    grad_bias: Option<Vec<f32>>,
}

impl Device {
    fn new(context: &Context, case: &Case, plan: &Plan) -> Result<Self> {
        let shape = case.norm.parameter_shape();
        let parameter = |values: &Option<Vec<f32>>| {
            let values = values.as_ref();
            values
                .map(|values| Tensor::from_slice(context, values, &shape))
                .transpose()
        };
        let poisoned = |shape: &[usize]| Tensor::full(context, shape, f32::NAN);
        let gradient = |parameter: &Option<Tensor>| {
            let parameter = parameter.as_ref();
            parameter.map(|_| poisoned(&shape)).transpose()
        };
        let (weight, bias) = (parameter(&case.weight)?, parameter(&case.bias)?);
        let running = match (
            parameter(&case.running_mean)?,
            parameter(&case.running_var)?,
        ) {
            (Some(mean), Some(var)) => {
                let counter = Tensor::counter(context)?;
                counter.write_u32(&[case.num_batches_tracked as u32])?;
                Some((mean, var, counter))
            }
            _ => None,
        };
        Ok(Self {
            input: Tensor::from_slice(context, &case.input, &case.shape)?,
            grad_output: Tensor::from_slice(context, &case.grad_output, &case.shape)?,
            grad_weight: gradient(&weight)?,
            grad_bias: gradient(&bias)?,
            weight,
            bias,
            running,
            output: poisoned(&case.shape)?,
            statistics: poisoned(&plan.statistics_shape())?,
            grad_input: poisoned(&case.shape)?,
        })
    }

    fn record(&self, encoder: &mut wgpu::CommandEncoder, plan: &Plan) -> Result<()> {
        let uses_running =
            !plan.norm().uses_batch_statistics(plan.mode()) || plan.mode().update_running;
        let running = self.running.as_ref().filter(|_| uses_running);
        plan.forward(
            encoder,
            &ForwardTensors {
                input: &self.input,
                output: &self.output,
                weight: self.weight.as_ref(),
                bias: self.bias.as_ref(),
                statistics: Some(&self.statistics),
                running: running.map(|(mean, var, num_batches_tracked)| Running {
                    mean,
                    var,
                    num_batches_tracked,
                }),
            },
        )?;
        plan.backward(
            encoder,
            &BackwardTensors {
                input: &self.input,
                statistics: &self.statistics,
                weight: self.weight.as_ref(),
                grad_output: &self.grad_output,
                grad_input: Some(&self.grad_input),
                grad_weight: self.grad_weight.as_ref(),
                grad_bias: self.grad_bias.as_ref(),
            },
        )
    }

    fn run(&self, context: &Context, plan: &Plan) -> Result<Results> {
        let device = context.device();
        // The first recording, never submitted, allocates the scratch memory that is then poisoned.
        self.record(
            &mut device.create_command_encoder(&Default::default()),
            plan,
        )?;
        for scratch in plan.scratch() {
            let poison = vec![f32::NAN; scratch.size() as usize / 4];
            context
                .queue()
                .write_buffer(&scratch, 0, bytemuck::cast_slice(&poison));
        }
        let mut encoder = device.create_command_encoder(&Default::default());
        self.record(&mut encoder, plan)?;
        scoped(device, "a check", 0, || {
            context.queue().submit([encoder.finish()]);
        })?;
        let read = |tensor: Option<&Tensor>| tensor.map(Tensor::to_vec).transpose();
        let running = self.running.as_ref();
        let counter = running
            .map(|(_, _, counter)| counter.to_vec_u32())
            .transpose()?;
        Ok(Results {
            output: read(Some(&self.output))?,
            statistics: self.statistics.to_vec()?,
            running_mean: read(running.map(|(mean, ..)| mean))?,
            running_var: read(running.map(|(_, var, _)| var))?,
            num_batches_tracked: counter.map(|values| values.iter().map(|&n| n as f32).collect()),
            grad_input: read(Some(&self.grad_input))?,
            grad_weight: read(self.grad_weight.as_ref())?,
            grad_bias: read(self.grad_bias.as_ref())?,
        })
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn reference_parameters(case: &Case) -> reference::Parameters {
    let wide = |values: &Option<Vec<f32>>| values.as_deref().map(wide);
    reference::Parameters {
        weight: wide(&case.weight),
        bias: wide(&case.bias),
        running_mean: wide(&case.running_mean),
        running_var: wide(&case.running_var),
        num_batches_tracked: case.num_batches_tracked,
    }
}

fn rstd(var: f64, norm: &Norm) -> f64 {
    // eps as the device gets it
    let var = var + f64::from(norm.eps() as f32);
    if var == 0.0 { 0.0 } else { 1.0 / var.sqrt() }
}

/// About ‖rstd · weight · grad_output‖: what the input gradient is a difference of.
fn input_gradient_scale(
    case: &Case,
    forward: &reference::Forward,
    parameters: &reference::Parameters,
) -> f64 {
    let mean_square = |values: &[f64]| {
        let sum: f64 = values.iter().map(|value| value * value).sum();
        if values.is_empty() {
            0.0
        } else {
            sum / values.len() as f64
        }
    };
    let rstd: Vec<f64> = forward
        .var
        .iter()
        .map(|var| rstd(*var, &case.norm))
        .collect();
    let weight = parameters.weight.as_deref().map_or(1.0, mean_square);
    let gradient = mean_square(&wide(&case.grad_output)) * case.grad_output.len() as f64;
    (mean_square(&rstd) * weight * gradient).sqrt()
}
