//! The passes of a layer.

use std::sync::Arc;

use super::{Inputs, Layer, OutputGradients};
use crate::activation::Activation;
use crate::context::Context;
#[cfg(doc)]
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::geometry::Residual;
use crate::ops::Mode;
use crate::plan::{BackwardTensors, ForwardTensors, Plan};
use crate::scope::scoped;
use crate::tensor::Tensor;

/// What a forward pass gives.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The normalized tensor, of the input's shape.
    pub output: Tensor,
    /// Input + residual, where layer or RMS norm has added one: what goes on to the next layer's residual.
    pub residual_output: Option<Tensor>,
    /// What the backward pass needs. Dropping it frees that memory.
    pub saved: Saved,
}

/// What a forward pass saves for its backward pass: the input itself, not a copy, or its sum with the residual; the residual where
/// an activation follows it; weight and bias of the samples; and four numbers per group.
#[derive(Debug, Clone)]
pub struct Saved {
    /// What is normalized.
    pub(super) input: Tensor,
    pub(super) has_residual: bool,
    /// Where the backward pass needs it.
    residual: Option<Tensor>,
    /// Those of the samples.
    pub(super) weight: Option<Tensor>,
    bias: Option<Tensor>,
    pub(super) lengths: Option<Tensor>,
    pub(super) statistics: Tensor,
    pub(super) plan: Arc<Plan>,
}

impl Saved {
    /// The statistics of each group, as [`Plan::statistics_shape`] describes.
    #[must_use]
    pub const fn statistics(&self) -> &Tensor {
        &self.statistics
    }

    /// A place for a gradient like what was normalized.
    pub(super) fn new_gradient(&self, context: &Context) -> Result<Tensor> {
        Tensor::uninit_of(context, self.input.dtype(), self.input.shape())
    }
}

/// What a backward pass gives.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// Gradient of the input, of its shape.
    pub grad_input: Tensor,
    /// Gradient of the residual, if there was one, of its shape. In layer and RMS norm it is the same tensor as `grad_input`, in the
    /// others without activation and without lengths the same as `grad_output`.
    pub grad_residual: Option<Tensor>,
    /// Gradient of the weight, if there is one, of its shape.
    pub grad_weight: Option<Tensor>,
    /// Gradient of the bias, if there is one, of its shape.
    pub grad_bias: Option<Tensor>,
}

/// Where the gradients of a backward pass go; those of the parameters to new tensors.
#[derive(Debug, Clone, Copy, Default)]
struct Places<'a> {
    grad_input: Option<&'a Tensor>,
    grad_residual: Option<&'a Tensor>,
    parameters: bool,
}

