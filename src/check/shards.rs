//! A case as a synchronized batch norm: all ranks on one device.

use std::ops::Range;

use super::case::Case;
use super::device::{Results, planes, poison};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ops::{BatchNorm, Norm};
use crate::plan::{BackwardTensors, ForwardTensors, Moments, Running, SyncPlan};
use crate::scope::scoped;
use crate::sync::{Statistics, Sums};
use crate::tensor::Tensor;

/// The results of the whole batch, of which each rank has so many samples.
pub(super) fn results(context: &Context, case: &Case, samples: &[usize]) -> Result<Results> {
    let Norm::Batch(norm) = case.norm else {
        return Err(Error::Unexpected("ranks", "only batch norm has shards"));
    };
    for (present, what) in [
        (case.lengths.is_some(), "lengths"),
        (case.grad_grad_input.is_some(), "grad_grad_input"),
        (case.strategy.is_some(), "a strategy"),
    ] {
        if present {
            return Err(Error::Unexpected(
                what,
                "synchronized batch norm takes none",
            ));
        }
    }
    let ranks = shards(case, samples)?
        .into_iter()
        .map(|(shape, elements)| Rank::new(context, norm, case, &shape, elements));
    let ranks = ranks.collect::<Result<Vec<_>>>()?;

    let mut parts = Vec::new();
    for rank in &ranks {
        let record = |encoder: &mut _| rank.plan.statistics(encoder, &rank.input, &rank.exported);
        rank.run(context, record)?;
        parts.push(rank.plan.local_statistics(&rank.exported.to_vec()?)?);
    }
    let all = Statistics::merge(&parts)?;
    for rank in &ranks {
        rank.moments.write(&all)?;
        rank.run(context, |encoder| rank.forward(encoder))?;
    }

    let mut parts = Vec::new();
    for rank in &ranks {
        let record = |encoder: &mut _| rank.plan.sums(encoder, &rank.backward(), &rank.sums);
        rank.run(context, record)?;
        parts.push(rank.plan.local_sums(&rank.sums.to_vec()?)?);
    }
    let averages = Sums::merge(&parts)?.averages();
    for rank in &ranks {
        rank.sums.write(&averages)?;
        let record = |encoder: &mut _| rank.plan.backward(encoder, &rank.backward(), &rank.sums);
        rank.run(context, record)?;
    }
    let ranks: Vec<Results> = ranks.iter().map(Rank::read).collect::<Result<_>>()?;
    Ok(joined(&ranks))
}

/// The shape of each rank's shard, and its elements of the batch.
fn shards(case: &Case, samples: &[usize]) -> Result<Vec<(Vec<usize>, Range<usize>)>> {
    let (of_batch, sample) = case.shape.split_first().unwrap_or((&0, &[]));
    let total = samples
        .iter()
        .fold(0, |sum: usize, n| sum.saturating_add(*n));
    if total != *of_batch {
        return Err(Error::Length {
            shape: vec![*of_batch],
            expected: *of_batch,
            got: total,
        });
    }
    let per_sample: usize = sample.iter().product();
    let mut begin = 0;
    let shard = |samples: &usize| {
        let elements = begin..begin + samples * per_sample;
        begin = elements.end;
        ([&[*samples], sample].concat(), elements)
    };
    Ok(samples.iter().map(shard).collect())
}

/// The tensors of one rank.
struct Rank {
    plan: SyncPlan,
    moments: Moments,
    input: Tensor,
    residual: Option<Tensor>,
    grad_output: Tensor,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    running: Option<[Tensor; 3]>,
    exported: Tensor,
    output: Tensor,
    sums: Tensor,
    grad_input: Tensor,
    grad_residual: Option<Tensor>,
    grad_weight: Option<Tensor>,
    grad_bias: Option<Tensor>,
}

