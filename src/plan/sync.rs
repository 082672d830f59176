//! Synchronized batch norm, recorded into the caller's command encoder.

mod moments;
mod warm;

pub use moments::Moments;

use std::sync::Arc;

use super::lazy::Lazy;
use super::operands::{InPlace, Operands};
use super::prepared::Prepared;
use super::{BackwardTensors, Extras, ForwardTensors, Plan, clear};
use crate::context::Context;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::geometry::Problem;
use crate::kernel::Slot;
use crate::ops::{BatchNorm, Mode, Norm};
use crate::recipe::{Recipe, Wanted};
use crate::sync::{Statistics, Sums};
use crate::tensor::Tensor;
use crate::tune::Tuning;

/// Batch norm of a shard, a tensor of one shape, with the statistics of the shards of all ranks: for code that drives wgpu itself.
///
/// As [`Plan`] it submits nothing and waits for nothing. Each pass is recorded in two halves, between which the caller reads what
/// the first one wrote, exchanges it and uploads what the second one reads:
///
/// | record | read back | exchange and merge | upload |
/// |---|---|---|---|
/// | [`statistics`](Self::statistics) | [`local_statistics`](Self::local_statistics) | [`Statistics`] | [`Moments::write`] |
/// | [`forward`](Self::forward) | | | |
/// | [`sums`](Self::sums) | [`local_sums`](Self::local_sums) | [`Sums`] | [`Sums::averages`] |
/// | [`backward`](Self::backward) | | | |
///
/// A shard may be empty, `[0, C, ..]`, and may have a single value per channel as long as all ranks together have more.
#[derive(Debug)]
pub struct SyncPlan {
    /// Of the shard or, if that is empty, of a stand-in of which only the running statistics are computed.
    plan: Plan,
    empty: bool,
    statistics: Lazy,
    /// Without and with a residual.
    forward: [Lazy; 2],
    /// By the gradients wanted, without and with a residual.
    sums: [Lazy; 16],
    /// Without and with the gradient of a residual that the sums have left, without and with a residual.
    backward: [Lazy; 4],
}

impl SyncPlan {
    /// A plan for a shard of `shape`.
    ///
    /// # Errors
    /// Those of [`Plan::new`], but for [`Error::OneValue`]; [`Error::Unexpected`] if `mode` normalizes with the running statistics,
    /// which are the same on all ranks (a [`Plan`] does that), for a ghost batch norm, and for weights of each sample.
    pub fn new(context: &Context, norm: BatchNorm, shape: &[usize], mode: Mode) -> Result<Self> {
        Self::of_dtype(context, DType::F32, norm, shape, mode)
    }

    /// [`SyncPlan::new`] for input, output, residual and their gradients of type `dtype`, as [`Plan::of_dtype`].
    ///
    /// # Errors
    /// Those of [`SyncPlan::new`], and [`Error::Value`] if `dtype` is U32.
    pub fn of_dtype(
        context: &Context,
        dtype: DType,
        norm: BatchNorm,
        shape: &[usize],
        mode: Mode,
    ) -> Result<Self> {
        dtype.expect_data()?;
        let (problem, empty) = problem(norm, shape, mode)?;
        let problem = Problem { dtype, ..problem };
        let plan = Plan {
            problem: Some(problem),
            context: context.clone(),
            norm: norm.into(),
            mode,
            shape: shape.to_vec(),
            dtype,
            tuning: Tuning::default(),
            keep_bind_groups: true,
            forward: Default::default(),
            backward: Default::default(),
            double: Default::default(),
        };
        let plan = Self {
            plan,
            empty,
            statistics: Lazy::default(),
            forward: Default::default(),
            sums: Default::default(),
            backward: Default::default(),
        };
        // What cannot be done is said here, not at the first use.
        let caps = context.caps();
        Recipe::sync_statistics(&problem, caps)?;
        Recipe::sync_normalize(&problem, caps, empty)?;
        Recipe::sync_sums(&problem, caps, plan.plan.all_gradients())?;
        Recipe::sync_grad_input(&problem, caps, false)?;
        Ok(plan)
    }

    /// A plan that holds on to no tensors: for callers whose tensors are new each time.
    pub(crate) const fn without_kept_tensors(mut self) -> Self {
        self.plan.keep_bind_groups = false;
        self
    }

    /// The norm.
    #[must_use]
    pub const fn norm(&self) -> &Norm {
        self.plan.norm()
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.plan.mode()
    }

