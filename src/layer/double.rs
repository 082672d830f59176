//! The second derivative of a layer.

use super::{Layer, Saved};
use crate::error::{Error, Result};
#[cfg(doc)]
use crate::plan::Plan;
use crate::plan::{ALONE, DoubleBackwardTensors};
use crate::tensor::Tensor;

/// What a second derivative gives: the gradients of a function of `grad_input`.
#[derive(Debug, Clone)]
pub struct DoubleGradients {
    /// With respect to the input, of its shape.
    pub grad_input: Tensor,
    /// With respect to the weight, of its shape, if there is one. The bias has no influence.
    pub grad_weight: Option<Tensor>,
    /// With respect to `grad_output`, of the input's shape.
    pub grad_grad_output: Tensor,
}

impl Layer {
    /// The gradients of a function of the `grad_input` of [`Layer::backward`], for gradient penalties: `grad_grad_input` is the gradient
    /// of that function with respect to `grad_input`, of its shape. Submits that work. Of norms without activation and residual.
    ///
    /// ```no_run
    /// use wgpu_norm::{Context, Layer, LayerNorm, Mode, Tensor};
    /// # fn main() -> wgpu_norm::Result<()> {
    /// # let context = Context::new()?;
    /// let layer = Layer::new(&context, LayerNorm::new(&[4]))?;
    /// let input = Tensor::from_slice(&context, &[0.5, 1.0, 2.0, 4.0], &[1, 4])?;
    /// let grad_output = Tensor::from_slice(&context, &[1.0, 0.0, 0.0, 3.0], &[1, 4])?;
    /// let forward = layer.forward(&input, Mode::TRAINING)?;
    /// let first = layer.backward(&forward.saved, &grad_output)?;
    /// // A penalty of sum(grad_input²) / 2 has the gradient grad_input.
    /// let second = layer.double_backward(&forward.saved, &grad_output, &first.grad_input)?;
    /// println!("{:?} {:?}", second.grad_input.to_vec()?, second.grad_grad_output.to_vec()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the pass had a residual or lengths, those of [`Layer::backward`] and [`Plan::double_backward`].
    pub fn double_backward(
        &self,
        saved: &Saved,
        grad_output: &Tensor,
        grad_grad_input: &Tensor,
    ) -> Result<DoubleGradients> {
        self.submitted("wgpu-norm.double_backward", |encoder| {
            self.record_double_backward(encoder, saved, grad_output, grad_grad_input)
        })
    }

    /// [`Layer::double_backward`], recorded into the caller's encoder.
    ///
    /// # Errors
    /// Those of [`Layer::double_backward`].
    pub fn record_double_backward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        saved: &Saved,
        grad_output: &Tensor,
        grad_grad_input: &Tensor,
    ) -> Result<DoubleGradients> {
        self.expect_own(saved)?;
        if saved.has_residual {
            return Err(Error::Unexpected("a residual", ALONE));
        }
        if saved.lengths.is_some() {
            return Err(Error::Unexpected("lengths", ALONE));
        }
        let weight = self.weight.as_ref().or(saved.weight.as_ref());
        let grad_weight = weight
            .map(|weight| Tensor::uninit(&self.context, weight.shape()))
            .transpose()?;
        let grad_input = saved.new_gradient(&self.context)?;
        let grad_grad_output = saved.new_gradient(&self.context)?;
        let (input, statistics) = (&saved.input, &saved.statistics);
        saved.plan.double_backward(
            encoder,
            &DoubleBackwardTensors {
                weight,
                grad_input: Some(&grad_input),
                grad_weight: grad_weight.as_ref(),
                grad_grad_output: Some(&grad_grad_output),
                ..DoubleBackwardTensors::new(input, statistics, grad_output, grad_grad_input)
            },
        )?;
        Ok(DoubleGradients {
            grad_input,
            grad_weight,
            grad_grad_output,
        })
    }
}