impl Layer {
    /// Normalizes an input, of any type of [`DType::DATA`], into a new tensor of the same type, and submits that work. `inputs` is an `&Tensor`, or [`Inputs`] with what goes in with it.
    ///
    /// # Errors
    /// Those of [`Plan::of_dtype`] and [`Plan::forward`]; the layer is unchanged then.
    pub fn forward<'a>(&'a self, inputs: impl Into<Inputs<'a>>, mode: Mode) -> Result<Forward> {
        self.submitted("wgpu-norm.forward", |encoder| {
            self.record_forward(encoder, inputs, mode)
        })
    }

    /// [`Layer::forward`], recorded into the caller's encoder.
    ///
    /// # Errors
    /// Those of [`Layer::forward`].
    pub fn record_forward<'a>(
        &'a self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: impl Into<Inputs<'a>>,
        mode: Mode,
    ) -> Result<Forward> {
        self.context.check_lost()?;
        let inputs = inputs.into();
        let (input, residual) = (inputs.input, inputs.residual);
        let plan = self.plan_of(input.dtype(), input.shape(), mode)?;
        let like_input = || Tensor::uninit_of(&self.context, input.dtype(), input.shape());
        let output = like_input()?;
        let statistics = Tensor::uninit(&self.context, &plan.statistics_shape())?;
        let before = self.norm.residual_place() == Residual::Before;
        let residual_output = match residual {
            Some(_) if before => Some(like_input()?),
            _ => None,
        };
        plan.forward(
            encoder,
            &ForwardTensors {
                weight: self.affine("weight", self.weight.as_ref(), inputs.weight)?,
                bias: self.affine("bias", self.bias.as_ref(), inputs.bias)?,
                statistics: Some(&statistics),
                running: self.running(),
                residual,
                residual_output: residual_output.as_ref(),
                lengths: inputs.lengths,
                ..ForwardTensors::new(input, &output)
            },
        )?;
        let activated = self.norm.activation() != Activation::None;
        let saved = Saved {
            input: residual_output.as_ref().unwrap_or(input).clone(),
            has_residual: residual.is_some(),
            residual: residual.filter(|_| activated && !before).cloned(),
            weight: inputs.weight.cloned(),
            bias: inputs.bias.cloned(),
            lengths: inputs.lengths.cloned(),
            statistics,
            plan,
        };
        Ok(Forward {
            output,
            residual_output,
            saved,
        })
    }

    /// The layer's own, or that of the pass.
    fn affine<'a>(
        &self,
        name: &'static str,
        own: Option<&'a Tensor>,
        given: Option<&'a Tensor>,
    ) -> Result<Option<&'a Tensor>> {
        if given.is_some() && !self.norm.per_sample() {
            return Err(Error::Unexpected(name, "it is the layer's own"));
        }
        Ok(own.or(given))
    }

    /// The gradients of input, weight and bias, in new tensors, and submits that work. `gradients` is the `&Tensor` of the output's
    /// gradient, or [`OutputGradients`].
    ///
    /// Weight and bias must not have been changed since the forward pass.
    ///
    /// # Errors
    /// Those of [`Plan::backward`]; [`Error::Unexpected`] if `saved` comes from another norm, or for the gradient of a
    /// `residual_output` that there was not.
    pub fn backward<'a>(
        &'a self,
        saved: &'a Saved,
        gradients: impl Into<OutputGradients<'a>>,
    ) -> Result<Gradients> {
        self.submitted("wgpu-norm.backward", |encoder| {
            self.record_backward(encoder, saved, gradients)
        })
    }

    /// [`Layer::backward`], recorded into the caller's encoder.
    ///
    /// # Errors
    /// Those of [`Layer::backward`].
    pub fn record_backward<'a>(
        &'a self,
        encoder: &mut wgpu::CommandEncoder,
        saved: &'a Saved,
        gradients: impl Into<OutputGradients<'a>>,
    ) -> Result<Gradients> {
        let gradients = gradients.into();
        if gradients.grad_residual_output.is_some() && !saved.has_residual {
            let reason = "the forward pass had no residual";
            return Err(Error::Unexpected("grad_residual_output", reason));
        }
        let grad_input = saved.new_gradient(&self.context)?;
        let after = saved.has_residual && self.norm.residual_place() == Residual::After;
        // Else it is that of the output.
        let of_its_own = saved.residual.is_some() || after && saved.lengths.is_some();
        let own_gradient = match of_its_own {
            true => Some(saved.new_gradient(&self.context)?),
            false => None,
        };
        let places = Places {
            grad_input: Some(&grad_input),
            grad_residual: own_gradient.as_ref(),
            parameters: true,
        };
        let (grad_weight, grad_bias) = self.record_gradients(encoder, saved, gradients, places)?;
        let same = match self.norm.residual_place() {
            Residual::Before => &grad_input,
            Residual::After => gradients.grad_output,
        };
        let grad_residual = saved
            .has_residual
            .then(|| own_gradient.unwrap_or_else(|| same.clone()));
        Ok(Gradients {
            grad_residual,
            grad_input,
            grad_weight,
            grad_bias,
        })
    }

    /// The gradient of the input alone, for layers whose parameters are frozen; submits that work.
    ///
    /// # Errors
    /// Those of [`Layer::backward`].
    pub fn backward_input(&self, saved: &Saved, grad_output: &Tensor) -> Result<Tensor> {
        let grad_input = saved.new_gradient(&self.context)?;
        self.submitted("wgpu-norm.backward_input", |encoder| {
            let places = Places {
                grad_input: Some(&grad_input),
                ..Places::default()
            };
            self.record_gradients(encoder, saved, grad_output.into(), places)
        })?;
        Ok(grad_input)
    }

    /// The gradients of weight and bias alone, for a first layer; submits that work.
    ///
    /// # Errors
    /// Those of [`Layer::backward`].
    pub fn backward_parameters(
        &self,
        saved: &Saved,
        grad_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.submitted("wgpu-norm.backward_parameters", |encoder| {
            let places = Places {
                parameters: true,
                ..Places::default()
            };
            self.record_gradients(encoder, saved, grad_output.into(), places)
        })
    }

    fn record_gradients(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        saved: &Saved,
        gradients: OutputGradients<'_>,
        places: Places<'_>,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.expect_own(saved)?;
        let weight = self.weight.as_ref().or(saved.weight.as_ref());
        let bias = self.bias.as_ref().or(saved.bias.as_ref());
        let gradient = |parameter: Option<&Tensor>| {
            let parameter = parameter.filter(|_| places.parameters);
            parameter
                .map(|tensor| Tensor::uninit(&self.context, tensor.shape()))
                .transpose()
        };
        let (grad_weight, grad_bias) = (gradient(weight)?, gradient(bias)?);
        saved.plan.backward(
            encoder,
            &BackwardTensors {
                weight,
                bias,
                residual: saved.residual.as_ref(),
                grad_input: places.grad_input,
                grad_residual: places.grad_residual,
                grad_residual_output: gradients.grad_residual_output,
                grad_weight: grad_weight.as_ref(),
                grad_bias: grad_bias.as_ref(),
                lengths: saved.lengths.as_ref(),
                ..BackwardTensors::new(&saved.input, &saved.statistics, gradients.grad_output)
            },
        )?;
        Ok((grad_weight, grad_bias))
    }

    /// What was saved must be of a norm like this, on this device, which is not lost.
    pub(super) fn expect_own(&self, saved: &Saved) -> Result<()> {
        self.context.check_lost()?;
        if !saved.input.context().is_same_device(&self.context) {
            return Err(Error::OtherContext("saved"));
        }
        if saved.plan.norm() != &self.norm {
            return Err(Error::Unexpected("saved", "it comes from another norm"));
        }
        Ok(())
    }

    pub(crate) fn submitted<T>(
        &self,
        label: &str,
        record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<T>,
    ) -> Result<T> {
        let device = self.context.device();
        let mut encoder =
            device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) });
        let recorded = record(&mut encoder)?;
        scoped(device, label, 0, || {
            self.context.queue().submit([encoder.finish()]);
        })?;
        Ok(recorded)
    }
}