    /// The shape of the shard.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.plan.shape()
    }

    /// Values per channel of the shard.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self.plan.problem {
            Some(problem) if !self.empty => problem.groups.elements().into(),
            _ => 0,
        }
    }

    /// Shape of what [`SyncPlan::statistics`] writes: `[4, C]`, four planes of one number per channel: the mean, its low part, and
    /// m2 in units of scale², and the scale, a power of two that keeps it within f32.
    #[must_use]
    pub fn statistics_shape(&self) -> [usize; 2] {
        self.plan.statistics_shape()
    }

    /// Shape of what [`SyncPlan::sums`] writes and [`SyncPlan::backward`] reads: `[2, C]`.
    #[must_use]
    pub fn sums_shape(&self) -> [usize; 2] {
        [2, self.statistics_shape()[1]]
    }

    /// The scratch buffers allocated so far.
    #[must_use]
    pub fn scratch(&self) -> Vec<wgpu::Buffer> {
        let halves = self.forward.iter().chain(&self.sums).chain(&self.backward);
        std::iter::once(&self.statistics)
            .chain(halves)
            .filter_map(Lazy::get)
            .flat_map(|prepared| prepared.scratch())
            .collect()
    }

    /// Room for the statistics of all ranks.
    ///
    /// # Errors
    /// Those of [`Moments::new`].
    pub fn moments(&self) -> Result<Moments> {
        match self.norm() {
            Norm::Batch(norm) => Moments::new(&self.plan.context, *norm),
            _ => Err(Error::Unexpected("the norm", "only batch norm has shards")),
        }
    }

    /// Records the first half of the forward pass: the statistics of the shard, into `exported` of shape
    /// [`SyncPlan::statistics_shape`].
    ///
    /// # Errors
    /// Those of [`Plan::forward`].
    pub fn statistics(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        input: &Tensor,
        exported: &Tensor,
    ) -> Result<()> {
        let mut operands = Operands::new(&self.plan.context, self.plan.dtype);
        operands.read(Slot::Input, input, self.shape())?;
        let shape = self.statistics_shape();
        operands.write(Slot::Exported, exported, &shape, InPlace::Never)?;
        operands.check_overlaps()?;
        if self.empty {
            clear(encoder, exported);
            return Ok(());
        }
        let prepared = self.prepared_statistics()?;
        prepared.record(&self.plan.context, encoder, "sync_statistics", &operands)
    }

    /// The statistics of the shard from the values of the tensor that [`SyncPlan::statistics`] wrote.
    ///
    /// # Errors
    /// [`Error::Length`] if these are not as many as the tensor has.
    pub fn local_statistics(&self, exported: &[f32]) -> Result<Statistics> {
        let shape = self.statistics_shape();
        expect_length(&shape, exported.len())?;
        Statistics::from_exported(self.count(), exported)
    }

    /// Records the second half of the forward pass: the output by the statistics of all ranks, and the update of the running
    /// statistics by them, on an empty shard as well. [`ForwardTensors::statistics`] must be `None`: `moments` has them.
    ///
    /// # Errors
    /// Those of [`Plan::forward`].
    pub fn forward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &ForwardTensors<'_>,
        moments: &Moments,
    ) -> Result<()> {
        if tensors.statistics.is_some() {
            return Err(Error::Unexpected("statistics", "the moments have them"));
        }
        without_lengths(tensors.lengths)?;
        let mut operands = self.plan.forward_operands(tensors)?;
        let shape = self.statistics_shape();
        operands.read(Slot::Statistics, &moments.statistics, &shape)?;
        operands.read(Slot::Averages, &moments.averages, &self.sums_shape())?;
        operands.check_overlaps()?;
        let prepared = self.prepared_forward(tensors.residual.is_some())?;
        prepared.record(&self.plan.context, encoder, "sync_forward", &operands)
    }

    /// Records the first half of the backward pass: the sums over the shard, into `sums` of shape [`SyncPlan::sums_shape`], and the
    /// gradients of weight, bias and residual that have a place in `tensors`: those of this shard. The statistics are
    /// [`Moments::statistics`]; [`BackwardTensors::grad_input`] is the second half's.
    ///
    /// # Errors
    /// Those of [`Plan::backward`].
    pub fn sums(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &BackwardTensors<'_>,
        sums: &Tensor,
    ) -> Result<()> {
        without_lengths(tensors.lengths)?;
        let mut operands = self.plan.backward_operands(&BackwardTensors {
            grad_input: None,
            ..*tensors
        })?;
        operands.write(Slot::Sums, sums, &self.sums_shape(), InPlace::Never)?;
        operands.check_overlaps()?;
        if self.empty {
            clear(encoder, sums);
            tensors.clear_parameters(encoder);
            return Ok(());
        }
        let wanted = Wanted {
            input: false,
            weight: tensors.grad_weight.is_some(),
            bias: tensors.grad_bias.is_some(),
            residual: tensors.grad_residual.is_some(),
        };
        let prepared = self.prepared_sums(wanted, tensors.residual.is_some())?;
        prepared.record(&self.plan.context, encoder, "sync_sums", &operands)
    }

    /// The sums over the shard from the values of the tensor that [`SyncPlan::sums`] wrote.
    ///
    /// # Errors
    /// [`Error::Length`] if these are not as many as the tensor has.
    pub fn local_sums(&self, sums: &[f32]) -> Result<Sums> {
        expect_length(&self.sums_shape(), sums.len())?;
        Sums::from_exported(self.count(), sums)
    }

    /// Records the second half of the backward pass: [`BackwardTensors::grad_input`] by [`Sums::averages`] over all ranks, of shape
    /// [`SyncPlan::sums_shape`]. The other tensors must be those of the first half, whose gradients are not computed again.
    ///
    /// # Errors
    /// Those of [`Plan::backward`]; [`Error::Missing`] if there is no `grad_input`.
    pub fn backward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &BackwardTensors<'_>,
        averages: &Tensor,
    ) -> Result<()> {
        if tensors.grad_input.is_none() {
            let reason = "the second half computes nothing else";
            return Err(Error::Missing("grad_input", reason));
        }
        without_lengths(tensors.lengths)?;
        let mut operands = self.plan.backward_operands(&BackwardTensors {
            grad_weight: None,
            grad_bias: None,
            ..*tensors
        })?;
        operands.read(Slot::Sums, averages, &self.sums_shape())?;
        operands.check_overlaps()?;
        if self.empty {
            return Ok(());
        }
        let (residual, written) = (tensors.residual.is_some(), tensors.grad_residual.is_some());
        let prepared = self.prepared_grad_input(written, residual)?;
        prepared.record(&self.plan.context, encoder, "sync_backward", &operands)
    }

    fn prepared_statistics(&self) -> Result<Arc<Prepared>> {
        self.prepared(&self.statistics, false, Recipe::sync_statistics)
    }

    fn prepared_forward(&self, residual: bool) -> Result<Arc<Prepared>> {
        let lazy = &self.forward[usize::from(residual)];
        self.prepared(lazy, residual, |problem, caps| {
            Recipe::sync_normalize(problem, caps, self.empty)
        })
    }

    fn prepared_sums(&self, wanted: Wanted, residual: bool) -> Result<Arc<Prepared>> {
        let index = usize::from(wanted.weight)
            | usize::from(wanted.bias) << 1
            | usize::from(wanted.residual) << 2
            | usize::from(residual) << 3;
        self.prepared(&self.sums[index], residual, |problem, caps| {
            Recipe::sync_sums(problem, caps, wanted)
        })
    }

    /// `written`: the gradient of the residual is there already.
    fn prepared_grad_input(&self, written: bool, residual: bool) -> Result<Arc<Prepared>> {
        let lazy = &self.backward[usize::from(written) | usize::from(residual) << 1];
        self.prepared(lazy, residual, |problem, caps| {
            Recipe::sync_grad_input(problem, caps, written)
        })
    }

    fn prepared(
        &self,
        lazy: &Lazy,
        residual: bool,
        recipe: impl FnOnce(&Problem, &crate::caps::Caps) -> Result<Recipe>,
    ) -> Result<Arc<Prepared>> {
        lazy.or_prepare(|| {
            let extras = Extras {
                residual,
                lengths: false,
            };
            let problem = self.plan.problem(extras)?;
            let recipe = problem.map(|problem| recipe(&problem, self.plan.context.caps()));
            self.plan.prepared(recipe.transpose()?, None)
        })
    }
}

