//! Layers: a norm with its parameters and running statistics, for training loops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::activation::Activation;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::geometry::Residual;
use crate::ops::{Mode, Norm};
use crate::plan::{BackwardTensors, ForwardTensors, Plan, Running, WarmUp};
use crate::scope::scoped;
use crate::tensor::Tensor;

/// A normalization with weight, bias and running statistics in GPU memory.
///
/// Work that is submitted to a lost device is swallowed by wgpu: the loss shows at the next call that reads or allocates.
///
/// Works on inputs of any batch size and, for norms over channels, any spatial size; the plan of each shape and mode is made at its
/// first use and kept. Usable from several threads at once; the updates of running statistics then happen
/// in the order in which the passes are submitted.
///
/// ```no_run
/// use wgpu_norm::{BatchNorm, Context, Layer, Mode, Tensor};
/// # fn main() -> wgpu_norm::Result<()> {
/// let context = Context::new()?;
/// let layer = Layer::new(&context, BatchNorm::new(3))?;
/// let input = Tensor::from_slice(&context, &[0.5; 2 * 3 * 4], &[2, 3, 4])?;
/// let forward = layer.forward(&input, Mode::TRAINING)?;
/// let gradients = layer.backward(&forward.saved, &forward.output)?;
/// assert_eq!(gradients.grad_input.shape(), [2, 3, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Layer {
    context: Context,
    norm: Norm,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    running: Option<OwnRunning>,
    plans: Mutex<Plans>,
}

type Plans = HashMap<(Vec<usize>, Mode), Arc<Plan>>;

/// Plans that a layer keeps: inputs of ever new shapes must not fill the memory with scratch buffers.
const MOST_PLANS: usize = 64;

#[derive(Debug)]
struct OwnRunning {
    mean: Tensor,
    var: Tensor,
    num_batches_tracked: Tensor,
}

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
/// an activation follows it; and four numbers per group.
#[derive(Debug, Clone)]
pub struct Saved {
    /// What is normalized.
    input: Tensor,
    has_residual: bool,
    /// Where the backward pass needs it.
    residual: Option<Tensor>,
    statistics: Tensor,
    plan: Arc<Plan>,
}

impl Saved {
    /// The statistics of each group, as [`Plan::statistics_shape`] describes.
    #[must_use]
    pub const fn statistics(&self) -> &Tensor {
        &self.statistics
    }
}

/// What a backward pass gives.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// Gradient of the input, of its shape.
    pub grad_input: Tensor,
    /// Gradient of the residual, if there was one, of its shape. In layer and RMS norm it is the same tensor as `grad_input`, in the
    /// others without activation the same as `grad_output`.
    pub grad_residual: Option<Tensor>,
    /// Gradient of the weight, if there is one.
    pub grad_weight: Option<Tensor>,
    /// Gradient of the bias, if there is one.
    pub grad_bias: Option<Tensor>,
}

/// Where the gradients of a backward pass go; those of the parameters to new tensors.
#[derive(Debug, Clone, Copy, Default)]
struct Places<'a> {
    grad_input: Option<&'a Tensor>,
    grad_residual: Option<&'a Tensor>,
    grad_residual_output: Option<&'a Tensor>,
    parameters: bool,
}

impl Layer {
    /// A layer with weight 1, bias 0, running mean 0, running variance 1 and no batches tracked, as far as the norm has these.
    ///
    /// # Errors
    /// Those of [`Norm::validate`], [`Error::OutOfMemory`] and [`Error::Limit`].
    pub fn new(context: &Context, norm: impl Into<Norm>) -> Result<Self> {
        let norm = norm.into();
        norm.validate()?;
        let shape = norm.parameter_shape();
        let filled = |has: bool, value| {
            has.then(|| Tensor::full(context, &shape, value))
                .transpose()
        };
        let running = match norm.tracks_running_stats() {
            true => Some(OwnRunning {
                mean: Tensor::full(context, &shape, 0.0)?,
                var: Tensor::full(context, &shape, 1.0)?,
                num_batches_tracked: Tensor::counter(context)?,
            }),
            false => None,
        };
        Ok(Self {
            context: context.clone(),
            weight: filled(norm.has_weight(), 1.0)?,
            bias: filled(norm.has_bias(), 0.0)?,
            running,
            norm,
            plans: Mutex::default(),
        })
    }

    /// The norm.
    #[must_use]
    pub const fn norm(&self) -> &Norm {
        &self.norm
    }

    /// The context.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The weight, of shape [`Norm::parameter_shape`]: read, written and updated in place by optimizers.
    #[must_use]
    pub const fn weight(&self) -> Option<&Tensor> {
        self.weight.as_ref()
    }

    /// The bias, of shape [`Norm::parameter_shape`].
    #[must_use]
    pub const fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The running mean, `[C]`.
    #[must_use]
    pub fn running_mean(&self) -> Option<&Tensor> {
        self.running.as_ref().map(|running| &running.mean)
    }

    /// The running (unbiased) variance, `[C]`.
    #[must_use]
    pub fn running_var(&self) -> Option<&Tensor> {
        self.running.as_ref().map(|running| &running.var)
    }

