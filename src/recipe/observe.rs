//! The launches that observe a tensor.

use super::job::Jobs;
use super::view::View;
use super::{Recipe, forward};
use crate::caps::Caps;
use crate::error::Result;
use crate::geometry::Problem;
use crate::kernel::{Kernel, Slot};
use crate::source::Slots;
use crate::strategy::Strategy;

/// Bins that the counters of a workgroup have room for.
pub(crate) const MOST_BINS: usize = 1024;

impl Recipe {
    /// Statistics of each group, into [`Slot::Exported`], and the values of all groups counted between `edges`, at most 1,025, into
    /// [`Slot::Counts`], which must be 0 before.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) if something that cannot be split is larger than a binding of the device.
    pub fn observe(problem: &Problem, caps: &Caps, edges: u32) -> Result<Self> {
        let mut recipe = Self::new(Strategy::Split);
        forward::statistics(&mut recipe, problem, caps, None, Slot::Exported)?;
        let jobs = Jobs::in_parts(problem, caps, View::Groups, false)?;
        let steps = jobs.steps(Kernel::Histogram, Slots::default());
        recipe.steps.extend(steps.map(|mut step| {
            step.params.items_per_group = edges;
            step
        }));
        recipe.fits_bindings(problem, caps)?;
        Ok(recipe)
    }
}
