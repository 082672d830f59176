//! Checkpoints: the parameters and running statistics of a layer, by PyTorch's names.

use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::tensor::Tensor;

/// The state of a layer on the CPU. Fields have the names of PyTorch's `state_dict`; absent parts are `None`.
///
/// ```no_run
/// # use wgpu_norm::{BatchNorm, Context, Layer};
/// # fn main() -> wgpu_norm::Result<()> {
/// # let context = Context::new()?;
/// # let layer = Layer::new(&context, BatchNorm::new(3))?;
/// let state = layer.state()?;
/// for (name, values) in state.floats() {
///     println!("{name}: {values:?}"); // weight, bias, running_mean, running_var
/// }
/// layer.load_state(&state)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Shape of the four vectors: `[C]` or `normalized_shape`.
    pub shape: Vec<usize>,
    /// Weight.
    pub weight: Option<Vec<f32>>,
    /// Bias.
    pub bias: Option<Vec<f32>>,
    /// Running mean.
    pub running_mean: Option<Vec<f32>>,
    /// Running unbiased variance.
    pub running_var: Option<Vec<f32>>,
    /// Batches tracked. In a state to be loaded `None` counts as 0, as in old PyTorch checkpoints.
    pub num_batches_tracked: Option<u64>,
}

impl State {
    /// The floating-point parts that are there, with their names.
    pub fn floats(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        let parts = [
            ("weight", &self.weight),
            ("bias", &self.bias),
            ("running_mean", &self.running_mean),
            ("running_var", &self.running_var),
        ];
        parts
            .into_iter()
            .filter_map(|(name, part)| part.as_deref().map(|values| (name, values)))
    }
}

impl Layer {
    /// Copies the state to the CPU. Blocks; in browsers use [`Layer::state_async`].
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub fn state(&self) -> Result<State> {
        let read = |tensor: Option<&Tensor>| tensor.map(Tensor::to_vec).transpose();
        Ok(State {
            shape: self.norm().parameter_shape(),
            weight: read(self.weight())?,
            bias: read(self.bias())?,
            running_mean: read(self.running_mean())?,
            running_var: read(self.running_var())?,
            num_batches_tracked: self.num_batches_tracked()?,
        })
    }

    /// [`Layer::state`] without blocking.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub async fn state_async(&self) -> Result<State> {
        async fn read(tensor: Option<&Tensor>) -> Result<Option<Vec<f32>>> {
            match tensor {
                Some(tensor) => tensor.to_vec_async().await.map(Some),
                None => Ok(None),
            }
        }
        let num_batches_tracked = match self.num_batches_tracked_tensor() {
            Some(counter) => {
                let count = counter.to_vec_of_async::<u32>().await?;
                Some(count.iter().map(|&n| u64::from(n)).sum())
            }
            None => None,
        };
        Ok(State {
            shape: self.norm().parameter_shape(),
            weight: read(self.weight()).await?,
            bias: read(self.bias()).await?,
            running_mean: read(self.running_mean()).await?,
            running_var: read(self.running_var()).await?,
            num_batches_tracked,
        })
    }

    /// Replaces all of the layer's state, before all work that is submitted later.
    ///
    /// # Errors
    /// [`Error::State`] if a part is missing, superfluous or of another length, or the number of batches over 2³² - 1;
    /// nothing is replaced then.
    pub fn load_state(&self, state: &State) -> Result<()> {
        let parts = [
            ("weight", self.weight(), &state.weight),
            ("bias", self.bias(), &state.bias),
            ("running_mean", self.running_mean(), &state.running_mean),
            ("running_var", self.running_var(), &state.running_var),
        ];
        for (name, tensor, values) in &parts {
            let (has, got) = (tensor.map(Tensor::len), values.as_ref().map(Vec::len));
            if has != got {
                let text = format!("{name}: the layer has {has:?} values, the state {got:?}");
                return Err(Error::State(text));
            }
        }
        let batches = state.num_batches_tracked.unwrap_or(0);
        let batches = u32::try_from(batches).map_err(|_| {
            Error::State(format!(
                "num_batches_tracked {batches} is over {}",
                u32::MAX
            ))
        })?;
        let counter = self.num_batches_tracked_tensor();
        if counter.is_none() && state.num_batches_tracked.is_some() {
            let text = "num_batches_tracked: the layer keeps no running statistics";
            return Err(Error::State(text.to_owned()));
        }
        for (_, tensor, values) in parts {
            if let (Some(tensor), Some(values)) = (tensor, values) {
                tensor.write(values)?;
            }
        }
        counter.map_or(Ok(()), |counter| counter.write(&[batches]))
    }

    /// Sets the running statistics to those of a new layer: mean 0, variance 1, no batches.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn reset_running_stats(&self) -> Result<()> {
        let count = self.norm().parameter_shape().iter().product();
        for (tensor, value) in [(self.running_mean(), 0.0), (self.running_var(), 1.0)] {
            if let Some(tensor) = tensor {
                tensor.write(&vec![value; count])?;
            }
        }
        let counter = self.num_batches_tracked_tensor();
        counter.map_or(Ok(()), |counter| counter.write(&[0]))
    }
}
