//! What processes that train one network do together, for a single process: nothing. `examples/distributed` has the other version.

use wgpu_norm::{Gradients, Layer, Mode, Tensor};

use super::Result;

pub(crate) use wgpu_norm::Saved;

/// Replaces a gradient, or any numbers, by their sums over all processes.
pub(crate) fn add_up<'a>(_values: impl Iterator<Item = &'a mut f32>) {}

/// Batch norm over the batches of all processes.
#[derive(Debug)]
pub(crate) struct BatchNormLayer(Layer);

impl BatchNormLayer {
    pub(crate) fn new(layer: Layer) -> Result<Self> {
        Ok(Self(layer))
    }

    pub(crate) fn layer(&self) -> &Layer {
        &self.0
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode) -> Result<(Tensor, Saved)> {
        let forward = self.0.forward(input, mode)?;
        Ok((forward.output, forward.saved))
    }

    pub(crate) fn backward(&self, saved: &Saved, grad_output: &Tensor) -> Result<Gradients> {
        Ok(self.0.backward(saved, grad_output)?)
    }
}
