//! What a good Rust programmer would write for a CPU: f32, two passes over each group while it is in cache, sums in
//! vectors of accumulators, all cores by rayon, outputs allocated once.

mod columns;
mod rows;
mod runs;
mod sums;

use wgpu_norm::check::{Case, Report, Row};
use wgpu_norm::reference::{self, Parameters};
use wgpu_norm::{Norm, Result};

use super::cases::Pass;
use crate::TOLERANCE;
use columns::Columns;
use rows::Rows;
use runs::Runs;

/// The passes, for one arrangement of groups in memory.
trait Algorithm {
    fn forward(&self, data: &mut Data<'_>);
    fn backward(&self, data: &mut Data<'_>);
    fn eval(&self, data: &mut Data<'_>);
}

/// What the passes read and write.
struct Data<'a> {
    input: &'a [f32],
    grad_output: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    output: Vec<f32>,
    moments: Vec<Moments>,
    running: Vec<Moments>,
    grad_input: Vec<f32>,
    grad_weight: Vec<f32>,
    grad_bias: Vec<f32>,
}

/// Of one group; the variance is biased in `Data::moments`, unbiased in `Data::running`.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    mean: f32,
    var: f32,
}

impl Moments {
    fn rstd(self, eps: f32) -> f32 {
        1.0 / (self.var + eps).sqrt()
    }
}

/// A norm on one shape.
pub(crate) struct Cpu<'a> {
    case: &'a Case,
    algorithm: Box<dyn Algorithm>,
    data: Data<'a>,
}

impl<'a> Cpu<'a> {
    /// Runs the passes once and compares them with the reference.
    pub(crate) fn verified(case: &'a Case) -> Result<Self> {
        let mut cpu = Self {
            case,
            algorithm: algorithm(case),
            data: data(case),
        };
        let report = cpu.check()?;
        assert!(report.worst() < TOLERANCE, "{report}");
        Ok(cpu)
    }

    pub(crate) fn run(&mut self, pass: Pass) {
        match pass {
            Pass::Forward => {
                self.algorithm.forward(&mut self.data);
                self.update_running();
            }
            Pass::Backward => self.algorithm.backward(&mut self.data),
            Pass::Eval => self.algorithm.eval(&mut self.data),
        }
    }

    fn update_running(&mut self) {
        let count = (self.data.input.len() / self.data.moments.len()) as f32;
        let unbiased = count / (count - 1.0);
        let momentum = self.case.norm.running_momentum().flatten();
        let factor = momentum.unwrap_or_default() as f32;
        for (running, batch) in self.data.running.iter_mut().zip(&self.data.moments) {
            running.mean += factor * (batch.mean - running.mean);
            running.var += factor * (batch.var * unbiased - running.var);
        }
    }

    fn check(&mut self) -> Result<Report> {
        let case = self.case;
        let (norm, mode, shape) = (&case.norm, case.mode, case.shape.as_slice());
        let (parameters, input, gradient) =
            (parameters(case), wide(&case.input), wide(&case.grad_output));
        let forward = reference::forward(norm, mode, shape, &input, &parameters)?;
        let row =
            |name, got: &[f32], want: &[f64]| Row::new(norm.name().into(), name, got, want, 0.0);
        if !mode.batch_statistics {
            self.run(Pass::Eval);
            let rows = vec![row("output", &self.data.output, &forward.output)];
            return Ok(Report { rows });
        }
        self.run(Pass::Forward);
        self.run(Pass::Backward);
        let data = &self.data;
        let want = reference::backward(norm, mode, shape, &input, &parameters, &gradient)?;
        let running_var: Vec<f32> = data.running.iter().map(|running| running.var).collect();
        let tensors = [
            ("output", &data.output, Some(forward.output)),
            ("running_var", &running_var, forward.running_var),
            ("grad_input", &data.grad_input, Some(want.grad_input)),
            ("grad_weight", &data.grad_weight, want.grad_weight),
            ("grad_bias", &data.grad_bias, want.grad_bias),
        ];
        let compared = tensors
            .into_iter()
            .filter_map(|(name, got, want)| Some(row(name, got, &want?)));
        Ok(Report {
            rows: compared.collect(),
        })
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn parameters(case: &Case) -> Parameters {
    Parameters {
        weight: case.weight.as_deref().map(wide),
        bias: case.bias.as_deref().map(wide),
        running_mean: case.running_mean.as_deref().map(wide),
        running_var: case.running_var.as_deref().map(wide),
        num_batches_tracked: case.num_batches_tracked.into(),
    }
}

fn data(case: &Case) -> Data<'_> {
    let values = |values: &'_ Option<Vec<f32>>| values.clone().unwrap_or_default();
    let (means, vars) = (values(&case.running_mean), values(&case.running_var));
    let moments = means.into_iter().zip(vars);
    let parameters = case.norm.parameter_shape().iter().product();
    Data {
        input: &case.input,
        grad_output: &case.grad_output,
        weight: case.weight.as_deref().unwrap_or_default(),
        bias: case.bias.as_deref().unwrap_or_default(),
        eps: case.norm.eps() as f32,
        output: vec![0.0; case.input.len()],
        moments: Vec::new(),
        running: moments.map(|(mean, var)| Moments { mean, var }).collect(),
        grad_input: vec![0.0; case.input.len()],
        grad_weight: vec![0.0; parameters],
        grad_bias: vec![0.0; parameters],
    }
}

/// Norms as they are measured here: all with weight, and with bias but for RMS norm.
fn algorithm(case: &Case) -> Box<dyn Algorithm> {
    let shape = &case.shape;
    let runs = |groups, samples_together| {
        Box::new(Runs {
            length: shape[2..].iter().product(),
            channels: shape[1],
            groups,
            samples_together,
        })
    };
    match &case.norm {
        Norm::Batch(_) if shape.len() == 2 => Box::new(Columns { columns: shape[1] }),
        Norm::Batch(_) => runs(shape[1], true),
        Norm::Group(norm) => runs(norm.num_groups, false),
        Norm::Rms(_) => Box::new(Rows {
            columns: shape[1],
            centered: false,
        }),
        Norm::Layer(_) => Box::new(Rows {
            columns: shape[1],
            centered: true,
        }),
        _ => runs(shape[1], false),
    }
}
