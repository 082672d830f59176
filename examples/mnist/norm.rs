//! Batch normalization on the GPU, for a network on the CPU: every call of wgpu-norm in the training loop is here or in `ranks.rs`.

use ndarray::Array2;
use wgpu_norm::fold::ScaleShift;
use wgpu_norm::{BatchNorm, Context, Layer, Mode, Tensor};

use super::{
    Result,
    ranks::{self, BatchNormLayer, Saved},
};

/// A batch norm layer with its weight and bias, trained by SGD.
#[derive(Debug)]
pub(crate) struct NormLayer {
    context: Context,
    layer: BatchNormLayer,
    /// Copies on the CPU, where SGD runs.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl NormLayer {
    /// With eps and momentum of the slides. TensorFlow says the momentum the other way round: a decay of 0.99.
    pub(crate) fn new(context: &Context, num_features: usize) -> Result<Self> {
        let norm = BatchNorm::new(num_features).eps(1e-3).momentum(Some(0.01));
        Ok(Self {
            context: context.clone(),
            layer: BatchNormLayer::new(Layer::new(context, norm)?)?,
            weight: vec![1.0; num_features],
            bias: vec![0.0; num_features],
        })
    }

    /// The output, and what `backward` needs.
    pub(crate) fn forward(&self, input: &Array2<f32>, mode: Mode) -> Result<(Array2<f32>, Saved)> {
        let input = upload(&self.context, input)?;
        let (output, saved) = self.layer.forward(&input, mode)?;
        Ok((download(&output)?, saved))
    }

    /// What the layer does at test time: to be folded into the dense layer before it.
    pub(crate) fn scale_shift(&self) -> Result<ScaleShift> {
        Ok(self.layer.layer().scale_shift()?)
    }

    /// Means and biased variances of a batch; the running statistics stay as they are.
    pub(crate) fn batch_statistics(&self, input: &Array2<f32>) -> Result<(Vec<f32>, Vec<f32>)> {
        let input = upload(&self.context, input)?;
        let mode = Mode::TRAINING.update_running(false);
        let statistics = self.layer.layer().forward(&input, mode)?.saved;
        let statistics = statistics.statistics().to_vec()?;
        let plane = |k: usize| statistics[k * self.weight.len()..][..self.weight.len()].to_vec();
        Ok((plane(0), plane(3)))
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> (&[f32], &[f32]) {
        (&self.weight, &self.bias)
    }

    /// The gradient of the input; weight and bias take a step of SGD.
    pub(crate) fn backward(
        &mut self,
        saved: &Saved,
        grad_output: &Array2<f32>,
        learning_rate: f32,
    ) -> Result<Array2<f32>> {
        let grad_output = upload(&self.context, grad_output)?;
        let gradients = self.layer.backward(saved, &grad_output)?;
        let layer = self.layer.layer();
        let (weight, bias) = (layer.weight(), layer.bias());
        descend(
            &mut self.weight,
            weight,
            gradients.grad_weight,
            learning_rate,
        )?;
        descend(&mut self.bias, bias, gradients.grad_bias, learning_rate)?;
        download(&gradients.grad_input)
    }
}

/// A step of SGD on the CPU's copy of a parameter, then on the layer's. A layer built without the parameter has neither.
fn descend(
    values: &mut [f32],
    parameter: Option<&Tensor>,
    gradient: Option<Tensor>,
    learning_rate: f32,
) -> Result<()> {
    if let (Some(parameter), Some(gradient)) = (parameter, gradient) {
        let mut gradient = gradient.to_vec()?;
        ranks::add_up(gradient.iter_mut());
        for (value, slope) in values.iter_mut().zip(gradient) {
            *value -= learning_rate * slope;
        }
        parameter.write(values)?;
    }
    Ok(())
}

pub(crate) fn upload(context: &Context, rows: &Array2<f32>) -> Result<Tensor> {
    let values: Vec<f32> = rows.iter().copied().collect();
    Ok(Tensor::from_slice(context, &values, rows.shape())?)
}

fn download(tensor: &Tensor) -> Result<Array2<f32>> {
    let (rows, columns) = (tensor.shape()[0], tensor.shape()[1]);
    Ok(Array2::from_shape_vec((rows, columns), tensor.to_vec()?)?)
}
