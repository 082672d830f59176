//! The launches of the forward pass.

use super::columns::ByRows;
use super::job::Jobs;
use super::small::{Partials, affine_slots, channel_step};
use super::view::View;
use super::{Recipe, STATISTICS_BYTES, Step, lengths};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Problem, Residual, RunningUpdate};
use crate::kernel::{Kernel, Slot};
use crate::params::Params;
use crate::source::{self, Slots};
use crate::strategy::{self, Load, Strategy};

pub(super) fn recipe(problem: &Problem, caps: &Caps, forced: Option<Strategy>) -> Result<Recipe> {
    let strategy = match forced {
        Some(strategy) => strategy,
        None => super::choose(problem, caps, Load::Forward)?,
    };
    let mut recipe = Recipe::new(strategy);
    if !problem.batch_statistics {
        normalize(&mut recipe, problem, caps, forced)?;
        return Ok(recipe);
    }
    if strategy == Strategy::Split {
        statistics(&mut recipe, problem, caps, forced, Slot::Statistics)?;
        normalize(&mut recipe, problem, caps, forced)?;
    } else {
        let columns = strategy::looped_columns(problem, caps);
        let jobs = match columns.filter(|_| strategy == Strategy::Looped) {
            Some(columns) => Jobs::rows(problem, caps, ByRows::Groups { columns })?,
            None => Jobs::whole_groups(problem, caps, Load::Forward, strategy)?,
        };
        let optional = sum_slots(problem)
            .union(affine_slots(problem))
            .with_if(problem.residual.is_some(), Slot::Residual);
        let steps = jobs.steps(Kernel::NormalizeGroups, optional);
        recipe
            .steps
            .extend(steps.map(|step| activated(problem, step)));
    }
    if let Some(update) = problem.running
        && !updates_running(&mut recipe, problem, update)
    {
        update_running(&mut recipe, problem, caps, update)?;
    }
    Ok(recipe)
}

/// Lets the launches that find the statistics of each channel update the running ones with them, if they can: with a momentum, as the
/// number of batches may not change while others read it; not from statistics of several groups; and not with a binding too many.
fn updates_running(recipe: &mut Recipe, problem: &Problem, update: RunningUpdate) -> bool {
    let Some(momentum) = update.momentum else {
        return false;
    };
    if problem.groups.items != update.channels || problem.lengths.is_some() {
        return false;
    }
    let with_running = |step: &Step| {
        let mut variant = step.variant;
        for slot in Slot::RUNNING {
            variant.optional = variant.optional.with(slot);
        }
        variant
    };
    let finds = |step: &&mut Step| {
        let merges = step.kernel == Kernel::MergeStatistics;
        step.kernel == Kernel::NormalizeGroups
            || merges && step.variant.optional.contains(Slot::Statistics)
    };
    let fit = |step: &mut Step| source::fits(step.kernel, &with_running(step));
    if !recipe.steps.iter_mut().filter(finds).all(fit) {
        return false;
    }
    for step in recipe.steps.iter_mut().filter(finds) {
        step.variant = with_running(step);
        step.params.momentum = momentum;
    }
    true
}

/// Statistics of each group in parts, merged into `to`.
pub(super) fn statistics(
    recipe: &mut Recipe,
    problem: &Problem,
    caps: &Caps,
    forced: Option<Strategy>,
    to: Slot,
) -> Result<()> {
    let by_rows = Jobs::sums_by_rows(problem, caps);
    let jobs = if by_rows {
        Jobs::rows(problem, caps, ByRows::Statistics)?
    } else {
        Jobs::in_parts(problem, caps, View::Groups, forced.is_some())?
    };
    let partials = jobs.partials();
    recipe.needs_partials(STATISTICS_BYTES, partials.number);
    let sum = sum_slots(problem);
    recipe.steps.extend(jobs.steps(Kernel::Statistics, sum));
    let packed = by_rows && problem.groups.run_length == 1;
    recipe.merge_statistics(problem, caps, (partials, packed), to);
    Ok(())
}

/// The output from statistics at hand.
pub(super) fn normalize(
    recipe: &mut Recipe,
    problem: &Problem,
    caps: &Caps,
    forced: Option<Strategy>,
) -> Result<()> {
    let forced = forced == Some(Strategy::Split);
    let jobs = if strategy::by_rows(problem, caps) {
        Jobs::rows(problem, caps, ByRows::Elements)?
    } else if strategy::hold_columns(problem, caps) {
        Jobs::columns(problem, caps, (false, false))?
    } else {
        let by_runs = strategy::by_runs(problem) && (problem.weight || problem.bias);
        let view = if by_runs { View::Runs } else { View::Groups };
        Jobs::in_parts(problem, caps, view, forced)?
    };
    let after = problem.residual == Some(Residual::After);
    let evaluates = !problem.batch_statistics;
    let optional = affine_slots(problem)
        .with_if(after, Slot::Residual)
        .with_if(evaluates, Slot::RunningMean)
        .with_if(evaluates, Slot::RunningVar);
    recipe
        .steps
        .extend(jobs.steps(Kernel::Normalize, optional).map(|step| {
            let mut step = activated(problem, step);
            if problem.residual == Some(Residual::Before) {
                // The launch before wrote the sum.
                step.renamed = vec![(Slot::Input, Slot::ResidualOutput)];
            }
            step
        }));
    Ok(())
}

/// The slots of a launch that adds input and residual, if any does.
fn sum_slots(problem: &Problem) -> Slots {
    let before = problem.residual == Some(Residual::Before);
    Slots::default()
        .with_if(before, Slot::Residual)
        .with_if(before, Slot::ResidualOutput)
}

const fn activated(problem: &Problem, mut step: Step) -> Step {
    step.variant.activation = problem.activation;
    step
}

/// The running statistics take the average over the groups of a channel: one group in batch norm, one per sample in instance norm.
pub(super) fn update_running(
    recipe: &mut Recipe,
    problem: &Problem,
    caps: &Caps,
    update: RunningUpdate,
) -> Result<()> {
    let (groups, channels) = (problem.groups.items, update.channels);
    let samples = groups / channels;
    let mut step = channel_step(problem, caps, (Kernel::UpdateRunning, channels), true);
    let most = step.variant.tile.teams * strategy::MAX_ITERATIONS;
    lengths::fits_update(problem, channels, step.variant.tile.teams)?;
    if channels > most {
        return Err(Error::Limit {
            what: "updating running statistics".to_owned(),
            needed: channels.into(),
            limit: "channels with running statistics",
            allowed: most.into(),
        });
    }
    // Means are plane 0 of the statistics, variances plane 3.
    let planes = 3 * groups;
    let averages = if samples == 1 || problem.lengths.is_some() {
        step.params.plane = planes;
        Slot::Statistics
    } else {
        let sums = Slots::default().with(Slot::Sums);
        let from = (Slot::Statistics, planes);
        let size = (channels, Partials::apart(groups));
        recipe.merge_sums(problem, caps, from, size, sums);
        step.params.plane = channels;
        Slot::Sums
    };
    step.renamed = vec![(Slot::Averages, averages)];
    step.variant.cumulative = update.momentum.is_none();
    step.params = Params {
        momentum: update.momentum.unwrap_or(0.0),
        scale: 1.0 / samples as f32,
        ..step.params
    };
    recipe.steps.push(step);
    Ok(())
}
