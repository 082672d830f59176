//! The network: dense layers, batch norm if wanted, `ReLU`, softmax cross-entropy and SGD.

use ndarray::{Array1, Array2, ArrayView1, Axis, Zip};
use rand::{Rng, RngExt};
use wgpu_norm::fold::{Layout, ScaleShift};
use wgpu_norm::{Context, Mode};

use super::{
    Result,
    idx::PIXELS,
    norm::NormLayer,
    ranks::{self, Saved},
};

const HIDDEN: [usize; 3] = [256, 128, 64];
const CLASSES: usize = 10;

/// How the weights of the dense layers begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Init {
    /// U(-a, a) with a = sqrt(6 / (inputs + outputs)).
    Glorot,
    /// U(-a, a) with this a.
    Uniform(f32),
}

/// `output = input * weight + bias`, one sample per row.
#[derive(Debug, Clone)]
struct Dense {
    /// `[inputs, outputs]`
    weight: Array2<f32>,
    bias: Option<Array1<f32>>,
}

impl Dense {
    fn new(inputs: usize, outputs: usize, bias: bool, init: Init, rng: &mut impl Rng) -> Self {
        let limit = match init {
            Init::Glorot => (6.0 / (inputs + outputs) as f32).sqrt(),
            Init::Uniform(limit) => limit,
        };
        Self {
            weight: Array2::from_shape_simple_fn((inputs, outputs), || {
                rng.random_range(-limit..limit)
            }),
            bias: bias.then(|| Array1::zeros(outputs)),
        }
    }

    fn forward(&self, input: &Array2<f32>) -> Array2<f32> {
        let mut output = input.dot(&self.weight);
        if let Some(bias) = &self.bias {
            output += bias;
        }
        output
    }

    /// This layer and the batch norm after it as one layer.
    fn folded(&self, norm: &ScaleShift) -> Result<Self> {
        let (inputs, outputs) = self.weight.dim();
        // A copy in the order of the layout, whatever that of the array is.
        let weight: Vec<f32> = self.weight.iter().copied().collect();
        let weight = norm.fold_weight(&weight, &Layout::new(&[inputs, outputs], 1))?;
        let bias = self.bias.as_ref().map(|bias| bias.to_vec());
        Ok(Self {
            weight: Array2::from_shape_vec((inputs, outputs), weight)?,
            bias: Some(norm.fold_bias(bias.as_deref())?.into()),
        })
    }

    fn grad_input(&self, grad_output: &Array2<f32>) -> Array2<f32> {
        grad_output.dot(&self.weight.t())
    }

    fn descend(&mut self, input: &Array2<f32>, grad_output: &Array2<f32>, learning_rate: f32) {
        let mut grad_weight = input.t().dot(grad_output);
        ranks::add_up(grad_weight.iter_mut());
        self.weight.scaled_add(-learning_rate, &grad_weight);
        if let Some(bias) = &mut self.bias {
            let mut grad_bias = grad_output.sum_axis(Axis(0));
            ranks::add_up(grad_bias.iter_mut());
            bias.scaled_add(-learning_rate, &grad_bias);
        }
    }
}

/// Dense, batch norm if wanted, `ReLU`.
#[derive(Debug)]
struct Hidden {
    dense: Dense,
    norm: Option<NormLayer>,
}

impl Hidden {
    /// `watch` gets the input of `ReLU`.
    fn forward(
        &self,
        input: &Array2<f32>,
        mode: Mode,
        watch: impl FnOnce(&Array2<f32>) -> Result<()>,
    ) -> Result<(Array2<f32>, Option<Saved>)> {
        let mut output = self.dense.forward(input);
        let mut saved = None;
        if let Some(norm) = &self.norm {
            let (normalized, for_backward) = norm.forward(&output, mode)?;
            output = normalized;
            saved = Some(for_backward);
        }
        watch(&output)?;
        // Not `max`, which would turn the NaN of a diverged run into 0.
        output.mapv_inplace(|value| if value < 0.0 { 0.0 } else { value });
        Ok((output, saved))
    }
}

