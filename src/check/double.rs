//! The second derivative of a case: its tensors on the device, and what rounding errors of it are relative to.

use super::case::Case;
use super::device::Results;
use super::expected::{length, mean_square};
use crate::context::Context;
use crate::error::Result;
use crate::plan::{DoubleBackwardTensors, Plan};
use crate::reference::DoubleGradients;
use crate::tensor::Tensor;

/// The tensors that the first derivative has not.
pub(super) struct Double {
    grad_grad_input: Tensor,
    grad_input: Tensor,
    grad_weight: Option<Tensor>,
    grad_grad_output: Tensor,
}

impl Double {
    pub(super) fn new(context: &Context, case: &Case) -> Result<Option<Self>> {
        let Some(values) = &case.grad_grad_input else {
            return Ok(None);
        };
        let tensor = |values: &[f32]| Tensor::from_f32(context, case.dtype, values, &case.shape);
        let poisoned = || tensor(&vec![f32::NAN; values.len()]);
        let affine = case.norm.affine_shape(&case.shape);
        let grad_weight = case.weight.as_ref();
        let grad_weight = grad_weight.map(|_| Tensor::full(context, &affine, f32::NAN));
        Ok(Some(Self {
            grad_grad_input: tensor(values)?,
            grad_input: poisoned()?,
            grad_weight: grad_weight.transpose()?,
            grad_grad_output: poisoned()?,
        }))
    }

    pub(super) fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        plan: &Plan,
        [input, statistics, grad_output]: [&Tensor; 3],
        weight: Option<&Tensor>,
    ) -> Result<()> {
        let u = &self.grad_grad_input;
        let tensors = DoubleBackwardTensors {
            weight,
            grad_input: Some(&self.grad_input),
            grad_weight: self.grad_weight.as_ref(),
            grad_grad_output: Some(&self.grad_grad_output),
            ..DoubleBackwardTensors::new(input, statistics, grad_output, u)
        };
        plan.double_backward(encoder, &tensors)
    }

    pub(super) fn read(&self, results: &mut Results) -> Result<()> {
        results.insert("double_grad_input", self.grad_input.to_vec()?);
        results.insert("grad_grad_output", self.grad_grad_output.to_vec()?);
        if let Some(gradient) = &self.grad_weight {
            results.insert("double_grad_weight", gradient.to_vec()?);
        }
        Ok(())
    }
}

/// Gradients by name.
pub(super) fn named(gradients: DoubleGradients) -> [(&'static str, Option<Vec<f64>>); 3] {
    [
        ("double_grad_input", Some(gradients.grad_input)),
        ("double_grad_weight", gradients.grad_weight),
        ("grad_grad_output", Some(gradients.grad_grad_output)),
    ]
}

/// What rounding errors are relative to, where a gradient is small beside what it is made from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scales {
    pub(super) grad_input: f64,
    pub(super) grad_weight: f64,
    pub(super) grad_grad_output: f64,
}

impl Scales {
    /// `weight` is the size of what x̂ is multiplied with, `rstd` that of each group, `u` the gradient of `grad_input`.
    pub(super) fn new(
        case: &Case,
        rstd: &[f64],
        weight: f64,
        grad_output: &[f64],
        u: &[f64],
    ) -> Self {
        let products: Vec<f64> = grad_output.iter().zip(u).map(|(g, u)| g * u).collect();
        let squares: Vec<f64> = rstd.iter().map(|rstd| rstd * rstd).collect();
        let size = |values: &[f64]| mean_square(values).sqrt();
        let elements = (u.len() / rstd.len().max(1)) as f64;
        Self {
            // Averages of products over a group, times one of the factors; 0 where the running statistics normalize.
            grad_input: match case.norm.uses_batch_statistics(case.mode) {
                true => size(&squares) * weight * size(grad_output) * length(u) / elements.sqrt(),
                false => 0.0,
            },
            // A sum of terms whose signs are random.
            grad_weight: size(rstd) * length(&products),
            // What it is a difference of.
            grad_grad_output: size(rstd) * weight * length(u),
        }
    }
}
