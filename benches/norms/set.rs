//! The tensors that one run of a norm reads and writes. Runs take turns with several sets, which do not fit the cache together.

use std::cell::RefCell;

use wgpu_norm::check::Case;
use wgpu_norm::geometry::Residual;
use wgpu_norm::{Context, Plan, Tensor};

use super::shard::Shard;
use crate::Result;

/// Tensors of the norm's shape, and a plan that knows no others.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) plan: Plan,
    pub(crate) input: Tensor,
    pub(crate) output: Tensor,
    pub(crate) grad_output: Tensor,
    pub(crate) grad_input: Tensor,
    pub(crate) residual: Option<Tensor>,
    pub(crate) residual_output: Option<Tensor>,
    pub(crate) grad_residual_output: Option<Tensor>,
    pub(crate) grad_residual: Option<Tensor>,
    pub(crate) lengths: Option<Tensor>,
    /// Of the second derivative.
    pub(crate) double: Option<Double>,
    /// Of synchronized batch norm.
    pub(crate) shard: Option<Shard>,
}

/// Gradient of `grad_input`, and that of `grad_output`.
#[derive(Debug)]
pub(crate) struct Double {
    pub(crate) grad_grad_input: Tensor,
    pub(crate) grad_grad_output: Tensor,
}

impl Set {
    pub(crate) fn new(context: &Context, case: &Case) -> Result<Self> {
        let tensor = |values: &[f32]| Tensor::from_f32(context, case.dtype, values, &case.shape);
        let poison = vec![f32::NAN; case.input.len()];
        let given = |values: &Option<Vec<f32>>| values.as_deref().map(tensor).transpose();
        let before = case.norm.residual_place() == Residual::Before;
        let beside = |here: bool| {
            let residual = case.residual.as_ref().filter(|_| here);
            residual.map(|_| tensor(&poison)).transpose()
        };
        let lengths = case.lengths.as_deref();
        let lengths = lengths.map(|lengths| Tensor::from_slice(context, lengths, &[lengths.len()]));
        let double = |values: &Vec<f32>| -> Result<Double> {
            Ok(Double {
                grad_grad_input: tensor(values)?,
                grad_grad_output: tensor(&poison)?,
            })
        };
        Ok(Self {
            plan: plan(context, case)?,
            input: tensor(&case.input)?,
            output: tensor(&poison)?,
            grad_output: tensor(&case.grad_output)?,
            grad_input: tensor(&poison)?,
            residual: given(&case.residual)?,
            residual_output: beside(before)?,
            grad_residual_output: given(&case.grad_residual_output)?,
            grad_residual: beside(!before)?,
            lengths: lengths.transpose()?,
            double: case.grad_grad_input.as_ref().map(double).transpose()?,
            shard: None,
        })
    }

    /// Another set with what this one has in it, copied on the device. Evaluation leaves gradients alone: all of its sets have the same.
    pub(crate) fn again(&self, context: &Context, case: &Case) -> Result<Self> {
        let encoder = RefCell::new(context.device().create_command_encoder(&Default::default()));
        let copy = |tensor: &Tensor| -> Result<Tensor> {
            let copy = Tensor::uninit_of(context, tensor.dtype(), tensor.shape())?;
            let (from, to) = (tensor.buffer(), copy.buffer());
            let mut encoder = encoder.borrow_mut();
            encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            Ok(copy)
        };
        let given = |tensor: &Option<Tensor>| tensor.as_ref().map(copy).transpose();
        let gradient = |tensor: &Tensor| match case.mode.batch_statistics {
            true => copy(tensor),
            false => Ok(tensor.clone()),
        };
        let double = |double: &Double| -> Result<Double> {
            Ok(Double {
                grad_grad_input: copy(&double.grad_grad_input)?,
                grad_grad_output: copy(&double.grad_grad_output)?,
            })
        };
        let set = Self {
            plan: plan(context, case)?,
            input: copy(&self.input)?,
            output: copy(&self.output)?,
            grad_output: gradient(&self.grad_output)?,
            grad_input: gradient(&self.grad_input)?,
            residual: given(&self.residual)?,
            residual_output: given(&self.residual_output)?,
            grad_residual_output: given(&self.grad_residual_output)?,
            grad_residual: given(&self.grad_residual)?,
            lengths: given(&self.lengths)?,
            double: self.double.as_ref().map(double).transpose()?,
            shard: None,
        };
        context.queue().submit([encoder.into_inner().finish()]);
        Ok(set)
    }
}

fn plan(context: &Context, case: &Case) -> wgpu_norm::Result<Plan> {
    Plan::of_dtype(
        context,
        case.dtype,
        case.norm.clone(),
        &case.shape,
        case.mode,
    )
}
