//! One second derivative by a plan, of some gradients or in place.

use std::collections::BTreeMap;

use wgpu_norm::check::Case;
use wgpu_norm::kernel::Slot;
use wgpu_norm::{
    Context, DoubleBackwardTensors, DoubleWanted, Error, ForwardTensors, Plan, Running, Tensor,
};

use crate::common::encoder;

pub(super) type Results = BTreeMap<&'static str, Vec<f32>>;

/// What `grad_input` and `grad_grad_output` lie over.
pub(super) const OVER: [[Option<Slot>; 2]; 4] = [
    [Some(Slot::Input), Some(Slot::GradOutput)],
    [Some(Slot::GradOutput), Some(Slot::GradGradInput)],
    [Some(Slot::GradGradInput), Some(Slot::Input)],
    [None, Some(Slot::GradOutput)],
];

pub(super) const ALL: DoubleWanted = DoubleWanted {
    input: true,
    weight: true,
    grad_output: true,
};

/// All gradients, into tensors of their own.
pub(super) fn all(context: &Context, case: &Case) -> Results {
    run(context, case, ALL, [None; 2]).unwrap()
}

/// The gradients wanted, into tensors and by scratch memory that hold NaN.
pub(super) fn run(
    context: &Context,
    case: &Case,
    wanted: DoubleWanted,
    [over_input, over_output]: [Option<Slot>; 2],
) -> Result<Results, Error> {
    let Case {
        norm,
        mode,
        shape,
        dtype,
        ..
    } = case;
    let plan = Plan::of_dtype(context, *dtype, norm.clone(), shape, *mode)?;
    let data = |values: &[f32]| Tensor::from_f32(context, *dtype, values, shape);
    let poisoned = || data(&vec![f32::NAN; case.input.len()]);
    let input = data(&case.input)?;
    let (grad_output, u) = (
        data(&case.grad_output)?,
        data(case.grad_grad_input.as_ref().unwrap())?,
    );
    let affine = norm.affine_shape(shape);
    let weight = parameter(context, &case.weight, &affine)?;
    let statistics = statistics(context, case, &plan, &input, weight.as_ref())?;
    let place = |over: Option<Slot>| match over {
        Some(Slot::Input) => Ok(input.clone()),
        Some(Slot::GradOutput) => Ok(grad_output.clone()),
        Some(Slot::GradGradInput) => Ok(u.clone()),
        _ => poisoned(),
    };
    let grad_input = wanted.input.then(|| place(over_input)).transpose()?;
    let grad_grad_output = wanted.grad_output.then(|| place(over_output)).transpose()?;
    let grad_weight = weight.as_ref().filter(|_| wanted.weight);
    let grad_weight = grad_weight.map(|_| Tensor::full(context, &affine, f32::NAN));
    let grad_weight = grad_weight.transpose()?;
    let tensors = DoubleBackwardTensors {
        weight: weight.as_ref(),
        grad_input: grad_input.as_ref(),
        grad_weight: grad_weight.as_ref(),
        grad_grad_output: grad_grad_output.as_ref(),
        ..DoubleBackwardTensors::new(&input, &statistics, &grad_output, &u)
    };
    // Allocates scratch memory, and is not submitted.
    plan.double_backward(&mut encoder(context), &tensors)?;
    for scratch in plan.scratch() {
        let poison = vec![f32::NAN; scratch.size() as usize / 4];
        let bytes = bytemuck::cast_slice(&poison);
        context.queue().write_buffer(&scratch, 0, bytes);
    }
    let mut encoder = encoder(context);
    plan.double_backward(&mut encoder, &tensors)?;
    context.queue().submit([encoder.finish()]);
    let mut results = Results::new();
    for (name, tensor) in [
        ("double_grad_input", &grad_input),
        ("double_grad_weight", &grad_weight),
        ("grad_grad_output", &grad_grad_output),
    ] {
        if let Some(tensor) = tensor {
            results.insert(name, tensor.to_vec()?);
        }
    }
    Ok(results)
}

/// What the forward pass leaves.
fn statistics(
    context: &Context,
    case: &Case,
    plan: &Plan,
    input: &Tensor,
    weight: Option<&Tensor>,
) -> Result<Tensor, Error> {
    let (norm, shape) = (&case.norm, &case.shape);
    let bias = parameter(context, &case.bias, &norm.affine_shape(shape))?;
    let running = |values| parameter(context, values, &norm.parameter_shape());
    let mean = running(&case.running_mean)?;
    let var = running(&case.running_var)?;
    let num_batches_tracked = &Tensor::counter(context)?;
    let running = match (&mean, &var) {
        (Some(mean), Some(var)) => Some(Running {
            mean,
            var,
            num_batches_tracked,
        }),
        _ => None,
    };
    let statistics = Tensor::uninit(context, &plan.statistics_shape())?;
    let output = Tensor::uninit_of(context, case.dtype, shape)?;
    let mut encoder = encoder(context);
    let forward = ForwardTensors {
        weight,
        bias: bias.as_ref(),
        statistics: Some(&statistics),
        running,
        ..ForwardTensors::new(input, &output)
    };
    plan.forward(&mut encoder, &forward)?;
    context.queue().submit([encoder.finish()]);
    Ok(statistics)
}

fn parameter(
    context: &Context,
    values: &Option<Vec<f32>>,
    shape: &[usize],
) -> Result<Option<Tensor>, Error> {
    let values = values.as_ref();
    values
        .map(|values| Tensor::from_slice(context, values, shape))
        .transpose()
}
