use std::collections::BTreeMap;

use super::case::Case;
use super::device::results;
use super::report::{Report, Row};
use crate::context::Context;
use crate::error::Result;
use crate::reference;

/// Runs `case` on the GPU and in f64 and compares all results.
///
/// # Errors
/// Those of [`results`]. A wrong result is not an error but a row of the report.
pub fn run(context: &Context, case: &Case) -> Result<Report> {
    let got = results(context, case)?;
    let want = Expected::new(case)?;
    let strategy = case.strategy.map_or("ladder", |strategy| strategy.name());
    let mode = if case.mode.batch_statistics {
        "training"
    } else {
        "eval"
    };
    let name = format!("{} {:?} {mode} {strategy}", case.norm.name(), case.shape);
    let rows = want.tensors.iter().map(|(&tensor, values)| {
        let got = got.get(tensor).map_or(&[][..], Vec::as_slice);
        let scale = match tensor {
            "grad_input" => want.grad_input_scale,
            "grad_weight" => want.grad_weight_scale,
            "grad_bias" => want.grad_output_norm,
            _ => 0.0,
        };
        Row::new(name.clone(), tensor, got, values, scale)
    });
    Ok(Report {
        rows: rows.collect(),
    })
}

/// The results in f64.
struct Expected {
    tensors: BTreeMap<&'static str, Vec<f64>>,
    /// About ‖rstd · weight · `grad_output`‖: what the input gradient is a difference of.
    grad_input_scale: f64,
    /// ‖`grad_output`‖: the size of a sum of its terms whose signs are random.
    grad_output_norm: f64,
    /// The same for its terms times x̂.
    grad_weight_scale: f64,
}

impl Expected {
    fn new(case: &Case) -> Result<Self> {
        let (norm, mode, shape) = (&case.norm, case.mode, case.shape.as_slice());
        let optional = |values: &Option<Vec<f32>>| values.as_deref().map(wide);
        let parameters = reference::Parameters {
            weight: optional(&case.weight),
            bias: optional(&case.bias),
            running_mean: optional(&case.running_mean),
            running_var: optional(&case.running_var),
            num_batches_tracked: case.num_batches_tracked.into(),
        };
        let (input, grad_output) = (wide(&case.input), wide(&case.grad_output));
        let forward = reference::forward(norm, mode, shape, &input, &parameters)?;
        let backward = reference::backward(norm, mode, shape, &input, &parameters, &grad_output)?;
        let eps = norm.eps();
        let rstd = |var: &f64| {
            if var + eps == 0.0 {
                0.0
            } else {
                (var + eps).sqrt().recip()
            }
        };
        let rstd: Vec<f64> = forward.var.iter().map(rstd).collect();
        let grad_output_norm = length(&grad_output);
        let grad_weight_scale = if norm.uses_batch_statistics(mode) {
            // The mean square of x̂ is 1.
            grad_output_norm
        } else {
            let plain = reference::Parameters {
                weight: parameters.weight.as_ref().map(|w| vec![1.0; w.len()]),
                bias: parameters.bias.as_ref().map(|b| vec![0.0; b.len()]),
                ..parameters.clone()
            };
            let x_hat = reference::forward(norm, mode, shape, &input, &plain)?.output;
            let terms = x_hat.iter().zip(&grad_output).map(|(x, g)| x * g);
            length(&terms.collect::<Vec<f64>>())
        };
        let weight = parameters.weight.as_deref().map_or(1.0, mean_square);
        let squares = mean_square(&rstd) * weight * mean_square(&grad_output);
        let batches = forward.running_mean.as_ref();
        let batches = batches.map(|_| vec![forward.num_batches_tracked as f64]);
        // Nothing is computed for an input without elements.
        let statistics = |values| (!input.is_empty()).then_some(values);
        let tensors = [
            ("mean", statistics(forward.mean)),
            ("rstd", statistics(rstd)),
            ("var", statistics(forward.var)),
            ("output", Some(forward.output)),
            ("running_mean", forward.running_mean),
            ("running_var", forward.running_var),
            ("num_batches_tracked", batches),
            ("grad_input", Some(backward.grad_input)),
            ("grad_weight", backward.grad_weight),
            ("grad_bias", backward.grad_bias),
        ];
        Ok(Self {
            tensors: tensors
                .into_iter()
                .filter_map(|(name, values)| Some((name, values?)))
                .collect(),
            grad_input_scale: (squares * input.len() as f64).sqrt(),
            grad_output_norm,
            grad_weight_scale,
        })
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn length(values: &[f64]) -> f64 {
    (mean_square(values) * values.len() as f64).sqrt()
}

fn mean_square(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|value| value * value).sum();
    if values.is_empty() {
        0.0
    } else {
        sum / values.len() as f64
    }
}
