//! Layers: a norm with its parameters and running statistics, for training loops.

mod double;
mod inputs;
mod passes;

pub use double::DoubleGradients;
pub use inputs::{Inputs, OutputGradients};
pub use passes::{Forward, Gradients, Saved};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::context::Context;
use crate::dtype::DType;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::ops::{Mode, Norm};
use crate::plan::{Extras, Plan, Running, WarmUp};
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

type Plans = HashMap<(Vec<usize>, DType, Mode), Arc<Plan>>;

/// Plans that a layer keeps: inputs of ever new shapes must not fill the memory with scratch buffers.
const MOST_PLANS: usize = 64;

#[derive(Debug)]
struct OwnRunning {
    mean: Tensor,
    var: Tensor,
    num_batches_tracked: Tensor,
}

impl Layer {
    /// A layer with weight 1, bias 0, running mean 0, running variance 1 and no batches tracked, as far as the norm has these. A weight
    /// that is stored as its distance from 1 is 0; weight and bias of each sample are not the layer's ([`Inputs::weight`]).
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
        let own = !norm.per_sample();
        let one = if norm.zero_centered_weight() {
            0.0
        } else {
            1.0
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
            weight: filled(norm.has_weight() && own, one)?,
            bias: filled(norm.has_bias() && own, 0.0)?,
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
            .map(|tensor| {
                Ok(tensor
                    .to_vec_of::<u32>()?
                    .iter()
                    .map(|&n| u64::from(n))
                    .sum())
            })
            .transpose()
    }

    /// The plan for inputs of `shape`, of F32, in `mode`, made at the first call.
    ///
    /// # Errors
    /// Those of [`Plan::new`].
    pub fn plan(&self, shape: &[usize], mode: Mode) -> Result<Arc<Plan>> {
        self.plan_of(DType::F32, shape, mode)
    }

    /// [`Layer::plan`] for inputs of type `dtype`.
    ///
    /// # Errors
    /// Those of [`Plan::of_dtype`].
    pub fn plan_of(&self, dtype: DType, shape: &[usize], mode: Mode) -> Result<Arc<Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (shape.to_vec(), dtype, mode);
        if let Some(plan) = plans.get(&key) {
            return Ok(plan.clone());
        }
        let plan = Plan::of_dtype(&self.context, dtype, self.norm.clone(), shape, mode)?;
        // A layer's outputs are new tensors each time: keeping them would only keep their memory.
        let plan = Arc::new(plan.without_kept_tensors());
        if plans.len() == MOST_PLANS {
            plans.clear();
        }
        plans.insert(key, plan.clone());
        Ok(plan)
    }

    /// Makes the plan for inputs of `shape`, of F32, in `mode` ready, so that its first use takes as long as later ones: compiles the pipelines
    /// of the forward pass and, in training, of the backward pass with all gradients, and allocates their scratch memory.
    ///
    /// # Errors
    /// Those of [`Plan::new`] and [`Plan::warm_up`].
    pub fn warm_up(&self, shape: &[usize], mode: Mode) -> Result<WarmUp> {
        self.warm_up_of(DType::F32, shape, mode)
    }

    /// [`Layer::warm_up`] for inputs of type `dtype`.
    ///
    /// # Errors
    /// Those of [`Plan::of_dtype`] and [`Plan::warm_up`].
    pub fn warm_up_of(&self, dtype: DType, shape: &[usize], mode: Mode) -> Result<WarmUp> {
        let plan = self.plan_of(dtype, shape, mode)?;
        let backward = mode.batch_statistics.then(|| plan.all_gradients());
        plan.warm_up_passes(false, backward, Extras::default())
    }
}
