use super::SyncPlan;
use crate::error::Result;
#[cfg(doc)]
use crate::plan::Plan;
use crate::plan::WarmUp;
use crate::recipe::Wanted;

impl SyncPlan {
    /// Compiles the pipelines of all halves of both passes, with all gradients that the norm has, and allocates their scratch memory, as
    /// [`Plan::warm_up`].
    ///
    /// # Errors
    /// Those of [`Plan::warm_up`].
    pub fn warm_up(&self) -> Result<WarmUp> {
        self.warm_up_passes(false)
    }

    /// [`SyncPlan::warm_up`] for passes with a residual, and its gradient.
    ///
    /// # Errors
    /// Those of [`Plan::warm_up`].
    pub fn warm_up_residual(&self) -> Result<WarmUp> {
        self.warm_up_passes(true)
    }

    fn warm_up_passes(&self, residual: bool) -> Result<WarmUp> {
        let wanted = Wanted {
            input: false,
            residual,
            ..self.plan.all_gradients()
        };
        self.plan.warmed_up(|| {
            let forward = self.prepared_forward(residual)?;
            if self.empty {
                return Ok(vec![Some(forward)]);
            }
            let statistics = self.prepared_statistics()?;
            let sums = self.prepared_sums(wanted, residual)?;
            let backward = self.prepared_grad_input(residual, residual)?;
            Ok([forward, statistics, sums, backward].map(Some).into())
        })
    }
}
