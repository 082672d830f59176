//! The launches of the backward pass.
//!
//! Gradients of weight and bias come first wherever they read what `grad_input` may overwrite.

use super::columns::ByRows;
use super::job::Jobs;
use super::small::Partials;
use super::view::View;
use super::{Recipe, SUMS_BYTES, Step};
use crate::activation::Activation;
use crate::caps::Caps;
use crate::error::Result;
use crate::geometry::{Problem, Residual};
use crate::kernel::{Kernel, Slot};
use crate::source::{self, Slots};
use crate::strategy::{self, Layout, Load, Strategy};

/// Which gradients are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// `grad_input`.
    pub input: bool,
    /// `grad_weight`.
    pub weight: bool,
    /// `grad_bias`.
    pub bias: bool,
    /// `grad_residual`, of norms to which a residual is added after weight and bias.
    pub residual: bool,
}

impl Wanted {
    const fn parameters(self) -> bool {
        self.weight || self.bias
    }

    /// The slots of the gradients of weight and bias.
    pub(super) fn parameter_slots(self) -> Slots {
        Slots::default()
            .with_if(self.weight, Slot::GradWeight)
            .with_if(self.bias, Slot::GradBias)
    }
}

pub(super) struct Builder<'a> {
    pub(super) problem: &'a Problem,
    pub(super) caps: &'a Caps,
    forced: Option<Strategy>,
    wanted: Wanted,
    /// The gradient of what the activation is applied to was written by a launch before.
    pub(super) gradient_written: bool,
    pub(super) recipe: Recipe,
}

pub(super) fn recipe(
    problem: &Problem,
    caps: &Caps,
    forced: Option<Strategy>,
    wanted: Wanted,
) -> Result<Recipe> {
    let strategy = match forced {
        Some(strategy) => strategy,
        None => super::choose(problem, caps, Load::Backward)?,
    };
    let mut builder = Builder {
        forced,
        ..Builder::new(problem, caps, wanted, strategy)
    };
    let one_channel_per_group = problem.groups.partner.is_constant();
    match (
        wanted.input && problem.batch_statistics,
        one_channel_per_group,
    ) {
        (true, true) => builder.both_from_groups(strategy)?,
        (true, false) if wanted.parameters() && strategy::sum_columns(problem, caps) => {
            builder.all_from_columns(strategy)?;
        }
        (true, false) if strategy == Strategy::Split && builder.rows_merge()? => {
            builder.all_from_rows()?;
        }
        (true, false) if strategy == Strategy::Split && builder.runs_merge()? => {
            builder.all_from_runs()?;
        }
        (true, false)
            if strategy == Strategy::Resident && strategy::holds_channels(problem, caps) =>
        {
            builder.all_from_held_channels()?;
        }
        (true, false) => {
            builder.parameters(View::Channels)?;
            builder.input_from_groups(strategy)?;
        }
        (false, true) => builder.parameters(View::Groups)?,
        (false, false) => builder.parameters(View::Channels)?,
    }
    if wanted.input && !problem.batch_statistics {
        builder.grad_input(View::Groups, Slots::default())?;
    }
    if wanted.residual && !builder.gradient_written {
        // Nothing else is wanted: of this launch only what it writes for each element is.
        builder.sums_in_parts(View::Groups)?;
    }
    builder.recipe.end_samples(problem)?;
    builder.recipe.pack_affine(problem, caps);
    Ok(builder.recipe)
}

impl<'a> Builder<'a> {
    pub(super) const fn new(
        problem: &'a Problem,
        caps: &'a Caps,
        wanted: Wanted,
        strategy: Strategy,
    ) -> Self {
        Self {
            problem,
            caps,
            forced: None,
            wanted,
            gradient_written: false,
            recipe: Recipe::new(strategy),
        }
    }

    /// Weight and bias gradients alone, from sums over the channels, or over groups of one channel each.
    fn parameters(&mut self, view: View) -> Result<()> {
        if !self.wanted.parameters() {
            return Ok(());
        }
        let jobs = self.parts(view)?;
        if jobs.sum_channels_once()
            && self.writes_gradients(&jobs, Kernel::GradientSums, Slots::default())
        {
            return Ok(());
        }
        self.partial_sums(&jobs, view);
        self.merge_parameters(jobs.partials());
        Ok(())
    }