impl Rank {
    fn new(
        context: &Context,
        norm: BatchNorm,
        case: &Case,
        shape: &[usize],
        elements: Range<usize>,
    ) -> Result<Self> {
        let plan = SyncPlan::of_dtype(context, case.dtype, norm, shape, case.mode)?;
        let data = |values: &[f32]| {
            let values = values.get(elements.clone()).unwrap_or_default();
            Tensor::from_f32(context, case.dtype, values, shape)
        };
        let like_input = || data(&vec![f32::NAN; case.input.len()]);
        let channels = case.norm.parameter_shape();
        let parameter = |values: &Option<Vec<f32>>| {
            let values = values.as_ref();
            let tensor = values.map(|values| Tensor::from_slice(context, values, &channels));
            tensor.transpose()
        };
        let poisoned = |shape: &[usize]| Tensor::full(context, shape, f32::NAN);
        let gradient = |parameter: &Option<Vec<f32>>| {
            let parameter = parameter.as_ref();
            parameter.map(|_| poisoned(&channels)).transpose()
        };
        let running = match (
            parameter(&case.running_mean)?,
            parameter(&case.running_var)?,
        ) {
            (Some(mean), Some(var)) => {
                let counter = Tensor::counter(context)?;
                counter.write(&[case.num_batches_tracked])?;
                Some([mean, var, counter])
            }
            _ => None,
        };
        let residual = case.residual.as_deref();
        Ok(Self {
            moments: plan.moments()?,
            input: data(&case.input)?,
            residual: residual.map(data).transpose()?,
            grad_output: data(&case.grad_output)?,
            weight: parameter(&case.weight)?,
            bias: parameter(&case.bias)?,
            running,
            exported: poisoned(&plan.statistics_shape())?,
            output: like_input()?,
            sums: poisoned(&plan.sums_shape())?,
            grad_input: like_input()?,
            grad_residual: residual.map(|_| like_input()).transpose()?,
            grad_weight: gradient(&case.weight)?,
            grad_bias: gradient(&case.bias)?,
            plan,
        })
    }

    /// Records half a pass and submits it, with scratch memory that holds NaN.
    fn run(
        &self,
        context: &Context,
        record: impl Fn(&mut wgpu::CommandEncoder) -> Result<()>,
    ) -> Result<()> {
        let device = context.device();
        let encoder = || device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        // Never submitted: allocates the scratch memory.
        record(&mut encoder())?;
        poison(context, &self.plan.scratch());
        let mut encoder = encoder();
        record(&mut encoder)?;
        scoped(device, "a check", 0, || {
            context.queue().submit([encoder.finish()]);
        })
    }

    fn forward(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        let running = self.running.as_ref();
        let running = running.map(|[mean, var, num_batches_tracked]| Running {
            mean,
            var,
            num_batches_tracked,
        });
        let tensors = ForwardTensors {
            residual: self.residual.as_ref(),
            weight: self.weight.as_ref(),
            bias: self.bias.as_ref(),
            running,
            ..ForwardTensors::new(&self.input, &self.output)
        };
        self.plan.forward(encoder, &tensors, &self.moments)
    }

    fn backward(&self) -> BackwardTensors<'_> {
        BackwardTensors {
            weight: self.weight.as_ref(),
            bias: self.bias.as_ref(),
            residual: self.residual.as_ref(),
            grad_input: Some(&self.grad_input),
            grad_residual: self.grad_residual.as_ref(),
            grad_weight: self.grad_weight.as_ref(),
            grad_bias: self.grad_bias.as_ref(),
            ..BackwardTensors::new(&self.input, self.moments.statistics(), &self.grad_output)
        }
    }

    fn read(&self) -> Result<Results> {
        let mut results = planes(&self.moments.statistics().to_vec()?);
        for (name, tensor) in [
            ("output", Some(&self.output)),
            ("grad_input", Some(&self.grad_input)),
            ("grad_residual", self.grad_residual.as_ref()),
            ("grad_weight", self.grad_weight.as_ref()),
            ("grad_bias", self.grad_bias.as_ref()),
        ] {
            if let Some(tensor) = tensor {
                results.insert(name, tensor.to_vec()?);
            }
        }
        if let Some([mean, var, counter]) = &self.running {
            results.insert("running_mean", mean.to_vec()?);
            results.insert("running_var", var.to_vec()?);
            let batches = counter.to_vec_of::<u32>()?.into_iter();
            let batches = batches.map(|count| count as f32).collect();
            results.insert("num_batches_tracked", batches);
        }
        Ok(results)
    }
}

/// Tensors one behind the other, gradients of parameters added up, and what is the same on all ranks once: NaN where it is not.
fn joined(ranks: &[Results]) -> Results {
    let names = ranks.first().into_iter().flat_map(Results::keys);
    let join = |name: &'static str| -> Vec<f32> {
        let parts: Vec<&[f32]> = ranks.iter().map(|rank| &rank[name][..]).collect();
        let of_all = |join: &dyn Fn(&[f32]) -> f32| {
            let across = |k: usize| parts.iter().map(|part| part[k]).collect::<Vec<f32>>();
            (0..parts[0].len()).map(|k| join(&across(k))).collect()
        };
        match name {
            "output" | "grad_input" | "grad_residual" => parts.concat(),
            "grad_weight" | "grad_bias" => of_all(&|values| {
                let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
                sum as f32
            }),
            _ => of_all(&|values| {
                let same = values
                    .iter()
                    .all(|value| value.to_bits() == values[0].to_bits());
                if same { values[0] } else { f32::NAN }
            }),
        }
    };
    names.map(|&name| (name, join(name))).collect()
}
