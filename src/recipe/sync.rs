//! The launches of synchronized batch norm: both passes of a split in two halves each, for statistics and sums that the caller
//! exchanges in between. The second halves get them by slots that are otherwise scratch.

use super::backward::Builder;
use super::view::View;
use super::{Recipe, Wanted, forward};
use crate::caps::Caps;
use crate::error::Result;
use crate::geometry::Problem;
use crate::kernel::{Kernel, Slot};
use crate::source::Slots;
use crate::strategy::Strategy;

impl Recipe {
    /// Forward, first half: the statistics of each channel, into [`Slot::Exported`].
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) if something that cannot be split is larger than a binding of the device.
    pub fn sync_statistics(problem: &Problem, caps: &Caps) -> Result<Self> {
        let mut recipe = Self::new(Strategy::Split);
        forward::statistics(&mut recipe, problem, caps, None, Slot::Exported)?;
        recipe.center_weight(problem);
        recipe.fits_bindings(problem, caps)?;
        Ok(recipe)
    }

    /// Forward, second half: the output by the moments in [`Slot::Statistics`], unless `empty`, and the update of the running
    /// statistics by the means and unbiased variances in [`Slot::Averages`].
    ///
    /// # Errors
    /// Those of [`Recipe::sync_statistics`].
    pub fn sync_normalize(problem: &Problem, caps: &Caps, empty: bool) -> Result<Self> {
        let mut recipe = Self::new(Strategy::Split);
        if !empty {
            forward::normalize(&mut recipe, problem, caps, None)?;
        }
        if let Some(update) = problem.running {
            forward::update_running(&mut recipe, problem, caps, update)?;
            let updates = |kernel| kernel == Kernel::UpdateRunning;
            for step in recipe.steps.iter_mut().filter(|step| updates(step.kernel)) {
                step.renamed.clear();
                step.params.plane = problem.channels.items;
                step.params.unbiased = 1.0;
            }
        }
        recipe.center_weight(problem);
        recipe.fits_bindings(problem, caps)?;
        Ok(recipe)
    }

    /// Backward, first half: the two sums of each channel, into [`Slot::Sums`], and the gradients of weight, bias and residual
    /// that are wanted.
    ///
    /// # Errors
    /// Those of [`Recipe::sync_statistics`].
    pub fn sync_sums(problem: &Problem, caps: &Caps, wanted: Wanted) -> Result<Self> {
        let mut builder = Builder::new(problem, caps, wanted, Strategy::Split);
        let partials = builder.sums_in_parts(View::Groups)?;
        let to = wanted.parameter_slots().with(Slot::Sums);
        builder.merge(problem.groups.items, partials, to);
        builder.finish()
    }

    /// Backward, second half: `grad_input` by the averages in [`Slot::Sums`]. If `gradient_written`, the first half has written the
    /// gradient of the residual, which is then read in place of `grad_output`.
    ///
    /// # Errors
    /// Those of [`Recipe::sync_statistics`].
    pub fn sync_grad_input(problem: &Problem, caps: &Caps, gradient_written: bool) -> Result<Self> {
        let wanted = Wanted {
            input: true,
            residual: gradient_written,
            weight: false,
            bias: false,
        };
        let mut builder = Builder::new(problem, caps, wanted, Strategy::Split);
        builder.gradient_written = gradient_written;
        let given = Slots::default().with(Slot::Input).with(Slot::Sums);
        builder.grad_input(View::Groups, given)?;
        // They are averages already, over more elements than there are here.
        for step in &mut builder.recipe.steps {
            step.params.count = 1.0;
        }
        builder.finish()
    }
}

impl Builder<'_> {
    fn finish(mut self) -> Result<Recipe> {
        self.recipe.pack_affine(self.problem, self.caps);
        self.recipe.center_weight(self.problem);
        // The caller's.
        self.recipe.sums_bytes = 0;
        self.recipe.fits_bindings(self.problem, self.caps)?;
        Ok(self.recipe)
    }
}