    /// Has the launches write the gradients of weight and bias, if that is not a binding too many.
    fn writes_gradients(&mut self, jobs: &Jobs<'_>, kernel: Kernel, optional: Slots) -> bool {
        let gradients = optional.union(self.wanted.parameter_slots());
        let steps = self.steps(jobs, kernel, gradients);
        let fits = |step: &Step| source::fits(step.kernel, &step.variant);
        let fit = steps.iter().all(fits);
        if fit {
            self.add(steps);
        }
        fit
    }

    /// Batch and instance norm: the sums of the groups give the gradients of weight and bias as well.
    fn both_from_groups(&mut self, strategy: Strategy) -> Result<()> {
        let groups = self.problem.groups.items;
        if strategy != Strategy::Split {
            return self.whole_groups(strategy);
        }
        let partials = self.sums_in_parts(View::Groups)?;
        let per_channel = groups == self.problem.channels.items;
        let with_sums = self.wanted.parameter_slots().with(Slot::Sums);
        if per_channel {
            self.merge(groups, partials, with_sums);
        } else {
            if self.wanted.parameters() {
                self.merge_parameters(partials);
            }
            self.merge(groups, partials, Slots::default().with(Slot::Sums));
        }
        self.grad_input(
            View::Groups,
            Slots::default().with(Slot::Input).with(Slot::Sums),
        )
    }

    /// Layer and RMS norm: all gradients in one pass over the tensor, or in two where a group does not fit the registers.
    fn all_from_columns(&mut self, strategy: Strategy) -> Result<()> {
        // A strategy that is asked for has to carry all gradients or none.
        if self.forced.is_none()
            && let Some(jobs) = Jobs::shared_rows(self.problem, self.caps)?
        {
            self.all_from_shared_rows(&jobs);
            return Ok(());
        }
        let resident = strategy == Strategy::Resident;
        if resident {
            // Refuses what the strategy cannot carry.
            Jobs::whole_groups(self.problem, self.caps, Load::Backward, strategy)?;
        } else {
            let partials = self.sums_in_parts(View::Groups)?;
            let sums = Slots::default().with(Slot::Sums);
            self.merge(self.problem.groups.items, partials, sums);
        }
        let jobs = Jobs::columns(self.problem, self.caps, (resident, true))?;
        let optional = Slots::default()
            .with_if(self.problem.weight, Slot::Weight)
            .with_if(!resident, Slot::Sums);
        if jobs.sum_channels_once() && self.writes_gradients(&jobs, Kernel::GradColumns, optional) {
            return Ok(());
        }
        let partials = jobs.partials();
        self.recipe.needs_partials(SUMS_BYTES, partials.number);
        self.launch(&jobs, Kernel::GradColumns, optional.with(Slot::Partials));
        self.merge_parameters(partials);
        Ok(())
    }

    /// Layer and RMS norm of rows that the subgroups of a workgroup share: all gradients in one pass over the tensor.
    fn all_from_shared_rows(&mut self, jobs: &Jobs<'_>) {
        self.recipe.strategy = Strategy::Resident;
        let partials = jobs.partials();
        self.recipe.needs_partials(SUMS_BYTES, partials.number);
        let weight = Slots::default().with_if(self.problem.weight, Slot::Weight);
        let mut steps = self.steps(jobs, Kernel::GradRows, weight);
        // One text for all launches.
        let full = steps.iter().all(|step| step.variant.full);
        steps.iter_mut().for_each(|step| step.variant.full = full);
        self.add(steps);
        self.merge_parameters(partials);
    }

    /// Whether groups consist of runs worth a walk of their own, with few enough partial sums for one launch to merge.
    fn runs_merge(&self) -> Result<bool> {
        if !strategy::by_runs(self.problem) {
            return Ok(false);
        }
        let forced = self.forced == Some(Strategy::Split);
        let jobs = Jobs::in_parts(self.problem, self.caps, View::Runs, forced)?;
        let partials = u64::from(jobs.parts) * u64::from(self.problem.groups.runs);
        Ok(partials <= super::MOST_MERGED.into())
    }

