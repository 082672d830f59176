//! Synchronized batch norm on one rank: both halves of each pass, with what ranks exchange in between at hand.

use wgpu_norm::check::Case;
use wgpu_norm::sync::{Moments, SyncPlan};
use wgpu_norm::{BackwardTensors, Context, ForwardTensors, Norm, Tensor, wgpu};

use crate::Result;

#[derive(Debug)]
pub(crate) struct Shard {
    plan: SyncPlan,
    exported: Tensor,
    moments: Moments,
    sums: Tensor,
    averages: Tensor,
}

impl Shard {
    /// The statistics and sums of the only rank.
    pub(crate) fn new(
        context: &Context,
        case: &Case,
        forward: &ForwardTensors<'_>,
        backward: &BackwardTensors<'_>,
    ) -> Result<Self> {
        let Norm::Batch(norm) = case.norm else {
            return Err("only batch norm has shards".into());
        };
        let plan = SyncPlan::of_dtype(context, case.dtype, norm, &case.shape, case.mode)?;
        let shard = Self {
            exported: Tensor::uninit(context, &plan.statistics_shape())?,
            moments: plan.moments()?,
            sums: Tensor::uninit(context, &plan.sums_shape())?,
            averages: Tensor::uninit(context, &plan.sums_shape())?,
            plan,
        };
        let submit = |record: &dyn Fn(&mut wgpu::CommandEncoder) -> Result<()>| -> Result<()> {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            record(&mut encoder)?;
            context.queue().submit([encoder.finish()]);
            Ok(())
        };
        let plan = &shard.plan;
        submit(&|encoder| Ok(plan.statistics(encoder, forward.input, &shard.exported)?))?;
        let statistics = plan.local_statistics(&shard.exported.to_vec()?)?;
        shard.moments.write(&statistics)?;
        let backward = shard.of_moments(backward);
        submit(&|encoder| Ok(plan.sums(encoder, &backward, &shard.sums)?))?;
        let sums = plan.local_sums(&shard.sums.to_vec()?)?;
        shard.averages.write(&sums.averages())?;
        Ok(shard)
    }

    pub(crate) fn forward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &ForwardTensors<'_>,
    ) -> Result<()> {
        let tensors = ForwardTensors {
            statistics: None,
            ..*tensors
        };
        self.plan
            .statistics(encoder, tensors.input, &self.exported)?;
        Ok(self.plan.forward(encoder, &tensors, &self.moments)?)
    }

    pub(crate) fn backward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &BackwardTensors<'_>,
    ) -> Result<()> {
        let tensors = self.of_moments(tensors);
        self.plan.sums(encoder, &tensors, &self.sums)?;
        Ok(self.plan.backward(encoder, &tensors, &self.averages)?)
    }

    fn of_moments<'a>(&'a self, tensors: &BackwardTensors<'a>) -> BackwardTensors<'a> {
        BackwardTensors {
            statistics: self.moments.statistics(),
            ..*tensors
        }
    }
}
