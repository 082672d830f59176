use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Moments, Statistics, Sums, SyncPlan};
use crate::activation::Activation;
use crate::dtype::DType;
use crate::error::{Error, Result, same_length};
use crate::layer::{Gradients, Layer};
use crate::ops::{BatchNorm, Mode, Norm};
use crate::plan::{BackwardTensors, ForwardTensors};
use crate::tensor::Tensor;

/// Plans kept, as many as by a layer.
const MOST_PLANS: usize = 64;

/// A batch norm layer that trains on one shard of each batch, with the statistics of all shards.
///
/// The exchange is a closure, which gets what this rank has and returns [`Statistics::merge`] or [`Sums::merge`] of all ranks' in rank order.
/// It is called once per pass on every rank, those with empty shards as well. If it fails or a pass does, the others wait
/// for this rank: end them. Passes wait for the device; in browsers use [`SyncPlan`] and [`Tensor::to_vec_async`].
///
/// ```no_run
/// use wgpu_norm::sync::{Statistics, Sums, SyncLayer};
/// use wgpu_norm::{BatchNorm, Context, Error, Layer, Mode, Tensor};
/// # fn main() -> wgpu_norm::Result<()> {
/// /// Sends a message to all ranks, and returns theirs in rank order.
/// fn all_gather(message: Vec<f64>) -> Vec<Vec<f64>> {
///     vec![message] // a single rank; see examples/distributed for MPI
/// }
/// let context = Context::new()?;
/// let layer = SyncLayer::new(Layer::new(&context, BatchNorm::new(3))?)?;
/// let shard = Tensor::from_slice(&context, &[0.5; 2 * 3 * 4], &[2, 3, 4])?;
/// let forward = layer.forward(&shard, Mode::TRAINING, |own| -> Result<_, Error> {
///     let ranks = all_gather(own.to_message());
///     let ranks: Result<Vec<_>, Error> = ranks.iter().map(|r| Statistics::from_message(r)).collect();
///     Statistics::merge(&ranks?)
/// })?;
/// let gradients = layer.backward(&forward.saved, &forward.output, |own| -> Result<_, Error> {
///     let ranks = all_gather(own.to_message());
///     let ranks: Result<Vec<_>, Error> = ranks.iter().map(|r| Sums::from_message(r)).collect();
///     Sums::merge(&ranks?)
/// })?;
/// assert_eq!(gradients.grad_input.shape(), [2, 3, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SyncLayer {
    layer: Layer,
    norm: BatchNorm,
    plans: Mutex<Plans>,
}

type Plans = HashMap<(Vec<usize>, DType, Mode), Arc<SyncPlan>>;

/// What a forward pass gives.
#[derive(Debug, Clone)]
pub struct SyncForward {
    /// The normalized shard, of its shape.
    pub output: Tensor,
    /// What the backward pass needs. Dropping it frees that memory.
    pub saved: SyncSaved,
}

/// What a forward pass saves for its backward pass: the input itself, not a copy, the residual where an activation follows it, and
/// four numbers per channel.
#[derive(Debug, Clone)]
pub struct SyncSaved {
    input: Tensor,
    has_residual: bool,
    /// Where the backward pass needs it.
    residual: Option<Tensor>,
    moments: Moments,
    count: u64,
    plan: Arc<SyncPlan>,
}

impl SyncSaved {
    /// The statistics of all ranks, `[4, C]`, as [`Plan::statistics_shape`](crate::Plan::statistics_shape) describes.
    #[must_use]
    pub const fn statistics(&self) -> &Tensor {
        self.moments.statistics()
    }

    /// Values per channel of all ranks.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

impl SyncLayer {
    /// Takes a batch norm layer, whose parameters and running statistics must be the same on all ranks.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if it is another norm.
    pub fn new(layer: Layer) -> Result<Self> {
        let Norm::Batch(norm) = *layer.norm() else {
            let reason = "the groups of other norms lie within a sample, so within a shard";
            return Err(Error::Unexpected(layer.norm().name(), reason));
        };
        Ok(Self {
            layer,
            norm,
            plans: Mutex::default(),
        })
    }

    /// The layer: for evaluation, optimizers and checkpoints.
    #[must_use]
    pub const fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Gives the layer back.
    #[must_use]
    pub fn into_layer(self) -> Layer {
        self.layer
    }

    fn plan(&self, dtype: DType, shape: &[usize], mode: Mode) -> Result<Arc<SyncPlan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (shape.to_vec(), dtype, mode);
        if let Some(plan) = plans.get(&key) {
            return Ok(plan.clone());
        }
        let plan = SyncPlan::of_dtype(self.layer.context(), dtype, self.norm, shape, mode)?;
        let plan = Arc::new(plan.without_kept_tensors());
        if plans.len() == MOST_PLANS {
            plans.clear();
        }
        plans.insert(key, plan.clone());
        Ok(plan)
    }

    /// Normalizes the shard `input` into a new tensor with the statistics of all ranks, by which the running ones are updated if `mode` says so,
    /// and submits that work. If all shards are empty, nothing happens.
    ///
    /// # Errors
    /// Those of [`SyncPlan::new`], [`SyncPlan::forward`], [`Moments::write`] and `exchange`; [`Error::Value`] if `exchange` returns fewer
    /// values than this shard has. The layer is unchanged then.
    pub fn forward<E: From<Error>>(
        &self,
        input: &Tensor,
        mode: Mode,
        exchange: impl FnOnce(&Statistics) -> Result<Statistics, E>,
    ) -> Result<SyncForward, E> {
        self.any_forward(input, None, mode, exchange)
    }

