//! Layer and RMS norm: a group is a row.

use rayon::prelude::*;

use super::sums::{squares, sum, weighted_products};
use super::{Algorithm, Data, Moments};

pub(super) struct Rows {
    pub(super) columns: usize,
    /// Layer norm; RMS norm has neither mean nor bias.
    pub(super) centered: bool,
}

impl Rows {
    fn moments(&self, x: &[f32]) -> Moments {
        let count = self.columns as f32;
        let mean = if self.centered { sum(x) / count } else { 0.0 };
        let var = squares(x, mean) / count;
        Moments { mean, var }
    }

    /// The input gradients of some rows, and the sums of these rows for the weight's and the bias's.
    fn gradients(&self, rows: Block<'_>, weight: &[f32], eps: f32) -> [Vec<f32>; 2] {
        let [mut grad_weight, mut grad_bias] = [vec![0.0; self.columns], vec![0.0; self.columns]];
        let inputs = rows
            .input
            .chunks(self.columns)
            .zip(rows.grad_output.chunks(self.columns));
        let outputs = rows.grad_input.chunks_mut(self.columns).zip(rows.moments);
        for ((x, gradient), (result, moments)) in inputs.zip(outputs) {
            let (mean, rstd) = (moments.mean, moments.rstd(eps));
            let [sum, dot] = weighted_products(gradient, weight, x, mean);
            let through_mean = if self.centered {
                sum / self.columns as f32
            } else {
                0.0
            };
            let through_var = dot * rstd * rstd / self.columns as f32;
            for (i, result) in result.iter_mut().enumerate() {
                let centered = x[i] - mean;
                *result = rstd * (gradient[i] * weight[i] - through_mean - centered * through_var);
            }
            for ((sum, x), gradient) in grad_weight.iter_mut().zip(x).zip(gradient) {
                *sum += gradient * (x - mean) * rstd;
            }
            if self.centered {
                for (sum, gradient) in grad_bias.iter_mut().zip(gradient) {
                    *sum += gradient;
                }
            }
        }
        [grad_weight, grad_bias]
    }
}

/// Neighbouring rows.
struct Block<'a> {
    input: &'a [f32],
    grad_output: &'a [f32],
    grad_input: &'a mut [f32],
    moments: &'a [Moments],
}

impl Algorithm for Rows {
    fn forward(&self, data: &mut Data<'_>) {
        let (weight, bias, eps) = (data.weight, data.bias, data.eps);
        let outputs = data.output.par_chunks_mut(self.columns);
        let rows = outputs.zip(data.input.par_chunks(self.columns));
        let moments = rows.map(|(output, x)| {
            let moments = self.moments(x);
            let (mean, rstd) = (moments.mean, moments.rstd(eps));
            let columns = output.iter_mut().zip(x).zip(weight);
            if self.centered {
                for (((output, x), weight), bias) in columns.zip(bias) {
                    *output = (x - mean) * rstd * weight + bias;
                }
            } else {
                for ((output, x), weight) in columns {
                    *output = x * rstd * weight;
                }
            }
            moments
        });
        moments.collect_into_vec(&mut data.moments);
    }

    fn eval(&self, data: &mut Data<'_>) {
        self.forward(data);
    }

    fn backward(&self, data: &mut Data<'_>) {
        let (weight, eps) = (data.weight, data.eps);
        let rows = data.moments.len().div_ceil(rayon::current_num_threads());
        let block = rows * self.columns;
        let inputs = data
            .input
            .par_chunks(block)
            .zip(data.grad_output.par_chunks(block));
        let outputs = data
            .grad_input
            .par_chunks_mut(block)
            .zip(data.moments.par_chunks(rows));
        let sums = inputs
            .zip(outputs)
            .map(|((input, grad_output), (grad_input, moments))| {
                let block = Block {
                    input,
                    grad_output,
                    grad_input,
                    moments,
                };
                self.gradients(block, weight, eps)
            });
        let sums: Vec<_> = sums.collect();
        data.grad_weight.fill(0.0);
        data.grad_bias.fill(0.0);
        for [grad_weight, grad_bias] in &sums {
            add(&mut data.grad_weight, grad_weight);
            add(&mut data.grad_bias, grad_bias);
        }
    }
}

fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}
