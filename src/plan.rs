//! A norm on one shape, ready to be recorded into the caller's command encoder.

mod double;
mod lazy;
mod observer;
mod operands;
mod prepared;
mod sync;
mod tensors;
mod warm;

pub(crate) use double::ALONE;
pub use double::DoubleBackwardTensors;
pub use observer::{Observed, Observer};
pub use sync::{Moments, SyncPlan};
pub use tensors::{BackwardTensors, ForwardTensors, Running};
pub use warm::WarmUp;

use std::sync::Arc;

use crate::context::Context;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::geometry::Problem;
use crate::ops::{Mode, Norm};
use crate::recipe::{Recipe, Wanted};
use crate::strategy::Strategy;
use crate::tensor::Tensor;
use crate::tune::{Tuning, is_refusal};

use lazy::Lazy;
use prepared::Prepared;

/// A normalization of tensors of one shape in one mode: for code that drives wgpu itself.
///
/// [`Plan::forward`] and [`Plan::backward`] record into the caller's encoder, with the caller's tensors, at any place between
/// the caller's own commands, any number of times. They submit nothing and wait for nothing. The first forward and the
/// first backward pass of a plan compile pipelines and allocate scratch memory; later ones do neither, and [`Plan::warm_up`] does both
/// beforehand.
///
/// To record without allocating, a plan keeps the bind groups of the last 8 sets of tensors that it was recorded with, and these
/// keep the tensors' memory from being freed: [`Plan::forget_tensors`] lets go of them.
///
/// Scratch memory is the plan's own and is used in the order of submission, so that one plan may be recorded
/// into several encoders, from several threads.
#[derive(Debug)]
pub struct Plan {
    context: Context,
    norm: Norm,
    mode: Mode,
    shape: Vec<usize>,
    dtype: DType,
    tuning: Tuning,
    /// `None` for tensors without elements.
    problem: Option<Problem>,
    keep_bind_groups: bool,
    /// With statistics of its own or the caller's, without and with a residual, without and with lengths.
    forward: [[Lazy; 4]; 2],
    /// By the gradients wanted, without and with a residual, without and with lengths.
    backward: [[Lazy; 32]; 2],
    /// By the gradients wanted.
    double: [Lazy; 8],
}

/// What comes with the tensors of a pass and changes its launches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extras {
    pub(crate) residual: bool,
    pub(crate) lengths: bool,
}

impl Plan {
    /// A plan for inputs of `shape`, of F32, computed as [`Context::autotune`] found best if it was asked, else as the ladder says.
    ///
    /// # Errors
    /// Those of [`Norm::validate_shape`], and [`Error::Limit`] if the tensor is too large for the device.
    pub fn new(
        context: &Context,
        norm: impl Into<Norm>,
        shape: &[usize],
        mode: Mode,
    ) -> Result<Self> {
        Self::of_dtype(context, DType::F32, norm, shape, mode)
    }

    /// [`Plan::new`] for input, output, residual and their gradients of type `dtype`: one of [`DType::DATA`]. Parameters and statistics are F32.
    ///
    /// ```no_run
    /// use wgpu_norm::{Context, DType, ForwardTensors, LayerNorm, Mode, Plan, Tensor};
    /// # fn main() -> wgpu_norm::Result<()> {
    /// # let context = Context::new()?;
    /// let norm = LayerNorm::new(&[768]).affine(false);
    /// let plan = Plan::of_dtype(&context, DType::BF16, norm, &[32, 768], Mode::EVAL)?;
    /// let input = Tensor::from_f32(&context, DType::BF16, &[0.5; 32 * 768], &[32, 768])?;
    /// let output = Tensor::uninit_of(&context, DType::BF16, &[32, 768])?;
    /// let mut encoder = context.device().create_command_encoder(&Default::default());
    /// plan.forward(&mut encoder, &ForwardTensors::new(&input, &output))?;
    /// context.queue().submit([encoder.finish()]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Plan::new`], and [`Error::Value`] if `dtype` is U32.
    pub fn of_dtype(
        context: &Context,
        dtype: DType,
        norm: impl Into<Norm>,
        shape: &[usize],
        mode: Mode,
    ) -> Result<Self> {
        let norm = norm.into();
        let tuning = context.tuning(&norm, shape, dtype, mode);
        let tuned = Self::with_tuning(context, norm.clone(), shape, dtype, mode, tuning);
        // A choice that was not measured here: the file that it came from was changed.
        if tuning != Tuning::default() && is_refusal(&tuned) {
            return Self::with_tuning(context, norm, shape, dtype, mode, Tuning::default());
        }
        tuned
    }