    /// Group norm of long groups: the sums of each run, in which weight and bias are the same, give all gradients.
    fn all_from_runs(&mut self) -> Result<()> {
        let partials = self.sums_in_parts(View::Runs)?;
        if self.wanted.parameters() {
            self.merge_parameters(partials);
        }
        let runs = self.problem.groups.runs;
        self.recipe
            .merge_runs(self.problem, self.caps, partials.number, runs);
        self.grad_input(
            View::Runs,
            Slots::default().with(Slot::Input).with(Slot::Sums),
        )
    }

    /// Group norm of groups in registers: in one pass over the tensor, which takes the sums of each channel.
    fn all_from_held_channels(&mut self) -> Result<()> {
        let jobs = Jobs::held_channels(self.problem, self.caps)?;
        let Problem { groups, weight, .. } = self.problem;
        let (columns, _, channels) = strategy::channel_columns(groups, Layout::of(groups));
        let partials = groups.items * columns * channels;
        let parameters = self.wanted.parameters();
        let optional = Slots::default()
            .with_if(*weight, Slot::Weight)
            .with_if(parameters, Slot::Partials);
        self.launch(&jobs, Kernel::GradInputChannels, optional);
        if parameters {
            self.recipe.needs_partials(SUMS_BYTES, partials);
            self.merge_parameters(Partials::apart(partials));
        }
        Ok(())
    }

    /// Whether groups are several columns of a walk by rows, with few enough partial sums for one launch to merge.
    fn rows_merge(&self) -> Result<bool> {
        let width = self.problem.groups.run_length;
        if width == 1 || !strategy::by_rows(self.problem, self.caps) {
            return Ok(false);
        }
        let jobs = Jobs::rows(self.problem, self.caps, ByRows::Sums)?;
        let partials = u64::from(jobs.parts) * u64::from(width);
        Ok(partials <= super::MOST_MERGED.into())
    }

    /// Group norm of channels last: the sums of each column, a channel of a sample, give all gradients.
    fn all_from_rows(&mut self) -> Result<()> {
        let partials = self.sums_in_parts(View::Rows)?;
        if self.wanted.parameters() {
            self.merge_parameters(partials);
        }
        let width = self.problem.groups.run_length;
        self.recipe
            .merge_runs(self.problem, self.caps, partials.number, width);
        self.grad_input(
            View::Groups,
            Slots::default().with(Slot::Input).with(Slot::Sums),
        )
    }

    /// `grad_input` alone.
    fn input_from_groups(&mut self, strategy: Strategy) -> Result<()> {
        if strategy != Strategy::Split {
            return self.whole_groups(strategy);
        }
        let partials = self.sums_in_parts(View::Groups)?;
        let sums = Slots::default().with(Slot::Sums);
        self.merge(self.problem.groups.items, partials, sums);
        self.grad_input(View::Groups, sums.with(Slot::Input))
    }

    /// `grad_input` in one launch. The gradients of weight and bias come with it where a group is all of its channel; else it keeps its sums for
    /// them.
    fn whole_groups(&mut self, strategy: Strategy) -> Result<()> {
        let jobs = Jobs::whole_groups(self.problem, self.caps, Load::Backward, strategy)?;
        let Problem {
            groups, channels, ..
        } = self.problem;
        let weight = Slots::default().with_if(self.problem.weight, Slot::Weight);
        if !groups.partner.is_constant() || !self.wanted.parameters() {
            self.launch(&jobs, Kernel::GradInputGroups, weight);
            return Ok(());
        }
        if groups.items == channels.items
            && self.writes_gradients(&jobs, Kernel::GradInputGroups, weight)
        {
            return Ok(());
        }
        let partials = jobs.partials();
        self.recipe.needs_partials(SUMS_BYTES, partials.number);
        self.launch(&jobs, Kernel::GradInputGroups, weight.with(Slot::Partials));
        self.merge_parameters(partials);
        Ok(())
    }

