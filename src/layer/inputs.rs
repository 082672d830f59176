//! What goes into the passes of a layer.

use crate::tensor::Tensor;
#[cfg(doc)]
use crate::{Forward, ForwardTensors, Norm};

/// The input of a forward pass, and what goes in with it: an `&Tensor` is an input alone.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub(super) input: &'a Tensor,
    pub(super) residual: Option<&'a Tensor>,
    pub(super) weight: Option<&'a Tensor>,
    pub(super) bias: Option<&'a Tensor>,
    pub(super) lengths: Option<&'a Tensor>,
}

impl<'a> Inputs<'a> {
    /// The input alone.
    #[must_use]
    pub const fn new(input: &'a Tensor) -> Self {
        Self {
            input,
            residual: None,
            weight: None,
            bias: None,
            lengths: None,
        }
    }

    /// A residual of the input's shape, in the same passes over memory: batch, instance and group norm add it after weight and bias,
    /// `output = activation(norm(input) + residual)`; layer and RMS norm before the norm,
    /// `residual_output = input + residual; output = activation(norm(residual_output))`.
    #[must_use]
    pub const fn residual(mut self, residual: &'a Tensor) -> Self {
        self.residual = Some(residual);
        self
    }

    /// The weights of the samples, of shape [`Norm::affine_shape`], where each has its own.
    #[must_use]
    pub const fn weight(mut self, weight: &'a Tensor) -> Self {
        self.weight = Some(weight);
        self
    }

    /// The biases of the samples, likewise.
    #[must_use]
    pub const fn bias(mut self, bias: &'a Tensor) -> Self {
        self.bias = Some(bias);
        self
    }

    /// The lengths of the samples, as [`ForwardTensors::lengths`] takes them; the backward pass takes them again.
    ///
    /// ```no_run
    /// use wgpu_norm::{BatchNorm, Context, Inputs, Layer, Mode, Tensor};
    /// # fn main() -> wgpu_norm::Result<()> {
    /// let context = Context::new()?;
    /// let layer = Layer::new(&context, BatchNorm::new(2))?;
    /// // Two samples of two channels and three points, the second one point long: [N, C, L].
    /// let input = Tensor::from_slice(&context, &[1.0, 2.0, 6.0, 2.0, 4.0, 6.0, 3.0, 9.9, 9.9, 4.0, 9.9, 9.9], &[2, 2, 3])?;
    /// let lengths = Tensor::from_slice(&context, &[3u32, 1], &[2])?;
    /// let forward = layer.forward(Inputs::new(&input).lengths(&lengths), Mode::TRAINING)?;
    /// let output = forward.output.to_vec()?; // 0 where 9.9 was
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn lengths(mut self, lengths: &'a Tensor) -> Self {
        self.lengths = Some(lengths);
        self
    }
}

impl<'a> From<&'a Tensor> for Inputs<'a> {
    fn from(input: &'a Tensor) -> Self {
        Self::new(input)
    }
}

/// The gradients that go into a backward pass: an `&Tensor` is that of the output alone.
#[derive(Debug, Clone, Copy)]
pub struct OutputGradients<'a> {
    pub(super) grad_output: &'a Tensor,
    pub(super) grad_residual_output: Option<&'a Tensor>,
}

impl<'a> OutputGradients<'a> {
    /// Gradient of the output, of its shape.
    #[must_use]
    pub const fn new(grad_output: &'a Tensor) -> Self {
        Self {
            grad_output,
            grad_residual_output: None,
        }
    }

    /// Gradient of [`Forward::residual_output`], which is added to that of the input; 0 if it is not given.
    #[must_use]
    pub const fn residual_output(mut self, gradient: &'a Tensor) -> Self {
        self.grad_residual_output = Some(gradient);
        self
    }
}

impl<'a> From<&'a Tensor> for OutputGradients<'a> {
    fn from(grad_output: &'a Tensor) -> Self {
        Self::new(grad_output)
    }
}