    /// A plan that reduces groups by `strategy` rather than by the one that the ladder picks:
    /// to measure and to verify strategies.
    ///
    /// # Errors
    /// Those of [`Plan::new`], and [`Error::Strategy`] if the strategy cannot carry the shape.
    pub fn with_strategy(
        context: &Context,
        norm: impl Into<Norm>,
        shape: &[usize],
        mode: Mode,
        strategy: Strategy,
    ) -> Result<Self> {
        let tuning = Tuning::with_strategy(strategy);
        Self::with_tuning(context, norm.into(), shape, DType::F32, mode, tuning)
    }

    pub(crate) fn with_tuning(
        context: &Context,
        norm: Norm,
        shape: &[usize],
        dtype: DType,
        mode: Mode,
        tuning: Tuning,
    ) -> Result<Self> {
        dtype.expect_data()?;
        let problem = norm.lower(shape, mode)?;
        let plan = Self {
            problem: problem.map(|problem| Problem { dtype, ..problem }),
            context: context.clone(),
            norm,
            mode,
            shape: shape.to_vec(),
            dtype,
            tuning,
            keep_bind_groups: true,
            forward: Default::default(),
            backward: Default::default(),
            double: Default::default(),
        };
        // What cannot be done is said here, not at the first use.
        plan.forward_recipe()?;
        plan.backward_recipe(plan.all_gradients())?;
        Ok(plan)
    }

    /// The norm.
    #[must_use]
    pub const fn norm(&self) -> &Norm {
        &self.norm
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// How the passes are computed: as the ladder says, as [`Context::autotune`] measured, or by the strategy that was asked for.
    #[must_use]
    pub const fn tuning(&self) -> Tuning {
        self.tuning
    }

    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// Those of the input and of whatever parameters the norm has.
    pub(crate) const fn all_gradients(&self) -> Wanted {
        Wanted {
            input: true,
            weight: self.norm.has_weight(),
            bias: self.norm.has_bias(),
            residual: false,
        }
    }

    /// What is computed, with a residual or without, with lengths or without.
    fn problem(&self, extras: Extras) -> Result<Option<Problem>> {
        let Some(problem) = self.problem else {
            return Ok(None);
        };
        let lengths = extras
            .lengths
            .then(|| self.norm.lengths(&self.shape, &problem));
        Ok(Some(Problem {
            residual: extras.residual.then(|| self.norm.residual_place()),
            lengths: lengths.transpose()?,
            ..problem
        }))
    }

    /// The shape of input and output.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of input, output, residual and their gradients.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape of the statistics that the forward pass saves for the backward pass: `[4, groups]`, four planes of one number per
    /// group: the mean, its low part (mean + low part is the mean to 48 bits), rstd = 1 / sqrt(var + eps), and var, biased.
    ///
    /// Groups are numbered as in the tensor: batch norm `[C]`, instance norm `[N, C]`, group norm `[N, G]`, layer and RMS norm
    /// one per row; with running statistics `[C]`.
    #[must_use]
    pub fn statistics_shape(&self) -> [usize; 2] {
        [
            4,
            self.problem
                .map_or(0, |problem| problem.groups.items as usize),
        ]
    }

    /// Whether the forward pass reads or updates running statistics.
    #[must_use]
    pub fn needs_running(&self) -> bool {
        let tracks = self.norm.tracks_running_stats();
        tracks && (self.mode.update_running || !self.mode.batch_statistics)
    }

    /// The launches of the forward pass without a residual, or `None` for tensors without elements.
    ///
    /// # Errors
    /// [`Error::Strategy`] if the plan's strategy cannot carry the shape.
    pub fn forward_recipe(&self) -> Result<Option<Recipe>> {
        self.forward_launches(Extras::default())
    }

    fn forward_launches(&self, extras: Extras) -> Result<Option<Recipe>> {
        self.problem(extras)?
            .map(|problem| {
                Recipe::forward(&problem, self.context.caps(), self.tuning.forward.strategy)
            })
            .transpose()
    }

    /// The launches of the backward pass for the gradients `wanted`, without a residual, or `None` for tensors without elements.
    ///
    /// # Errors
    /// [`Error::Strategy`] if the plan's strategy cannot carry the shape.
    pub fn backward_recipe(&self, wanted: Wanted) -> Result<Option<Recipe>> {
        self.backward_launches(wanted, Extras::default())
    }

    fn backward_launches(&self, wanted: Wanted, extras: Extras) -> Result<Option<Recipe>> {
        self.problem(extras)?
            .map(|problem| {
                let strategy = self.tuning.backward.strategy;
                Recipe::backward(&problem, self.context.caps(), strategy, wanted)
            })
            .transpose()
    }

    /// The scratch buffers allocated so far.
    #[must_use]
    pub fn scratch(&self) -> Vec<wgpu::Buffer> {
        self.all_prepared()
            .flat_map(|prepared| prepared.scratch())
            .collect()
    }

    /// All passes that were used.
    fn all_prepared(&self) -> impl Iterator<Item = Arc<Prepared>> {
        let passes = self.forward.as_flattened().iter();
        passes
            .chain(self.backward.as_flattened())
            .chain(&self.double)
            .filter_map(Lazy::get)
    }

    /// Lets go of the tensors that the plan was recorded with.
    pub fn forget_tensors(&self) {
        for prepared in self.all_prepared() {
            prepared.forget_tensors();
        }
    }

    /// A plan that holds on to no tensors: for callers whose tensors are new each time.
    pub(crate) const fn without_kept_tensors(mut self) -> Self {
        self.keep_bind_groups = false;
        self
    }

    /// The number of bind groups kept: one per launch and set of tensors that it was recorded with lately.
    #[must_use]
    pub fn bind_group_count(&self) -> usize {
        self.all_prepared()
            .map(|prepared| prepared.bind_group_count())
            .sum()
    }

    /// Records the forward pass.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`], [`Error::Missing`], [`Error::Unexpected`], [`Error::OtherContext`] or [`Error::Overlap`] if the tensors do not fit the plan,
    /// [`Error::OutOfMemory`] or [`Error::Rejected`] if the first use fails. Nothing is recorded then.
    pub fn forward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &ForwardTensors<'_>,
    ) -> Result<()> {
        let operands = self.forward_operands(tensors)?;
        if self.problem.is_none() {
            return Ok(());
        }
        let extras = Extras {
            residual: tensors.residual.is_some(),
            lengths: tensors.lengths.is_some(),
        };
        let prepared = self.prepared_forward(tensors.statistics.is_none(), extras)?;
        prepared.record(&self.context, encoder, "forward", &operands)
    }

