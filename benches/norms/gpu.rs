//! This crate, with all tensors on the device.

use std::cell::Cell;
use std::iter;
use std::time::{Duration, Instant};

use wgpu_norm::check::{self, Case};
use wgpu_norm::{
    BackwardTensors, Context, DoubleBackwardTensors, ForwardTensors, Layer, State, Tensor, wgpu,
};

use super::cases::{Pass, Problem};
use super::machine::Machine;
use super::set::Set;
use super::shard::Shard;
use super::timer::Timer;
use crate::Result;

/// Norm-wise distance to the f64 reference. The worst found: 3.3e-7 (lavapipe).
const TOLERANCE: f64 = 2e-6;

/// A norm on one shape in one mode.
#[derive(Debug)]
pub(crate) struct Gpu {
    layer: Layer,
    /// The layer's, or those of each sample.
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    /// Written by all sets, which makes each run wait for the one before.
    statistics: Tensor,
    grad_weight: Option<Tensor>,
    grad_bias: Option<Tensor>,
    sets: Vec<Set>,
    turn: Cell<usize>,
}

/// What the first use of a plan costs: forward and, in training, backward pass, recorded, submitted and waited for.
#[derive(Debug, Clone)]
pub(crate) struct FirstUse {
    pub(crate) name: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) shape: String,
    pub(crate) pipelines: usize,
    pub(crate) first: Duration,
    pub(crate) second: Duration,
    pub(crate) warmed_up: Option<WarmedUp>,
}

/// A warm-up, and the first use after it.
#[derive(Debug, Clone)]
pub(crate) struct WarmedUp {
    pub(crate) warm_up: Duration,
    pub(crate) first: Duration,
}

impl Gpu {
    /// Compares all results with the reference, and those of the first and the last set of tensors that are timed with these.
    pub(crate) fn verified(
        machine: &Machine,
        problem: &Problem,
        case: &Case,
        sets: usize,
    ) -> Result<(Self, FirstUse)> {
        let gpu = Self::new(&machine.context, problem, case, sets)?;
        let first_use = gpu.first_use(problem, case)?;
        let context = gpu.layer.context();
        let report = check::run(context, case)?;
        if report.worst() > TOLERANCE {
            return Err(format!("results are wrong:\n{report}").into());
        }
        let want = check::results(context, case)?;
        for set in (0..sets).filter(|set| [0, sets - 1].contains(set)) {
            let tensors = &gpu.sets[set];
            gpu.run_once(case, set)?;
            for (name, tensor) in gpu.results(case, tensors) {
                let (got, want) = (tensor.to_vec()?, want.get(name));
                if want != Some(&got) {
                    return Err(format!("{name} is not the one that was verified").into());
                }
            }
        }
        Ok((gpu, first_use))
    }

    /// In a context of its own, which has no pipelines yet.
    pub(crate) fn new(
        context: &Context,
        problem: &Problem,
        case: &Case,
        sets: usize,
    ) -> Result<Self> {
        let context = &Context::from_wgpu(context.device().clone(), context.queue().clone())?;
        let layer = Layer::new(context, case.norm.clone())?;
        layer.load_state(&state(case))?;
        let like = |parameter: &Option<Tensor>| {
            let shape = parameter.as_ref().map(Tensor::shape);
            shape.map(|shape| poisoned(context, shape)).transpose()
        };
        let affine = case.norm.affine_shape(&case.shape);
        let parameter = |of_layer: Option<&Tensor>, values: &Option<Vec<f32>>| {
            let values = values.as_ref().filter(|_| case.norm.per_sample());
            let own = values.map(|values| Tensor::from_slice(context, values, &affine));
            own.transpose().map(|own| own.or(of_layer.cloned()))
        };
        let weight = parameter(layer.weight(), &case.weight)?;
        let bias = parameter(layer.bias(), &case.bias)?;
        let first = Set::new(context, case)?;
        let others = (1..sets).map(|_| first.again(context, case));
        let others = others.collect::<Result<Vec<Set>>>()?;
        let sets: Vec<Set> = iter::once(first).chain(others).collect();
        let mut gpu = Self {
            statistics: poisoned(context, &sets[0].plan.statistics_shape())?,
            grad_weight: like(&weight)?,
            grad_bias: like(&bias)?,
            weight,
            bias,
            layer,
            sets,
            turn: Cell::default(),
        };
        if problem.sync {
            let shard = |set| {
                let (forward, backward) = (gpu.forward_tensors(set), gpu.backward_tensors(set));
                Shard::new(context, case, &forward, &backward)
            };
            let shards = gpu.sets.iter().map(shard).collect::<Result<Vec<Shard>>>()?;
            for (set, shard) in gpu.sets.iter_mut().zip(shards) {
                set.shard = Some(shard);
            }
        }
        Ok(gpu)
    }