    /// The running statistics together, as a [`Plan`] takes them.
    #[must_use]
    pub fn running(&self) -> Option<Running<'_>> {
        self.running.as_ref().map(|running| Running {
            mean: &running.mean,
            var: &running.var,
            num_batches_tracked: &running.num_batches_tracked,
        })
    }

    /// The counter of batches that the running statistics have taken in, `[1]`, of type U32.
    #[must_use]
    pub fn num_batches_tracked_tensor(&self) -> Option<&Tensor> {
        let running = self.running.as_ref();
        running.map(|running| &running.num_batches_tracked)
    }

    /// The number of batches that the running statistics have taken in. Waits for the device.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub fn num_batches_tracked(&self) -> Result<Option<u64>> {
        let counter = self.num_batches_tracked_tensor();
        counter
            .map(|tensor| Ok(tensor.to_vec_u32()?.iter().map(|&n| u64::from(n)).sum()))
            .transpose()
    }

    /// The plan for inputs of `shape` in `mode`, made at the first call.
    ///
    /// # Errors
    /// Those of [`Plan::new`].
    pub fn plan(&self, shape: &[usize], mode: Mode) -> Result<Arc<Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (shape.to_vec(), mode);
        if let Some(plan) = plans.get(&key) {
            return Ok(plan.clone());
        }
        let plan = Plan::new(&self.context, self.norm.clone(), shape, mode)?;
        // A layer's outputs are new tensors each time: keeping them would only keep their memory.
        let plan = Arc::new(plan.without_kept_tensors());
        if plans.len() == MOST_PLANS {
            plans.clear();
        }
        plans.insert(key, plan.clone());
        Ok(plan)
    }

    /// Makes the plan for inputs of `shape` in `mode` ready, so that its first use takes as long as later ones: compiles the pipelines
    /// of the forward pass and, in training, of the backward pass with all gradients, and allocates their scratch memory.
    ///
    /// # Errors
    /// Those of [`Plan::new`] and [`Plan::warm_up`].
    pub fn warm_up(&self, shape: &[usize], mode: Mode) -> Result<WarmUp> {
        let plan = self.plan(shape, mode)?;
        let backward = mode.batch_statistics.then(|| plan.all_gradients());
        plan.warm_up_passes(false, backward, false)
    }

    /// Normalizes `input` into a new tensor, and submits that work.
    ///
    /// # Errors
    /// Those of [`Plan::new`] and [`Plan::forward`]; the layer is unchanged then.
    pub fn forward(&self, input: &Tensor, mode: Mode) -> Result<Forward> {
        self.submitted("wgpu-norm.forward", |encoder| {
            self.record_forward(encoder, input, mode)
        })
    }

    /// [`Layer::forward`] with a residual of the input's shape, in the same passes over memory: batch, instance and group norm add it
    /// after weight and bias, `output = activation(norm(input) + residual)`; layer and RMS norm before the norm,
    /// `residual_output = input + residual; output = activation(norm(residual_output))`.
    ///
    /// # Errors
    /// Those of [`Layer::forward`].
    pub fn forward_residual(
        &self,
        input: &Tensor,
        residual: &Tensor,
        mode: Mode,
    ) -> Result<Forward> {
        self.submitted("wgpu-norm.forward_residual", |encoder| {
            self.record_forward_residual(encoder, input, residual, mode)
        })
    }

    /// [`Layer::forward`], recorded into the caller's encoder.
    ///
    /// # Errors
    /// Those of [`Layer::forward`].
    pub fn record_forward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        input: &Tensor,
        mode: Mode,
    ) -> Result<Forward> {
        self.record_any_forward(encoder, input, None, mode)
    }

    /// [`Layer::forward_residual`], recorded into the caller's encoder.
    ///
    /// # Errors
    /// Those of [`Layer::forward`].
    pub fn record_forward_residual(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        input: &Tensor,
        residual: &Tensor,
        mode: Mode,
    ) -> Result<Forward> {
        self.record_any_forward(encoder, input, Some(residual), mode)
    }

    fn record_any_forward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        input: &Tensor,
        residual: Option<&Tensor>,
        mode: Mode,
    ) -> Result<Forward> {
        self.context.check_lost()?;
        let plan = self.plan(input.shape(), mode)?;
        let output = Tensor::uninit(&self.context, input.shape())?;
        let statistics = Tensor::uninit(&self.context, &plan.statistics_shape())?;
        let before = self.norm.residual_place() == Residual::Before;
        let residual_output = match residual {
            Some(_) if before => Some(Tensor::uninit(&self.context, input.shape())?),
            _ => None,
        };
        plan.forward(
            encoder,
            &ForwardTensors {
                weight: self.weight.as_ref(),
                bias: self.bias.as_ref(),
                statistics: Some(&statistics),
                running: self.running(),
                residual,
                residual_output: residual_output.as_ref(),
                ..ForwardTensors::new(input, &output)
            },
        )?;
        let activated = self.norm.activation() != Activation::None;
        let saved = Saved {
            input: residual_output.as_ref().unwrap_or(input).clone(),
            has_residual: residual.is_some(),
            residual: residual.filter(|_| activated && !before).cloned(),
            statistics,
            plan,
        };
        Ok(Forward {
            output,
            residual_output,
            saved,
        })
    }

    /// The gradients of input, weight and bias, in new tensors, and submits that work.
    ///
    /// The weight must not have been changed since the forward pass.
    ///
    /// # Errors
    /// Those of [`Plan::backward`]; [`Error::Unexpected`] if `saved` comes from another norm.
    pub fn backward(&self, saved: &Saved, grad_output: &Tensor) -> Result<Gradients> {
        self.submitted("wgpu-norm.backward", |encoder| {
            self.record_backward(encoder, saved, grad_output)
        })
    }

    /// [`Layer::backward`], recorded into the caller's encoder.
    ///
    /// # Errors
    /// Those of [`Layer::backward`].
    pub fn record_backward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        saved: &Saved,
        grad_output: &Tensor,
    ) -> Result<Gradients> {
        self.record_all_gradients(encoder, saved, grad_output, None)
    }

    /// [`Layer::backward`] of layer and RMS norm with a residual, with the gradient of [`Forward::residual_output`], which is added
    /// to that of the input ([`Layer::backward`] takes it for 0).
    ///
    /// # Errors
    /// Those of [`Layer::backward`]; [`Error::Unexpected`] if the forward pass gave no `residual_output`.
    pub fn backward_residual(
        &self,
        saved: &Saved,
        grad_output: &Tensor,
        grad_residual_output: &Tensor,
    ) -> Result<Gradients> {
        self.submitted("wgpu-norm.backward_residual", |encoder| {
            self.record_backward_residual(encoder, saved, grad_output, grad_residual_output)
        })
    }

    /// [`Layer::backward_residual`], recorded into the caller's encoder.
    ///
    /// # Errors
    /// Those of [`Layer::backward_residual`].
    pub fn record_backward_residual(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        saved: &Saved,
        grad_output: &Tensor,
        grad_residual_output: &Tensor,
    ) -> Result<Gradients> {
        if !saved.has_residual {
            let reason = "the forward pass had no residual";
            return Err(Error::Unexpected("grad_residual_output", reason));
        }
        self.record_all_gradients(encoder, saved, grad_output, Some(grad_residual_output))
    }

    fn record_all_gradients(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        saved: &Saved,
        grad_output: &Tensor,
        grad_residual_output: Option<&Tensor>,
    ) -> Result<Gradients> {
        let grad_input = Tensor::uninit(&self.context, saved.input.shape())?;
        let through_activation = match saved.residual {
            Some(_) => Some(Tensor::uninit(&self.context, saved.input.shape())?),
            None => None,
        };
        let places = Places {
            grad_input: Some(&grad_input),
            grad_residual: through_activation.as_ref(),
            grad_residual_output,
            parameters: true,
        };
        let (grad_weight, grad_bias) =
            self.record_gradients(encoder, saved, grad_output, places)?;
        let same = match self.norm.residual_place() {
            Residual::Before => &grad_input,
            Residual::After => grad_output,
        };
        let grad_residual = saved
            .has_residual
            .then(|| through_activation.unwrap_or_else(|| same.clone()));
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
        let grad_input = Tensor::uninit(&self.context, saved.input.shape())?;
        self.submitted("wgpu-norm.backward_input", |encoder| {
            let places = Places {
                grad_input: Some(&grad_input),
                ..Places::default()
            };
            self.record_gradients(encoder, saved, grad_output, places)
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
            self.record_gradients(encoder, saved, grad_output, places)
        })
    }

    fn record_gradients(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        saved: &Saved,
        grad_output: &Tensor,
        places: Places<'_>,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.context.check_lost()?;
        if !saved.input.context().is_same_device(&self.context) {
            return Err(Error::OtherContext("saved"));
        }
        if saved.plan.norm() != &self.norm {
            return Err(Error::Unexpected("saved", "it comes from another norm"));
        }
        let gradient = |parameter: &Option<Tensor>| {
            let parameter = parameter.as_ref().filter(|_| places.parameters);
            parameter
                .map(|tensor| Tensor::uninit(&self.context, tensor.shape()))
                .transpose()
        };
        let (grad_weight, grad_bias) = (gradient(&self.weight)?, gradient(&self.bias)?);
        saved.plan.backward(
            encoder,
            &BackwardTensors {
                weight: self.weight.as_ref(),
                bias: self.bias.as_ref(),
                residual: saved.residual.as_ref(),
                grad_input: places.grad_input,
                grad_residual: places.grad_residual,
                grad_residual_output: places.grad_residual_output,
                grad_weight: grad_weight.as_ref(),
                grad_bias: grad_bias.as_ref(),
                ..BackwardTensors::new(&saved.input, &saved.statistics, grad_output)
            },
        )?;
        Ok((grad_weight, grad_bias))
    }

    fn submitted<T>(
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