/// What is seen of a hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The input of `ReLU`.
    Input,
    /// The gradient of the loss with respect to it.
    Gradient,
}

fn unwatched(_: &Array2<f32>) -> Result<()> {
    Ok(())
}

/// 784-256-128-64-10.
#[derive(Debug)]
pub(crate) struct Mlp {
    hidden: Vec<Hidden>,
    output: Dense,
}

impl Mlp {
    /// With batch norm if there is a context to run it in.
    pub(crate) fn new(
        batch_norm: Option<&Context>,
        init: Init,
        rng: &mut impl Rng,
    ) -> Result<Self> {
        let mut inputs = PIXELS;
        let mut hidden = Vec::new();
        for outputs in HIDDEN {
            hidden.push(Hidden {
                // Batch norm subtracts the mean, and with it any bias of the dense layer.
                dense: Dense::new(inputs, outputs, batch_norm.is_none(), init, rng),
                norm: batch_norm
                    .map(|context| NormLayer::new(context, outputs))
                    .transpose()?,
            });
            inputs = outputs;
        }
        let output = Dense::new(inputs, CLASSES, true, init, rng);
        Ok(Self { hidden, output })
    }

    /// The same network for test time, without batch norm: it stands right after a dense layer, before `ReLU`,
    /// and is folded into that layer's weight and bias.
    pub(crate) fn folded(&self) -> Result<Self> {
        let fold = |layer: &Hidden| {
            let Hidden { dense, norm } = layer;
            let dense = match norm {
                Some(norm) => dense.folded(&norm.scale_shift()?)?,
                None => dense.clone(),
            };
            Ok(Hidden { dense, norm: None })
        };
        Ok(Self {
            hidden: self.hidden.iter().map(fold).collect::<Result<_>>()?,
            output: self.output.clone(),
        })
    }

    /// The logits of every image, `[N, 10]`; batch norm uses its running statistics.
    pub(crate) fn logits(&self, images: Array2<f32>) -> Result<Array2<f32>> {
        let mut values = images;
        for layer in &self.hidden {
            (values, _) = layer.forward(&values, Mode::EVAL, unwatched)?;
        }
        Ok(self.output.forward(&values))
    }

    /// The most likely class of every image.
    pub(crate) fn predict(&self, images: Array2<f32>) -> Result<Vec<u8>> {
        let logits = self.logits(images)?;
        let largest = |row: ArrayView1<'_, f32>| {
            (1..CLASSES).fold(0, |best, i| if row[i] > row[best] { i } else { best })
        };
        Ok(logits.outer_iter().map(|row| largest(row) as u8).collect())
    }

    /// The statistics of a batch before the last batch norm, one number per unit: means and biased variances.
    pub(crate) fn batch_statistics(
        &self,
        images: Array2<f32>,
    ) -> Result<Option<(Vec<f32>, Vec<f32>)>> {
        let Some((last, before)) = self.hidden.split_last() else {
            return Ok(None);
        };
        let mut values = images;
        for layer in before {
            (values, _) = layer.forward(&values, Mode::EVAL, unwatched)?;
        }
        let values = last.dense.forward(&values);
        let norm = last.norm.as_ref();
        norm.map(|norm| norm.batch_statistics(&values)).transpose()
    }

    /// Weight and bias of every batch norm.
    pub(crate) fn norm_parameters(&self) -> Vec<(&[f32], &[f32])> {
        let norms = self.hidden.iter().filter_map(|layer| layer.norm.as_ref());
        norms.map(NormLayer::parameters).collect()
    }

    /// One step of SGD; the loss before it.
    pub(crate) fn step(
        &mut self,
        images: Array2<f32>,
        labels: &[u8],
        learning_rate: f32,
    ) -> Result<f32> {
        self.step_watched(images, labels, learning_rate, &mut |_, _| Ok(()))
    }

    /// [`Mlp::step`]; `watch` gets the inputs of every `ReLU`, then their gradients, the last layer's first.
    pub(crate) fn step_watched(
        &mut self,
        images: Array2<f32>,
        labels: &[u8],
        learning_rate: f32,
        watch: &mut impl FnMut(Watched, &Array2<f32>) -> Result<()>,
    ) -> Result<f32> {
        // values[i] is the input of layer i.
        let mut values = vec![images];
        let mut saved = Vec::new();
        for (i, layer) in self.hidden.iter().enumerate() {
            let watched = |input: &_| watch(Watched::Input, input);
            let (output, for_backward) = layer.forward(&values[i], Mode::TRAINING, watched)?;
            values.push(output);
            saved.push(for_backward);
        }
        let last = &values[self.hidden.len()];
        let logits = self.output.forward(last);
        let (loss, grad_logits) = softmax_cross_entropy(logits, labels);

        let mut grad = self.output.grad_input(&grad_logits);
        self.output.descend(last, &grad_logits, learning_rate);
        for (i, layer) in self.hidden.iter_mut().enumerate().rev() {
            Zip::from(&mut grad)
                .and(&values[i + 1])
                .for_each(|grad, &output| {
                    if output <= 0.0 {
                        *grad = 0.0;
                    }
                });
            watch(Watched::Gradient, &grad)?;
            if let (Some(norm), Some(saved)) = (&mut layer.norm, &saved[i]) {
                grad = norm.backward(saved, &grad, learning_rate)?;
            }
            // Nobody asks for the gradient of the images, which would take a third of the time.
            let grad_input = (i > 0).then(|| layer.dense.grad_input(&grad));
            layer.dense.descend(&values[i], &grad, learning_rate);
            grad = grad_input.unwrap_or_default();
        }
        Ok(loss)
    }
}

