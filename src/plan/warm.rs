//! Everything that the first use of a plan would do, done beforehand.

use std::sync::Arc;
use std::time::Duration;

use super::prepared::Prepared;
use super::{ALONE, Extras, Plan};
use crate::activation::Activation;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::geometry::Residual;
use crate::recipe::{DoubleWanted, Wanted};
use crate::scope::scoped;
#[cfg(doc)]
use crate::{ForwardTensors, Layer};

/// What a warm-up did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WarmUp {
    /// Pipelines compiled; those that the context had already are not among them.
    pub pipelines: usize,
    /// Bytes of scratch memory that the passes warmed up hold now.
    pub scratch_bytes: u64,
    /// The time that it took. Zero in browsers, where there is no clock and nothing waits for the device.
    pub time: Duration,
}

impl Plan {
    /// Compiles the pipelines of the forward pass with [`ForwardTensors::statistics`] and of the backward pass with all gradients
    /// that the norm has, allocates their scratch memory, and waits until the device has done so: the first step then takes
    /// as long as later ones. Submits empty launches, since some drivers compile at the first launch.
    ///
    /// What is left for the first step are the bind groups of its tensors. Tensors that share a buffer, among them those of
    /// passes in place, and other sets of gradients are launched by other pipelines, which are compiled at their first use.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Rejected`] or [`Error::DeviceLost`], as the first use would fail.
    pub fn warm_up(&self) -> Result<WarmUp> {
        self.warm_up_passes(false, Some(self.all_gradients()), Extras::default())
    }

    /// [`Plan::warm_up`] for inference: the forward pass alone, without [`ForwardTensors::statistics`].
    ///
    /// # Errors
    /// Those of [`Plan::warm_up`].
    pub fn warm_up_forward(&self) -> Result<WarmUp> {
        self.warm_up_passes(true, None, Extras::default())
    }

    /// [`Plan::warm_up`] for passes with a residual, and all gradients that go with it.
    ///
    /// # Errors
    /// Those of [`Plan::warm_up`].
    pub fn warm_up_residual(&self) -> Result<WarmUp> {
        let wanted = Wanted {
            residual: self.norm.residual_place() == Residual::After,
            ..self.all_gradients()
        };
        let extras = Extras {
            residual: true,
            lengths: false,
        };
        self.warm_up_passes(false, Some(wanted), extras)
    }

    /// [`Plan::warm_up`] for passes with [`ForwardTensors::lengths`].
    ///
    /// # Errors
    /// Those of [`Plan::warm_up`]; [`Error::Unexpected`] if the shape has no dimension for lengths.
    pub fn warm_up_lengths(&self) -> Result<WarmUp> {
        let extras = Extras {
            residual: false,
            lengths: true,
        };
        self.warm_up_passes(false, Some(self.all_gradients()), extras)
    }

    /// [`Plan::warm_up`] for [`Plan::double_backward`] with all gradients that the norm has. The forward pass is not among it.
    ///
    /// # Errors
    /// Those of [`Plan::warm_up`]; [`Error::Unexpected`] if the norm has an activation, [`Error::Limit`] as [`Plan::double_backward`].
    pub fn warm_up_double_backward(&self) -> Result<WarmUp> {
        if self.norm.activation() != Activation::None {
            return Err(Error::Unexpected("an activation", ALONE));
        }
        let wanted = DoubleWanted {
            input: true,
            weight: self.norm.has_weight(),
            grad_output: true,
        };
        self.warmed_up(|| Ok(vec![Some(self.prepared_double(wanted)?)]))
    }

    /// The forward pass, with statistics of the plan's own or the caller's, and a backward pass if one is given.
    pub(crate) fn warm_up_passes(
        &self,
        own_statistics: bool,
        backward: Option<Wanted>,
        extras: Extras,
    ) -> Result<WarmUp> {
        self.warmed_up(|| {
            let forward = self.prepared_forward(own_statistics, extras)?;
            let backward = backward.map(|wanted| self.prepared_backward(wanted, extras));
            Ok(vec![Some(forward), backward.transpose()?])
        })
    }

    /// What `prepare` gives, unless the plan has nothing to do.
    pub(super) fn warmed_up(
        &self,
        prepare: impl FnOnce() -> Result<Vec<Option<Arc<Prepared>>>>,
    ) -> Result<WarmUp> {
        let (clock, context) = (Clock::start(), &self.context);
        context.check_lost()?;
        if self.problem.is_none() {
            return Ok(WarmUp::default());
        }
        let prepared: Vec<_> = prepare()?.into_iter().flatten().collect();
        let pipelines = self.compile(&prepared)?;
        let scratch = prepared.iter().flat_map(|prepared| prepared.scratch());
        Ok(WarmUp {
            pipelines,
            scratch_bytes: scratch.map(|buffer| buffer.size()).sum(),
            time: clock.elapsed(),
        })
    }

    /// Compiles what is not yet, and launches it with no workgroups. Returns the number of pipelines compiled.
    fn compile(&self, prepared: &[Arc<Prepared>]) -> Result<usize> {
        let (context, device) = (&self.context, self.context.device());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("wgpu-norm.warm_up"),
        });
        let mut compiled = 0;
        for prepared in prepared {
            compiled += prepared.record_empty(context, &mut encoder)?;
        }
        scoped(device, "a warm-up", 0, || {
            context.queue().submit([encoder.finish()]);
        })?;
        if !cfg!(target_family = "wasm") {
            context.poll(wgpu::PollType::wait_indefinitely())?;
        }
        Ok(compiled)
    }
}