    /// Records the backward pass, for the gradients that have a place in `tensors`.
    ///
    /// # Errors
    /// Those of [`Plan::forward`].
    pub fn backward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &BackwardTensors<'_>,
    ) -> Result<()> {
        let operands = self.backward_operands(tensors)?;
        if self.problem.is_none() {
            tensors.clear_parameters(encoder);
            return Ok(());
        }
        let wanted = Wanted {
            input: tensors.grad_input.is_some(),
            weight: tensors.grad_weight.is_some(),
            bias: tensors.grad_bias.is_some(),
            residual: tensors.grad_residual.is_some(),
        };
        let residual = tensors.residual.or(tensors.grad_residual_output);
        let extras = Extras {
            residual: residual.is_some(),
            lengths: tensors.lengths.is_some(),
        };
        let prepared = self.prepared_backward(wanted, extras)?;
        prepared.record(&self.context, encoder, "backward", &operands)
    }

    fn prepared_forward(&self, own_statistics: bool, extras: Extras) -> Result<Arc<Prepared>> {
        let index = usize::from(own_statistics) | usize::from(extras.residual) << 1;
        self.forward[usize::from(extras.lengths)][index].or_prepare(|| {
            let bytes = own_statistics.then(|| self.statistics_bytes());
            self.prepared(self.forward_launches(extras)?, bytes)
        })
    }

    fn prepared_backward(&self, wanted: Wanted, extras: Extras) -> Result<Arc<Prepared>> {
        let index = usize::from(wanted.input)
            | usize::from(wanted.weight) << 1
            | usize::from(wanted.bias) << 2
            | usize::from(wanted.residual) << 3
            | usize::from(extras.residual) << 4;
        self.backward[usize::from(extras.lengths)][index]
            .or_prepare(|| self.prepared(self.backward_launches(wanted, extras)?, None))
    }

    fn prepared(&self, recipe: Option<Recipe>, own_statistics: Option<u64>) -> Result<Prepared> {
        let recipe = recipe.ok_or(Error::Unexpected("a pass", "the tensor has no elements"))?;
        Prepared::new(&self.context, recipe, own_statistics, self.keep_bind_groups)
    }

    fn statistics_bytes(&self) -> u64 {
        16 * self
            .problem
            .map_or(0, |problem| problem.groups.items.into())
    }
}

/// Zeros.
fn clear(encoder: &mut wgpu::CommandEncoder, tensor: &Tensor) {
    let bytes = Some(tensor.byte_len());
    encoder.clear_buffer(tensor.buffer(), tensor.offset(), bytes);
}