    /// What a run of all passes of the case's mode leaves.
    fn results<'a>(&'a self, case: &Case, set: &'a Set) -> Vec<(&'static str, &'a Tensor)> {
        let mut results = vec![("output", &set.output)];
        if let Some(double) = &set.double {
            results.push(("double_grad_input", &set.grad_input));
            results.push(("grad_grad_output", &double.grad_grad_output));
            let gradient = self.grad_weight.iter();
            results.extend(gradient.map(|gradient| ("double_grad_weight", gradient)));
        } else if case.mode.batch_statistics {
            results.push(("grad_input", &set.grad_input));
            results.extend(self.grad_weight.iter().map(|grad| ("grad_weight", grad)));
            results.extend(self.grad_bias.iter().map(|grad| ("grad_bias", grad)));
            results.extend(set.grad_residual.iter().map(|grad| ("grad_residual", grad)));
        }
        results.extend(
            set.residual_output
                .iter()
                .map(|sum| ("residual_output", sum)),
        );
        results
    }

    fn use_once(&self, case: &Case) -> Result<Duration> {
        let start = Instant::now();
        self.run_once(case, 0)?;
        Ok(start.elapsed())
    }

    pub(crate) fn warmed_up(&self, case: &Case) -> Result<WarmedUp> {
        let start = Instant::now();
        self.sets[0].plan.warm_up()?;
        Ok(WarmedUp {
            warm_up: start.elapsed(),
            first: self.use_once(case)?,
        })
    }

    pub(crate) fn first_use(&self, problem: &Problem, case: &Case) -> Result<FirstUse> {
        Ok(FirstUse {
            name: case.norm.name(),
            mode: if case.mode.batch_statistics {
                "training"
            } else {
                "eval"
            },
            shape: problem.size_name(),
            first: self.use_once(case)?,
            second: self.use_once(case)?,
            pipelines: self.layer.context().pipeline_count(),
            warmed_up: None,
        })
    }

    /// All passes of the case's mode, recorded, submitted and waited for.
    pub(crate) fn run_once(&self, case: &Case, set: usize) -> Result<()> {
        let context = self.layer.context();
        let mut encoder = context.device().create_command_encoder(&Default::default());
        self.record(&mut encoder, Pass::Forward, set)?;
        if self.sets[set].double.is_some() {
            self.record(&mut encoder, Pass::DoubleBackward, set)?;
        } else if case.mode.batch_statistics {
            self.record(&mut encoder, Pass::Backward, set)?;
        }
        context.queue().submit([encoder.finish()]);
        context.device().poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    }

    /// The device time of this many runs.
    pub(crate) fn time(&self, timer: &Timer, pass: Pass, runs: u64) -> Result<Duration> {
        timer.time(runs, |encoder| {
            let turn = self.turn.get();
            self.turn.set((turn + 1) % self.sets.len());
            self.record(encoder, pass, turn)
        })
    }

    /// With the tensors of this set.
    pub(crate) fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        pass: Pass,
        set: usize,
    ) -> Result<()> {
        match pass {
            Pass::Forward | Pass::Eval => self.forward(encoder, &self.sets[set]),
            Pass::Backward => self.backward(encoder, &self.sets[set]),
            Pass::DoubleBackward => self.double_backward(encoder, &self.sets[set]),
        }
    }

    /// What the passes at the layer's level need.
    pub(crate) fn layer(&self) -> (&Layer, &Tensor, &Tensor) {
        (&self.layer, &self.sets[0].input, &self.sets[0].grad_output)
    }

    fn forward(&self, encoder: &mut wgpu::CommandEncoder, set: &Set) -> Result<()> {
        let tensors = self.forward_tensors(set);
        match &set.shard {
            Some(shard) => shard.forward(encoder, &tensors),
            None => Ok(set.plan.forward(encoder, &tensors)?),
        }
    }

    fn forward_tensors<'a>(&'a self, set: &'a Set) -> ForwardTensors<'a> {
        ForwardTensors {
            weight: self.weight.as_ref(),
            bias: self.bias.as_ref(),
            statistics: Some(&self.statistics),
            running: self.layer.running(),
            residual: set.residual.as_ref(),
            residual_output: set.residual_output.as_ref(),
            lengths: set.lengths.as_ref(),
            ..ForwardTensors::new(&set.input, &set.output)
        }
    }

    fn backward(&self, encoder: &mut wgpu::CommandEncoder, set: &Set) -> Result<()> {
        let tensors = self.backward_tensors(set);
        match &set.shard {
            Some(shard) => shard.backward(encoder, &tensors),
            None => Ok(set.plan.backward(encoder, &tensors)?),
        }
    }

    fn backward_tensors<'a>(&'a self, set: &'a Set) -> BackwardTensors<'a> {
        BackwardTensors {
            weight: self.weight.as_ref(),
            bias: self.bias.as_ref(),
            residual: set
                .residual
                .as_ref()
                .filter(|_| set.residual_output.is_none()),
            grad_residual_output: set.grad_residual_output.as_ref(),
            grad_input: Some(&set.grad_input),
            grad_residual: set.grad_residual.as_ref(),
            grad_weight: self.grad_weight.as_ref(),
            grad_bias: self.grad_bias.as_ref(),
            lengths: set.lengths.as_ref(),
            ..BackwardTensors::new(
                set.residual_output.as_ref().unwrap_or(&set.input),
                &self.statistics,
                &set.grad_output,
            )
        }
    }

    fn double_backward(&self, encoder: &mut wgpu::CommandEncoder, set: &Set) -> Result<()> {
        let Some(double) = &set.double else {
            return Err("made without the tensors of a second derivative".into());
        };
        let tensors = DoubleBackwardTensors {
            weight: self.weight.as_ref(),
            grad_input: Some(&set.grad_input),
            grad_weight: self.grad_weight.as_ref(),
            grad_grad_output: Some(&double.grad_grad_output),
            ..DoubleBackwardTensors::new(
                &set.input,
                &self.statistics,
                &set.grad_output,
                &double.grad_grad_input,
            )
        };
        Ok(set.plan.double_backward(encoder, &tensors)?)
    }
}

/// An element that is not written shows, and the first use does not find memory that wgpu has yet to clear.
fn poisoned(context: &Context, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::full(context, shape, f32::NAN)?)
}

fn state(case: &Case) -> State {
    State {
        shape: case.norm.parameter_shape(),
        weight: case.weight.clone().filter(|_| !case.norm.per_sample()),
        bias: case.bias.clone().filter(|_| !case.norm.per_sample()),
        running_mean: case.running_mean.clone(),
        running_var: case.running_var.clone(),
        num_batches_tracked: Some(case.num_batches_tracked.into())
            .filter(|_| case.norm.tracks_running_stats()),
    }
}
