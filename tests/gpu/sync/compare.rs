//! The results of all ranks against the reference of their whole batch.

use wgpu_norm::check::Row;
use wgpu_norm::reference::{self, Block, Parameters};

use super::ranks::{Batch, Results};

impl Results {
    /// The errors against the reference of the whole batch; all ranks must have the same statistics, bit for bit.
    pub(super) fn compare(&self, batch: &Batch) -> Vec<(&'static str, f64)> {
        let case = &batch.case;
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| x.into()).collect() };
        let optional = |values: &Option<Vec<f32>>| values.as_deref().map(wide);
        let parameters = Parameters {
            weight: optional(&case.weight),
            bias: optional(&case.bias),
            running_mean: optional(&case.running_mean),
            running_var: optional(&case.running_var),
            num_batches_tracked: case.num_batches_tracked.into(),
        };
        let (input, residual) = (wide(&case.input), optional(&case.residual));
        let tensors = reference::Tensors {
            residual: residual.as_deref(),
            ..reference::Tensors::new(&case.shape, &input, &parameters)
        };
        let block = Block::new(&case.norm);
        let forward = block.forward(case.mode, &tensors).unwrap();
        let grad_output = wide(&case.grad_output);
        let backward = block.backward(case.mode, &tensors, &grad_output, None);
        let backward = backward.unwrap();

        // The sizes of what is summed up: over 2 or 3 values a gradient is next to 0.
        let length = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let slope = case.norm.activation().lipschitz();
        let rstd = |var: &f64| (var + batch.norm.eps).sqrt().recip();
        let rstd = forward.var.iter().map(rstd).fold(0.0, f64::max);
        let weight = parameters.weight.as_ref();
        let weight = weight.map_or(1.0, |w| {
            w.iter().fold(0.0, |most: f64, w| most.max(w.abs()))
        });
        let size = slope * length(&grad_output);
        let row = |tensor, got: &[f32], want: &[f64], scale| {
            (
                tensor,
                Row::new(String::new(), tensor, got, want, scale).error,
            )
        };
        let none = Vec::new();
        let or_none = |values: &Option<Vec<f64>>| values.clone().unwrap_or_else(|| none.clone());
        let mut rows = vec![
            row("output", &self.output, &forward.output, 0.0),
            row(
                "grad_input",
                &self.grad_input,
                &backward.grad_input,
                size * rstd * weight,
            ),
            row(
                "grad_residual",
                &self.grad_residual,
                &or_none(&backward.grad_residual),
                size,
            ),
            row(
                "grad_weight",
                &self.grad_weight,
                &or_none(&backward.grad_weight),
                size,
            ),
            row(
                "grad_bias",
                &self.grad_bias,
                &or_none(&backward.grad_bias),
                size,
            ),
        ];
        for statistics in &self.statistics {
            assert_eq!(statistics, &self.statistics[0]);
        }
        for running in &self.running {
            assert_eq!(running, &self.running[0]);
            let (mean, var, counter) = running;
            rows.push(row(
                "running_mean",
                mean,
                &or_none(&forward.running_mean),
                0.0,
            ));
            rows.push(row("running_var", var, &or_none(&forward.running_var), 0.0));
            assert_eq!(u64::from(*counter), forward.num_batches_tracked);
        }
        assert_eq!(self.running.is_empty(), !batch.norm.track_running_stats);
        rows
    }
}