    /// [`SyncLayer::forward`] with a residual of the shard's shape: `output = activation(norm(input) + residual)`.
    ///
    /// # Errors
    /// Those of [`SyncLayer::forward`].
    pub fn forward_residual<E: From<Error>>(
        &self,
        input: &Tensor,
        residual: &Tensor,
        mode: Mode,
        exchange: impl FnOnce(&Statistics) -> Result<Statistics, E>,
    ) -> Result<SyncForward, E> {
        self.any_forward(input, Some(residual), mode, exchange)
    }

    fn any_forward<E: From<Error>>(
        &self,
        input: &Tensor,
        residual: Option<&Tensor>,
        mode: Mode,
        exchange: impl FnOnce(&Statistics) -> Result<Statistics, E>,
    ) -> Result<SyncForward, E> {
        let context = self.layer.context();
        let plan = self.plan(input.dtype(), input.shape(), mode)?;
        let exported = Tensor::uninit(context, &plan.statistics_shape())?;
        self.layer
            .submitted("wgpu-norm.sync_statistics", |encoder| {
                plan.statistics(encoder, input, &exported)
            })?;
        let own = plan.local_statistics(&exported.to_vec()?)?;
        let all = exchange(&own)?;
        all.expect_channels(own.channels())?;
        at_least(own.count(), all.count())?;
        let output = Tensor::uninit_of(context, input.dtype(), input.shape())?;
        let moments = plan.moments()?;
        if all.count() > 0 {
            moments.write(&all)?;
            let tensors = ForwardTensors {
                weight: self.layer.weight(),
                bias: self.layer.bias(),
                running: self.layer.running(),
                residual,
                ..ForwardTensors::new(input, &output)
            };
            self.layer.submitted("wgpu-norm.sync_forward", |encoder| {
                plan.forward(encoder, &tensors, &moments)
            })?;
        }
        let activated = self.norm.activation != Activation::None;
        let saved = SyncSaved {
            input: input.clone(),
            has_residual: residual.is_some(),
            residual: residual.filter(|_| activated).cloned(),
            moments,
            count: all.count(),
            plan,
        };
        Ok(SyncForward { output, saved })
    }

    /// The gradients of input, weight and bias, in new tensors, and submits that work. Those of weight and bias are of this shard:
    /// sum them up over the ranks.
    ///
    /// The weight must not have been changed since the forward pass.
    ///
    /// # Errors
    /// Those of [`SyncPlan::sums`], [`SyncPlan::backward`] and `exchange`; [`Error::OtherContext`] or [`Error::Unexpected`] if `saved` comes
    /// from another device or norm; [`Error::Value`] if `exchange` returns sums over another number of values than the forward pass had.
    pub fn backward<E: From<Error>>(
        &self,
        saved: &SyncSaved,
        grad_output: &Tensor,
        exchange: impl FnOnce(&Sums) -> Result<Sums, E>,
    ) -> Result<Gradients, E> {
        let context = self.layer.context();
        if !saved.input.context().is_same_device(context) {
            return Err(Error::OtherContext("saved").into());
        }
        if saved.plan.norm() != self.layer.norm() {
            return Err(Error::Unexpected("saved", "it comes from another norm").into());
        }
        let like = |tensor: Option<&Tensor>| {
            tensor
                .map(|tensor| Tensor::uninit_of(context, tensor.dtype(), tensor.shape()))
                .transpose()
        };
        let sums = Tensor::uninit(context, &saved.plan.sums_shape())?;
        let grad_input = Tensor::uninit_of(context, saved.input.dtype(), saved.input.shape())?;
        let through_activation = like(saved.residual.as_ref())?;
        let grad_weight = like(self.layer.weight())?;
        let grad_bias = like(self.layer.bias())?;
        let tensors = BackwardTensors {
            weight: self.layer.weight(),
            bias: self.layer.bias(),
            residual: saved.residual.as_ref(),
            grad_input: Some(&grad_input),
            grad_residual: through_activation.as_ref(),
            grad_weight: grad_weight.as_ref(),
            grad_bias: grad_bias.as_ref(),
            ..BackwardTensors::new(&saved.input, saved.statistics(), grad_output)
        };
        self.layer.submitted("wgpu-norm.sync_sums", |encoder| {
            saved.plan.sums(encoder, &tensors, &sums)
        })?;
        let own = saved.plan.local_sums(&sums.to_vec()?)?;
        let all = exchange(&own)?;
        same_length("sums", own.channels(), all.channels())?;
        if all.count() != saved.count {
            let expected = "that of the forward pass";
            return Err(count_error(expected, saved.count, all.count()).into());
        }
        sums.write(&all.averages())?;
        self.layer.submitted("wgpu-norm.sync_backward", |encoder| {
            saved.plan.backward(encoder, &tensors, &sums)
        })?;
        Ok(Gradients {
            grad_residual: saved
                .has_residual
                .then(|| through_activation.unwrap_or_else(|| grad_output.clone())),
            grad_input,
            grad_weight,
            grad_bias,
        })
    }
}

/// All ranks have at least what this one has.
fn at_least(own: u64, all: u64) -> Result<()> {
    if all >= own {
        return Ok(());
    }
    Err(count_error("at least that of this rank", own, all))
}

fn count_error(expected: &'static str, own: u64, all: u64) -> Error {
    Error::Value {
        name: "the count of all ranks",
        expected,
        got: format!("{all}, where that is {own}"),
    }
}
