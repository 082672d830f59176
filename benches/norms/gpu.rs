//! This crate, with all tensors on the device.

use std::cell::Cell;
use std::time::{Duration, Instant};

use wgpu_norm::check::{self, Case};
use wgpu_norm::{BackwardTensors, Context, ForwardTensors, Layer, Plan, State, Tensor, wgpu};

use super::cases::{Pass, size_name};
use super::machine::Machine;
use super::timer::Timer;
use crate::Result;

/// Norm-wise distance to the f64 reference. The worst found: 3.3e-7 (lavapipe).
const TOLERANCE: f64 = 2e-6;

/// A norm on one shape in one mode.
#[derive(Debug)]
pub(crate) struct Gpu {
    layer: Layer,
    /// Written by all sets, which makes each run wait for the one before.
    statistics: Tensor,
    grad_weight: Option<Tensor>,
    grad_bias: Option<Tensor>,
    sets: Vec<Set>,
    turn: Cell<usize>,
}

/// Tensors of the norm's shape, and a plan that knows no others.
#[derive(Debug)]
struct Set {
    plan: Plan,
    input: Tensor,
    output: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
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
}

impl Gpu {
    /// Compares all results with the reference, and those of the tensors that are timed with these.
    pub(crate) fn verified(
        machine: &Machine,
        case: &Case,
        sets: usize,
    ) -> Result<(Self, FirstUse)> {
        let gpu = Self::new(&machine.context, case, sets)?;
        let first_use = gpu.first_use(case)?;
        let context = gpu.layer.context();
        let report = check::run(context, case)?;
        if report.worst() > TOLERANCE {
            return Err(format!("results are wrong:\n{report}").into());
        }
        let want = check::results(context, case)?;
        for (set, tensors) in gpu.sets.iter().enumerate() {
            gpu.run_once(case, set)?;
            for (name, tensor) in gpu.results(case, tensors) {
                if Some(&tensor.to_vec()?) != want.get(name) {
                    return Err(format!("{name} is not the one that was verified").into());
                }
            }
        }
        Ok((gpu, first_use))
    }

    /// In a context of its own, which has no pipelines yet.
    pub(crate) fn new(context: &Context, case: &Case, sets: usize) -> Result<Self> {
        let context = &Context::from_wgpu(context.device().clone(), context.queue().clone())?;
        let layer = Layer::new(context, case.norm.clone())?;
        layer.load_state(&state(case))?;
        let like = |parameter: Option<&Tensor>| {
            let shape = parameter.map(Tensor::shape);
            shape.map(|shape| poisoned(context, shape)).transpose()
        };
        let sets = (0..sets).map(|_| Set::new(context, case));
        let sets = sets.collect::<Result<Vec<Set>>>()?;
        Ok(Self {
            statistics: poisoned(context, &sets[0].plan.statistics_shape())?,
            grad_weight: like(layer.weight())?,
            grad_bias: like(layer.bias())?,
            layer,
            sets,
            turn: Cell::default(),
        })
    }

    /// What a run of all passes of the case's mode leaves.
    fn results<'a>(&'a self, case: &Case, set: &'a Set) -> Vec<(&'static str, &'a Tensor)> {
        let mut results = vec![("output", &set.output)];
        if case.mode.batch_statistics {
            results.push(("grad_input", &set.grad_input));
            results.extend(self.grad_weight.iter().map(|grad| ("grad_weight", grad)));
            results.extend(self.grad_bias.iter().map(|grad| ("grad_bias", grad)));
        }
        results
    }

    fn first_use(&self, case: &Case) -> Result<FirstUse> {
        let use_once = || -> Result<Duration> {
            let start = Instant::now();
            self.run_once(case, 0)?;
            Ok(start.elapsed())
        };
        Ok(FirstUse {
            name: case.norm.name(),
            mode: if case.mode.batch_statistics {
                "training"
            } else {
                "eval"
            },
            shape: size_name(&case.shape, case.dtype),
            first: use_once()?,
            second: use_once()?,
            pipelines: self.layer.context().pipeline_count(),
        })
    }

    /// All passes of the case's mode, recorded, submitted and waited for.
    pub(crate) fn run_once(&self, case: &Case, set: usize) -> Result<()> {
        let context = self.layer.context();
        let mut encoder = context.device().create_command_encoder(&Default::default());
        self.record(&mut encoder, Pass::Forward, set)?;
        if case.mode.batch_statistics {
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
        }
    }

    /// What the passes at the layer's level need.
    pub(crate) fn layer(&self) -> (&Layer, &Tensor, &Tensor) {
        (&self.layer, &self.sets[0].input, &self.sets[0].grad_output)
    }

    fn forward(&self, encoder: &mut wgpu::CommandEncoder, set: &Set) -> Result<()> {
        let tensors = ForwardTensors {
            weight: self.layer.weight(),
            bias: self.layer.bias(),
            statistics: Some(&self.statistics),
            running: self.layer.running(),
            ..ForwardTensors::new(&set.input, &set.output)
        };
        Ok(set.plan.forward(encoder, &tensors)?)
    }

    fn backward(&self, encoder: &mut wgpu::CommandEncoder, set: &Set) -> Result<()> {
        let tensors = BackwardTensors {
            weight: self.layer.weight(),
            grad_input: Some(&set.grad_input),
            grad_weight: self.grad_weight.as_ref(),
            grad_bias: self.grad_bias.as_ref(),
            ..BackwardTensors::new(&set.input, &self.statistics, &set.grad_output)
        };
        Ok(set.plan.backward(encoder, &tensors)?)
    }
}

impl Set {
    fn new(context: &Context, case: &Case) -> Result<Self> {
        let tensor = |values: &[f32]| Tensor::from_f32(context, case.dtype, values, &case.shape);
        let poison = vec![f32::NAN; case.input.len()];
        Ok(Self {
            plan: Plan::of_dtype(
                context,
                case.dtype,
                case.norm.clone(),
                &case.shape,
                case.mode,
            )?,
            input: tensor(&case.input)?,
            output: tensor(&poison)?,
            grad_output: tensor(&case.grad_output)?,
            grad_input: tensor(&poison)?,
        })
    }
}

/// An element that is not written shows, and the first use does not find memory that wgpu has yet to clear.
fn poisoned(context: &Context, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::full(context, shape, f32::NAN)?)
}

fn state(case: &Case) -> State {
    State {
        shape: case.norm.parameter_shape(),
        weight: case.weight.clone(),
        bias: case.bias.clone(),
        running_mean: case.running_mean.clone(),
        running_var: case.running_var.clone(),
        num_batches_tracked: Some(case.num_batches_tracked.into())
            .filter(|_| case.norm.tracks_running_stats()),
    }
}
