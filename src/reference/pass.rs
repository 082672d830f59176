use super::normalized::Normalized;
use super::padding::Kept;
use super::statistics::{groups, places};
use super::{Block, Parameters, Tensors};
use crate::error::Result;
use crate::ops::Mode;

/// The input of the norm, without padding, and what became of it.
pub(super) struct Pass {
    pub(super) kept: Kept,
    /// With the residual, where that is added before the norm.
    pub(super) input: Vec<f64>,
    pub(super) normalized: Normalized,
}

impl Pass {
    pub(super) fn new(block: &Block, mode: Mode, tensors: &Tensors<'_>) -> Result<Self> {
        let norm = &block.norm;
        let sizes = block.sizes(tensors.shape, mode)?;
        let parameters = tensors.parameters;
        parameters.validate(norm, &norm.affine_shape(tensors.shape))?;
        tensors.validate()?;

        let kept = Kept::new(tensors.input.len(), tensors.valid);
        let mut input = kept.take(tensors.input);
        if let Some(residual) = block.residual_before(tensors) {
            for (sum, more) in input.iter_mut().zip(kept.take(residual)) {
                *sum += more;
            }
        }
        let by_running = !norm.uses_batch_statistics(mode);
        let running = parameters.running().filter(|_| by_running);
        let places = kept.take(&places(norm, sizes, running.is_some(), norm.per_sample()));
        let groups = groups(norm, sizes)?;
        let normalized = Normalized::new(norm, running, groups, places, &input);
        Ok(Self {
            kept,
            input,
            normalized,
        })
    }

    /// `x̂ * weight + bias`, plus the residual where that is added after the norm.
    pub(super) fn before_activation(&self, block: &Block, tensors: &Tensors<'_>) -> Vec<f64> {
        let affine =
            (self.normalized.places.iter().zip(&self.normalized.values)).map(|(place, value)| {
                let weight = block.weight_at(tensors.parameters, place.parameter);
                value * weight + tensors.parameters.bias_at(place.parameter)
            });
        match tensors.residual {
            Some(residual) if block.residual_before(tensors).is_none() => affine
                .zip(self.kept.take(residual))
                .map(|(y, residual)| y + residual)
                .collect(),
            _ => affine.collect(),
        }
    }

    pub(super) fn times_weight(
        &self,
        block: &Block,
        tensors: &Tensors<'_>,
        values: &[f64],
    ) -> Vec<f64> {
        (self.normalized.places.iter().zip(values))
            .map(|(place, value)| value * block.weight_at(tensors.parameters, place.parameter))
            .collect()
    }

    pub(super) fn grad_parameters(
        &self,
        parameters: &Parameters,
        grad: &[f64],
    ) -> (Option<Vec<f64>>, Option<Vec<f64>>) {
        let weight = parameters.weight.as_ref().map(|weight| {
            let terms = grad
                .iter()
                .zip(&self.normalized.values)
                .map(|(grad, value)| grad * value);
            self.sums(weight.len(), terms)
        });
        let bias = parameters.bias.as_ref();
        (
            weight,
            bias.map(|bias| self.sums(bias.len(), grad.iter().copied())),
        )
    }

    /// The sums of one term per element over those that share a weight.
    pub(super) fn sums(&self, parameters: usize, terms: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut sums = vec![0.0; parameters];
        for (place, term) in self.normalized.places.iter().zip(terms) {
            sums[place.parameter] += term;
        }
        sums
    }
}
