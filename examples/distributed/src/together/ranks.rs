//! What the processes do together, by MPI. All ranks get the same bits: everything is gathered, and added up in rank order.

use mpi::datatype::Equivalence;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use wgpu_norm::sync::{Statistics, Sums, SyncLayer, SyncSaved};
use wgpu_norm::{Gradients, Layer, Mode, Tensor};

use crate::Result;

/// All processes of `mpirun`.
pub(crate) fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

/// The numbers of all ranks, one rank after the other, each as many as this one's.
fn all_gather<T: Equivalence + Clone + Default>(own: &[T]) -> Vec<T> {
    let world = world();
    let mut all = vec![T::default(); own.len() * world.size() as usize];
    world.all_gather_into(own, &mut all[..]);
    all
}

/// Whether all processes have these numbers, bit for bit.
pub(crate) fn agree(own: &[f32]) -> bool {
    let own: Vec<u32> = own.iter().map(|number| number.to_bits()).collect();
    all_gather(&own)
        .chunks(own.len().max(1))
        .all(|other| other == own)
}

/// Replaces a gradient, or any numbers, by their sums over all processes.
pub(crate) fn add_up<'a>(values: impl Iterator<Item = &'a mut f32>) {
    let mut values: Vec<&mut f32> = values.collect();
    let own: Vec<f32> = values.iter().map(|value| **value).collect();
    let all = all_gather(&own);
    for (k, value) in values.iter_mut().enumerate() {
        let ranks = all.iter().skip(k).step_by(own.len());
        **value = ranks.map(|&number| f64::from(number)).sum::<f64>() as f32;
    }
}

/// Batch norm over the batches of all processes.
#[derive(Debug)]
pub(crate) struct BatchNormLayer(SyncLayer);

/// `None` after evaluation, which has no backward pass here.
pub(crate) type Saved = Option<SyncSaved>;

impl BatchNormLayer {
    pub(crate) fn new(layer: Layer) -> Result<Self> {
        Ok(Self(SyncLayer::new(layer)?))
    }

    pub(crate) fn layer(&self) -> &Layer {
        self.0.layer()
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode) -> Result<(Tensor, Saved)> {
        if mode == Mode::EVAL {
            return Ok((self.layer().forward(input, mode)?.output, None));
        }
        let forward = self.0.forward(input, mode, |own| -> Result<_> {
            let parts = exchanged(&own.to_message(), Statistics::from_message)?;
            Ok(Statistics::merge(&parts)?)
        })?;
        Ok((forward.output, Some(forward.saved)))
    }

    pub(crate) fn backward(&self, saved: &Saved, grad_output: &Tensor) -> Result<Gradients> {
        let saved = saved.as_ref().ok_or("no forward pass in training")?;
        self.0.backward(saved, grad_output, |own| -> Result<_> {
            let parts = exchanged(&own.to_message(), Sums::from_message)?;
            Ok(Sums::merge(&parts)?)
        })
    }
}

/// The parts of all ranks, in rank order.
fn exchanged<T>(own: &[f64], part: fn(&[f64]) -> wgpu_norm::Result<T>) -> Result<Vec<T>> {
    let all = all_gather(own);
    let parts = all.chunks(own.len()).map(part);
    Ok(parts.collect::<wgpu_norm::Result<_>>()?)
}