/// The mean loss of a batch, and its gradient with respect to the logits of this process's share of it.
fn softmax_cross_entropy(mut logits: Array2<f32>, labels: &[u8]) -> (f32, Array2<f32>) {
    let mut count = labels.len() as f32;
    ranks::add_up([&mut count].into_iter());
    let mut loss = 0.0;
    for (mut row, &label) in logits.outer_iter_mut().zip(labels) {
        let label = usize::from(label);
        let max = row.fold(f32::NEG_INFINITY, |max, &logit| max.max(logit));
        row -= max;
        let log_sum = row.fold(0.0, |sum, &logit| sum + logit.exp()).ln();
        loss += (log_sum - row[label]) / count;
        row.mapv_inplace(|logit| (logit - log_sum).exp() / count);
        row[label] -= 1.0 / count;
    }
    ranks::add_up([&mut loss].into_iter());
    (loss, logits)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    /// The gradient that `step` follows, against a difference quotient of the loss that it reports.
    #[test]
    fn a_step_follows_the_gradient() {
        let mut rng = StdRng::seed_from_u64(1);
        let labels = [3, 1, 4, 1, 5, 9, 2, 6];
        let shape = (labels.len(), PIXELS);
        let images = Array2::from_shape_simple_fn(shape, || rng.random_range(0.0..1.0));
        let model = || Mlp::new(None, Init::Glorot, &mut StdRng::seed_from_u64(2)).unwrap();
        // At learning rate 0, `step` only measures.
        let loss = |layer: usize, nudge: f32| {
            let mut model = model();
            model.hidden[layer].dense.weight[[5, 7]] += nudge;
            f64::from(model.step(images.clone(), &labels, 0.0).unwrap())
        };
        let mut stepped = model();
        stepped.step(images.clone(), &labels, 1.0).unwrap();
        for (layer, (before, after)) in model().hidden.iter().zip(&stepped.hidden).enumerate() {
            let weight = |hidden: &Hidden| f64::from(hidden.dense.weight[[5, 7]]);
            let gradient = weight(before) - weight(after);
            // Wide enough for f32, narrow enough to stay clear of most kinks of `ReLU`.
            let quotient = (loss(layer, 2e-3) - loss(layer, -2e-3)) / 4e-3;
            assert!(
                (gradient - quotient).abs() < 2e-4 + 0.02 * quotient.abs(),
                "layer {layer}: {gradient} instead of {quotient}"
            );
        }
    }
}
