//! Batch, instance and group norm: groups of runs, a run being the neighbouring elements of one sample and channel.

use rayon::prelude::*;

use super::sums::{products, squares, sum};
use super::{Algorithm, Data, Moments};

/// Elements that are worth a task of their own.
const TASK: usize = 65_536;

pub(super) struct Runs {
    /// Elements of a run.
    pub(super) length: usize,
    pub(super) channels: usize,
    /// Groups of neighbouring channels.
    pub(super) groups: usize,
    /// Whether a group spans all samples.
    pub(super) samples_together: bool,
}

/// A run of a tensor that is written.
struct Run<'a> {
    index: usize,
    values: &'a mut [f32],
}

impl Runs {
    fn group_of(&self, run: usize) -> usize {
        let of_sample = run % self.channels / (self.channels / self.groups);
        match self.samples_together {
            true => of_sample,
            false => run / self.channels * self.groups + of_sample,
        }
    }

    /// The runs of each group of `tensor`.
    fn grouped<'a>(&self, tensor: &'a mut [f32]) -> Vec<Vec<Run<'a>>> {
        let samples = tensor.len() / (self.channels * self.length);
        let (groups, runs) = match self.samples_together {
            true => (self.groups, samples * self.channels / self.groups),
            false => (samples * self.groups, self.channels / self.groups),
        };
        let mut grouped: Vec<_> = (0..groups).map(|_| Vec::with_capacity(runs)).collect();
        for (index, values) in tensor.chunks_mut(self.length).enumerate() {
            grouped[self.group_of(index)].push(Run { index, values });
        }
        grouped
    }

    fn of<'a>(&self, tensor: &'a [f32], run: &Run<'_>) -> &'a [f32] {
        &tensor[run.index * self.length..][..self.length]
    }

    /// Runs per task: large groups are split, so that three channels keep more than three cores busy.
    fn per_task(&self) -> usize {
        TASK.div_ceil(self.length)
    }

    fn normalize(
        &self,
        run: &mut Run<'_>,
        data: (&[f32], &[f32], &[f32]),
        moments: Moments,
        rstd: f32,
    ) {
        let (input, weight, bias) = data;
        let channel = run.index % self.channels;
        let scale = rstd * weight[channel];
        let shift = bias[channel] - moments.mean * scale;
        let input = self.of(input, run);
        for (output, x) in run.values.iter_mut().zip(input) {
            *output = x * scale + shift;
        }
    }
}

impl Algorithm for Runs {
    fn forward(&self, data: &mut Data<'_>) {
        let (input, eps, tensors) = (data.input, data.eps, (data.input, data.weight, data.bias));
        let groups = self.grouped(&mut data.output).into_par_iter();
        let moments = groups.map(|mut runs| {
            let count = (runs.len() * self.length) as f32;
            let each = || runs.par_iter().with_min_len(self.per_task());
            let mean = each().map(|run| sum(self.of(input, run))).sum::<f32>() / count;
            let square = each().map(|run| squares(self.of(input, run), mean));
            let var = square.sum::<f32>() / count;
            let moments = Moments { mean, var };
            let outputs = runs.par_iter_mut().with_min_len(self.per_task());
            outputs.for_each(|run| self.normalize(run, tensors, moments, moments.rstd(eps)));
            moments
        });
        data.moments = moments.collect();
    }

    fn eval(&self, data: &mut Data<'_>) {
        let (running, eps, tensors) = (
            &data.running,
            data.eps,
            (data.input, data.weight, data.bias),
        );
        let runs = data.output.par_chunks_mut(self.length).enumerate();
        runs.for_each(|(index, values)| {
            let moments = running[index % self.channels];
            self.normalize(
                &mut Run { index, values },
                tensors,
                moments,
                moments.rstd(eps),
            );
        });
    }

    fn backward(&self, data: &mut Data<'_>) {
        let (input, grad_output, weight, eps) =
            (data.input, data.grad_output, data.weight, data.eps);
        let groups = self.grouped(&mut data.grad_input).into_par_iter();
        let sums = groups.zip(&data.moments).map(|(mut runs, moments)| {
            let (mean, rstd) = (moments.mean, moments.rstd(eps));
            let count = (runs.len() * self.length) as f32;
            let each = runs.par_iter().with_min_len(self.per_task());
            let sums = each.map(|run| {
                let [sum, dot] = products(self.of(grad_output, run), self.of(input, run), mean);
                (run.index % self.channels, [sum, dot * rstd])
            });
            let sums: Vec<_> = sums.collect();
            let average = |k: usize| {
                let weighted = sums
                    .iter()
                    .map(|(channel, sums)| weight[*channel] * sums[k]);
                weighted.sum::<f32>() / count
            };
            let (through_mean, through_var) = (average(0) * rstd, average(1) * rstd * rstd);
            let gradients = runs.par_iter_mut().with_min_len(self.per_task());
            gradients.for_each(|run| {
                let scale = weight[run.index % self.channels] * rstd;
                let (x, gradient) = (self.of(input, run), self.of(grad_output, run));
                for ((result, x), gradient) in run.values.iter_mut().zip(x).zip(gradient) {
                    *result = gradient * scale - (x - mean) * through_var - through_mean;
                }
            });
            sums
        });
        let sums: Vec<_> = sums.collect();
        data.grad_weight.fill(0.0);
        data.grad_bias.fill(0.0);
        for (channel, [sum, dot]) in sums.into_iter().flatten() {
            data.grad_bias[channel] += sum;
            data.grad_weight[channel] += dot;
        }
    }
}
