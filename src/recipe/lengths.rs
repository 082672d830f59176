//! Passes over samples of different lengths. They are split: sums of a group must know how many of its elements are valid before they are
//! averages, and a launch that goes over the tensor has one binding more.

use super::Recipe;
use crate::error::{Error, Result};
use crate::geometry::{Lengths, Problem};
use crate::kernel::{Kernel, Slot};
use crate::source::Positions;
use crate::strategy::{MAX_ITERATIONS, Strategy};

/// The strategy instead of `asked`.
pub(super) const fn strategy(problem: &Problem, asked: Strategy) -> Strategy {
    match problem.lengths {
        Some(_) => Strategy::Split,
        None => asked,
    }
}

/// Whether one workgroup may go through all groups, and the samples of each.
pub(super) fn fits_update(problem: &Problem, channels: u32, teams: u32) -> Result<()> {
    let Some(lengths) = problem.lengths else {
        return Ok(());
    };
    let samples = problem.groups.items / channels * lengths.samples_per_group;
    few(
        "updating running statistics of samples with lengths",
        // A group without a loop over samples is an iteration, too; so is each block of groups.
        3 * u64::from(channels.div_ceil(teams)) * u64::from(samples),
    )
}

fn few(what: &str, needed: u64) -> Result<()> {
    if needed <= MAX_ITERATIONS.into() {
        return Ok(());
    }
    Err(Error::Limit {
        what: what.to_owned(),
        needed,
        limit: "loop iterations of an invocation",
        allowed: MAX_ITERATIONS.into(),
    })
}

/// Vectors of `vector` elements begin at multiples of these.
const fn positions(lengths: Lengths, vector: u32) -> Positions {
    if lengths.position_stride.is_multiple_of(vector) {
        Positions::Same
    } else if lengths.position_stride == 1 && lengths.positions.is_multiple_of(vector) {
        Positions::Neighbouring
    } else {
        Positions::Any
    }
}

impl Recipe {
    /// Tells the launches where samples end, if they have lengths.
    pub(super) fn end_samples(&mut self, problem: &Problem) -> Result<()> {
        let Some(lengths) = problem.lengths else {
            return Ok(());
        };
        for step in &mut self.steps {
            let optional = step.variant.optional;
            let reads = match step.kernel {
                Kernel::Statistics
                | Kernel::Normalize
                | Kernel::GradientSums
                | Kernel::GradInput
                | Kernel::UpdateRunning => true,
                // Those of the groups, not what is merged once more.
                Kernel::MergeSums => {
                    optional.contains(Slot::Sums) && step.operand(Slot::Sums) == Slot::Sums
                }
                _ => false,
            };
            if step.kernel == Kernel::MergeSums && reads {
                let own = u64::from(step.params.part_vectors / step.variant.tile.lanes);
                few(
                    "sums over samples with lengths",
                    2 * own + u64::from(lengths.samples_per_group),
                )?;
            }
            step.variant.positions = positions(lengths, step.variant.vector);
            step.variant.full = false;
            step.variant.lengths = reads || step.kernel == Kernel::MergeStatistics;
            step.variant.optional = optional.with_if(reads, Slot::Lengths);
            if step.kernel == Kernel::GradInput {
                // Averages already.
                step.params.count = 1.0;
            }
        }
        Ok(())
    }
}