    /// The parts of each item.
    fn parts(&self, view: View) -> Result<Jobs<'a>> {
        let forced = self.forced == Some(Strategy::Split);
        // The sums of several columns are those of a group only with its weight, if that varies.
        let by_rows = || Jobs::sums_by_rows(self.problem, self.caps);
        if view == View::Rows || view == View::Groups && by_rows() {
            Jobs::rows(self.problem, self.caps, ByRows::Sums)
        } else if view == View::Groups && strategy::hold_columns(self.problem, self.caps) {
            Jobs::columns(self.problem, self.caps, (false, false))
        } else {
            Jobs::in_parts(self.problem, self.caps, view, forced)
        }
    }

    /// Partial sums over the parts of each item.
    pub(super) fn sums_in_parts(&mut self, view: View) -> Result<Partials> {
        let jobs = self.parts(view)?;
        self.partial_sums(&jobs, view);
        Ok(jobs.partials())
    }

    fn partial_sums(&mut self, jobs: &Jobs<'_>, view: View) {
        self.recipe
            .needs_partials(SUMS_BYTES, jobs.partials().number);
        // The weight stands inside a sum only where it varies within a group.
        let weighted = view == View::Groups && !self.problem.groups.partner.is_constant();
        let optional = Slots::default()
            .with(Slot::Partials)
            .with_if(weighted && self.problem.weight, Slot::Weight);
        self.launch(jobs, Kernel::GradientSums, optional);
    }

    fn launch(&mut self, jobs: &Jobs<'_>, kernel: Kernel, optional: Slots) {
        let steps = self.steps(jobs, kernel, optional);
        self.add(steps);
    }

    fn add(&mut self, steps: Vec<Step>) {
        self.recipe.steps.extend(steps);
        self.gradient_written = self.wanted.residual;
    }

    /// The launches of a kernel that reads `grad_output`, with what surrounds the norm.
    fn steps(&self, jobs: &Jobs<'_>, kernel: Kernel, optional: Slots) -> Vec<Step> {
        let Problem {
            weight,
            bias,
            activation,
            residual,
            ..
        } = *self.problem;
        let written = self.gradient_written;
        let activated = activation != Activation::None && !written;
        let added = residual == Some(Residual::Before) && kernel != Kernel::GradientSums;
        let optional = optional
            .with_if(activated && weight, Slot::Weight)
            .with_if(activated && bias, Slot::Bias)
            .with_if(activated && kernel == Kernel::GradInput, Slot::Input)
            .with_if(
                activated && residual == Some(Residual::After),
                Slot::Residual,
            )
            .with_if(self.wanted.residual && !written, Slot::GradResidual)
            .with_if(added, Slot::GradResidualOutput);
        let mut steps: Vec<Step> = jobs.steps(kernel, optional).collect();
        for step in &mut steps {
            if activated {
                step.variant.activation = activation;
            }
            if written {
                step.renamed = vec![(Slot::GradOutput, Slot::GradResidual)];
            }
        }
        steps
    }

    /// All `partials`, merged to `items` pairs of sums.
    pub(super) fn merge(&mut self, items: u32, partials: Partials, optional: Slots) {
        let (from, size) = ((Slot::Partials, partials.number), (items, partials));
        self.recipe
            .merge_sums(self.problem, self.caps, from, size, optional);
    }

    fn merge_parameters(&mut self, partials: Partials) {
        self.merge(
            self.problem.channels.items,
            partials,
            self.wanted.parameter_slots(),
        );
    }

    /// `grad_input` from the sums of each group, or without any.
    pub(super) fn grad_input(&mut self, view: View, optional: Slots) -> Result<()> {
        let forced = self.forced == Some(Strategy::Split);
        let jobs = if strategy::by_rows(self.problem, self.caps) {
            Jobs::rows(self.problem, self.caps, ByRows::Elements)?
        } else {
            Jobs::in_parts(self.problem, self.caps, view, forced)?
        };
        let optional = optional.with_if(self.problem.weight, Slot::Weight);
        self.launch(&jobs, Kernel::GradInput, optional);
        Ok(())
    }
}