/// What is computed, and whether there is nothing but running statistics.
fn problem(norm: BatchNorm, shape: &[usize], mode: Mode) -> Result<(Problem, bool)> {
    if !Norm::from(norm).uses_batch_statistics(mode) {
        let reason = "running statistics are the same on all ranks: a Plan normalizes with them";
        return Err(Error::Unexpected("Mode::EVAL", reason));
    }
    if norm.virtual_batch_size.is_some() {
        let reason = "ghost batch norm takes statistics of less than a shard";
        return Err(Error::Unexpected("virtual_batch_size", reason));
    }
    if norm.per_sample {
        let reason = "weights of each sample are not those of a layer";
        return Err(Error::Unexpected("per_sample", reason));
    }
    // All ranks together, not each, need more than one value per channel: lowered as for evaluation, which asks for none.
    let of_shard = Norm::from(norm.track_running_stats(true)).lower(shape, Mode::EVAL)?;
    let stand_in = Norm::from(norm).lower(&[2, norm.num_features], mode)?;
    let stand_in = stand_in.ok_or(Error::Unexpected("the norm", "it has no channels"))?;
    let problem = of_shard.map(|problem| Problem {
        batch_statistics: true,
        running: stand_in.running,
        ..problem
    });
    Ok((problem.unwrap_or(stand_in), problem.is_none()))
}

fn without_lengths(lengths: Option<&Tensor>) -> Result<()> {
    match lengths {
        None => Ok(()),
        Some(_) => Err(Error::Unexpected(
            "lengths",
            "synchronized batch norm takes none",
        )),
    }
}

fn expect_length(shape: &[usize], got: usize) -> Result<()> {
    let expected = shape.iter().product();
    if got == expected {
        return Ok(());
    }
    Err(Error::Length {
        shape: shape.to_vec(),
        expected,
        got,
    })
}
