//! What a good Rust programmer would write for a CPU: f32, two passes over each group while it is in cache, sums in
//! vectors of accumulators, all cores by rayon, outputs allocated once.

mod columns;
mod rows;
mod runs;
mod sums;

use wgpu_norm::Norm;
use wgpu_norm::check::{Case, Report, Row};
use wgpu_norm::reference::{self, Parameters};

use super::cases::Pass;
use crate::Result;
use columns::Columns;
use rows::Rows;
use runs::Runs;

/// Norm-wise distance to the f64 reference. The worst found: 3.1e-6 in the bias gradient of 65,536 rows, which are added one
/// after the other.
const TOLERANCE: f64 = 1e-5;

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
    /// They take turns.
    sets: Vec<Data<'a>>,
    turn: usize,
}

impl<'a> Cpu<'a> {
    /// Runs the passes on each of the `copies` of one case, and compares those of the first with the reference.
    pub(crate) fn verified(copies: &'a [Case]) -> Result<Self> {
        let case = copies.first().ok_or("there is no case")?;
        let mut cpu = Self {
            case,
            algorithm: algorithm(case),
            sets: copies.iter().map(data).collect(),
            turn: 0,
        };
        let report = cpu.check()?;
        if report.worst() > TOLERANCE {
            return Err(format!("results are wrong:\n{report}").into());
        }
        for _ in &copies[1..] {
            cpu.run_all();
        }
        Ok(cpu)
    }

    /// On the next set.
    pub(crate) fn run(&mut self, pass: Pass) {
        let sets = self.sets.len();
        let data = &mut self.sets[self.turn];
        self.turn = (self.turn + 1) % sets;
        match pass {
            Pass::Forward => {
                self.algorithm.forward(data);
                update_running(&self.case.norm, data);
            }
            Pass::Backward => self.algorithm.backward(data),
            Pass::Eval => self.algorithm.eval(data),
            // Of plain norms alone.
            Pass::DoubleBackward => {}
        }
    }

    /// All passes of the mode on one set, and it is the next one's turn.
    fn run_all(&mut self) -> &Data<'a> {
        let turn = self.turn;
        if self.case.mode.batch_statistics {
            self.run(Pass::Forward);
            self.turn = turn;
            self.run(Pass::Backward);
        } else {
            self.run(Pass::Eval);
        }
        &self.sets[turn]
    }

    fn check(&mut self) -> Result<Report> {
        let case = self.case;
        let (norm, mode, shape) = (&case.norm, case.mode, case.shape.as_slice());
        let (parameters, input, gradient) =
            (parameters(case), wide(&case.input), wide(&case.grad_output));
        let forward = reference::forward(norm, mode, shape, &input, &parameters)?;
        let row =
            |name, got: &[f32], want: &[f64]| Row::new(norm.name().into(), name, got, want, 0.0);
        let data = self.run_all();
        let mut rows = vec![row("output", &data.output, &forward.output)];
        if mode.batch_statistics {
            let want = reference::backward(norm, mode, shape, &input, &parameters, &gradient)?;
            let (means, vars): (Vec<f32>, Vec<f32>) = data
                .running
                .iter()
                .map(|running| (running.mean, running.var))
                .unzip();
            let tensors = [
                ("running_mean", &means, forward.running_mean),
                ("running_var", &vars, forward.running_var),
                ("grad_input", &data.grad_input, Some(want.grad_input)),
                ("grad_weight", &data.grad_weight, want.grad_weight),
                ("grad_bias", &data.grad_bias, want.grad_bias),
            ];
            let tensors = tensors.into_iter();
            rows.extend(tensors.filter_map(|(name, got, want)| Some(row(name, got, &want?))));
        }
        Ok(Report { rows })
    }
}

fn update_running(norm: &Norm, data: &mut Data<'_>) {
    let count = (data.input.len() / data.moments.len()) as f32;
    let unbiased = count / (count - 1.0);
    let factor = norm.running_momentum().flatten().unwrap_or_default() as f32;
    for (running, batch) in data.running.iter_mut().zip(&data.moments) {
        running.mean += factor * (batch.mean - running.mean);
        running.var += factor * (batch.var * unbiased - running.var);
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
