//! Batch norm of `[N, C]`: a group is a column. Each core takes neighbouring columns and walks along the rows.

use rayon::prelude::*;

use super::{Algorithm, Data, Moments};

pub(super) struct Columns {
    pub(super) columns: usize,
}

/// Input and two more that a pass reads.
type Tensors<'a> = (&'a [f32], &'a [f32], &'a [f32]);

/// Neighbouring columns of a tensor that is written.
struct Block<'a> {
    first: usize,
    rows: Vec<&'a mut [f32]>,
}

impl Block<'_> {
    /// These columns of another tensor's row, or of a parameter's only one.
    fn of<'a, T>(&self, tensor: &'a [T], row: usize, columns: usize) -> &'a [T] {
        &tensor[row * columns + self.first..][..self.rows[0].len()]
    }
}

impl Columns {
    fn blocks<'a>(&self, tensor: &'a mut [f32]) -> Vec<Block<'a>> {
        let width = self.columns.div_ceil(rayon::current_num_threads());
        let firsts = (0..self.columns).step_by(width);
        let mut blocks: Vec<Block<'_>> = firsts
            .map(|first| Block {
                first,
                rows: Vec::new(),
            })
            .collect();
        for row in tensor.chunks_mut(self.columns) {
            for (block, piece) in blocks.iter_mut().zip(row.chunks_mut(width)) {
                block.rows.push(piece);
            }
        }
        blocks
    }

    fn moments(&self, block: &Block<'_>, input: &[f32]) -> Vec<Moments> {
        let count = block.rows.len() as f32;
        let mut moments = vec![Moments::default(); block.rows[0].len()];
        for row in 0..block.rows.len() {
            for (moments, x) in moments.iter_mut().zip(block.of(input, row, self.columns)) {
                moments.mean += x / count;
            }
        }
        for row in 0..block.rows.len() {
            for (moments, x) in moments.iter_mut().zip(block.of(input, row, self.columns)) {
                moments.var += (x - moments.mean) * (x - moments.mean) / count;
            }
        }
        moments
    }

    fn normalize(&self, block: &mut Block<'_>, data: Tensors<'_>, moments: &[Moments], eps: f32) {
        let (input, weight, bias) = data;
        let (weight, bias) = (block.of(weight, 0, 0), block.of(bias, 0, 0));
        let scale: Vec<f32> = moments
            .iter()
            .zip(weight)
            .map(|(moments, weight)| moments.rstd(eps) * weight)
            .collect();
        let shift: Vec<f32> = (0..scale.len())
            .map(|i| bias[i] - moments[i].mean * scale[i])
            .collect();
        for row in 0..block.rows.len() {
            let x = block.of(input, row, self.columns);
            let affine = scale.iter().zip(&shift);
            for ((output, x), (scale, shift)) in block.rows[row].iter_mut().zip(x).zip(affine) {
                *output = x * scale + shift;
            }
        }
    }

    /// Of each column: the gradients, and their products with x̂.
    fn sums(
        &self,
        block: &Block<'_>,
        data: Tensors<'_>,
        mean: &[f32],
        rstd: &[f32],
    ) -> [Vec<f32>; 2] {
        let (input, grad_output, _) = data;
        let width = mean.len();
        let [mut sums, mut dots] = [vec![0.0; width], vec![0.0; width]];
        for row in 0..block.rows.len() {
            let x = block.of(input, row, self.columns);
            let gradient = block.of(grad_output, row, self.columns);
            for i in 0..width {
                sums[i] += gradient[i];
                dots[i] += gradient[i] * (x[i] - mean[i]) * rstd[i];
            }
        }
        [sums, dots]
    }

    /// Writes the input gradients and returns the sums.
    fn gradients(
        &self,
        block: &mut Block<'_>,
        data: Tensors<'_>,
        moments: &[Moments],
        eps: f32,
    ) -> [Vec<f32>; 2] {
        let (input, grad_output, weight) = data;
        let rows = block.rows.len();
        let moments = block.of(moments, 0, 0).iter();
        let (mean, rstd): (Vec<f32>, Vec<f32>) = moments
            .map(|moments| (moments.mean, moments.rstd(eps)))
            .unzip();
        let [sums, dots] = self.sums(block, data, &mean, &rstd);
        let weight = block.of(weight, 0, 0);
        let scale: Vec<f32> = rstd
            .iter()
            .zip(weight)
            .map(|(rstd, weight)| rstd * weight)
            .collect();
        let through_var: Vec<f32> = dots
            .iter()
            .zip(&rstd)
            .map(|(dot, rstd)| dot * rstd / rows as f32)
            .collect();
        let through_mean: Vec<f32> = sums.iter().map(|sum| sum / rows as f32).collect();
        for row in 0..rows {
            let x = block.of(input, row, self.columns);
            let gradient = block.of(grad_output, row, self.columns);
            for (i, result) in block.rows[row].iter_mut().enumerate() {
                *result =
                    scale[i] * (gradient[i] - through_mean[i] - (x[i] - mean[i]) * through_var[i]);
            }
        }
        [sums, dots]
    }
}

impl Algorithm for Columns {
    fn forward(&self, data: &mut Data<'_>) {
        let (eps, tensors) = (data.eps, (data.input, data.weight, data.bias));
        let blocks = self.blocks(&mut data.output).into_par_iter();
        let moments = blocks.map(|mut block| {
            let moments = self.moments(&block, tensors.0);
            self.normalize(&mut block, tensors, &moments, eps);
            moments
        });
        data.moments = moments.collect::<Vec<_>>().concat();
    }

    fn eval(&self, data: &mut Data<'_>) {
        let (running, eps, tensors) = (
            &data.running,
            data.eps,
            (data.input, data.weight, data.bias),
        );
        let blocks = self.blocks(&mut data.output).into_par_iter();
        blocks.for_each(|mut block| {
            let running = block.of(running, 0, 0);
            self.normalize(&mut block, tensors, running, eps);
        });
    }

    fn backward(&self, data: &mut Data<'_>) {
        let (moments, eps, tensors) = (
            &data.moments,
            data.eps,
            (data.input, data.grad_output, data.weight),
        );
        let blocks = self.blocks(&mut data.grad_input).into_par_iter();
        let sums = blocks.map(|mut block| self.gradients(&mut block, tensors, moments, eps));
        let sums: Vec<_> = sums.collect();
        (data.grad_bias, data.grad_weight) = (Vec::new(), Vec::new());
        for [sums, dots] in sums {
            data.grad_bias.extend(sums);
            data.grad_weight.extend(dots);
        }
    }
}
