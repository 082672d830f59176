//! What goes into the passes of a layer.

use crate::tensor::Tensor;
#[cfg(doc)]
use crate::{Forward, Norm};

/// The input of a forward pass, and what goes in with it: an `&Tensor` is an input alone.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub(super) input: &'a Tensor,
    pub(super) residual: Option<&'a Tensor>,
    pub(super) weight: Option<&'a Tensor>,
    pub(super) bias: Option<&'a Tensor>,
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
