//! The launches of the second derivative.
//!
//! The gradient of the weight comes first: it reads what the others may overwrite.

use super::job::Jobs;
use super::small::Partials;
use super::view::View;
use super::{Recipe, SUMS_BYTES};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::Problem;
use crate::kernel::{Kernel, Slot};
use crate::source::Slots;
use crate::strategy::Strategy;

/// Pairs of sums of each group: those of [`Kernel::DoubleSums`].
const PAIRS: u32 = 3;

/// Which gradients of the second derivative are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DoubleWanted {
    /// That with respect to the input.
    pub input: bool,
    /// ... the weight.
    pub weight: bool,
    /// ... `grad_output`.
    pub grad_output: bool,
}

impl Recipe {
    /// The gradients of `sum(grad_input * grad_grad_input)` that are wanted, of the norm alone: activation and residual of the problem
    /// are not looked at.
    ///
    /// # Errors
    /// [`Error::Limit`] if something that cannot be split is larger than a binding of the device.
    pub fn double_backward(problem: &Problem, caps: &Caps, wanted: DoubleWanted) -> Result<Self> {
        let mut recipe = Self::new(Strategy::Split);
        let DoubleWanted {
            input,
            weight,
            grad_output,
        } = wanted;
        // Running statistics depend on no element.
        let sums = problem.batch_statistics && (input || weight || grad_output);
        if sums {
            recipe.double_sums(problem, caps, input)?;
        }
        let read = Slots::default()
            .with_if(sums, Slot::Input)
            .with_if(sums, Slot::Sums);
        if weight {
            let jobs = Jobs::in_parts(problem, caps, View::Channels, false)?;
            recipe.needs_partials(SUMS_BYTES / 2, jobs.partials().number);
            let steps = jobs.steps(Kernel::DoubleGradWeight, read);
            recipe.steps.extend(steps);
            // One sum in the place of a pair, both of which lie in the one plane.
            let from = (Slot::Partials, 0);
            let size = (problem.channels.items, jobs.partials());
            let to = Slots::default().with(Slot::GradWeight);
            recipe.merge_sums(problem, caps, from, size, to);
        }
        if input || grad_output {
            let jobs = Jobs::in_parts(problem, caps, View::Groups, false)?;
            let optional = read
                .with_if(problem.weight, Slot::Weight)
                .with_if(sums && input, Slot::GradOutput)
                .with_if(input, Slot::GradInput)
                .with_if(grad_output, Slot::GradGradOutput);
            let steps = jobs.steps(Kernel::DoubleGradInput, optional);
            recipe.steps.extend(steps);
        }
        recipe.center_weight(problem);
        recipe.fits_bindings(problem, caps)?;
        Ok(recipe)
    }

    /// The sums of each group into [`Slot::Sums`]: all of them, or those without `grad_output`.
    fn double_sums(&mut self, problem: &Problem, caps: &Caps, all: bool) -> Result<()> {
        let jobs = Jobs::in_parts(problem, caps, View::Groups, false)?;
        let partials = jobs.partials().number;
        let bytes = u64::from(PAIRS * SUMS_BYTES) * u64::from(partials);
        // The shaders count in 32 bits.
        let allowed = caps.max_binding_size.min(u32::MAX.into());
        if bytes > allowed {
            return Err(Error::Limit {
                what: "partial results".to_owned(),
                needed: bytes,
                limit: "max_storage_buffer_binding_size",
                allowed,
            });
        }
        self.needs_partials(PAIRS * SUMS_BYTES, partials);
        let inside = problem.weight && !problem.groups.partner.is_constant();
        let optional = Slots::default()
            .with_if(all, Slot::GradOutput)
            .with_if(all && inside, Slot::Weight);
        self.steps.extend(jobs.steps(Kernel::DoubleSums, optional));
        let from = (Slot::Partials, PAIRS * partials);
        let size = (PAIRS * problem.groups.items, Partials::apart(from.1));
        let to = Slots::default().with(Slot::Sums);
        self.merge_sums(problem, caps, from, size, to);
        Ok(())
    }
}
