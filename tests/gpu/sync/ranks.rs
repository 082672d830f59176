//! All ranks of a synchronized batch norm on one device.

use wgpu_norm::check::Case;
use wgpu_norm::sync::{Statistics, Sums, SyncLayer, SyncPlan};
use wgpu_norm::{
    BackwardTensors, BatchNorm, Context, ForwardTensors, Layer, Mode, Running, Tensor,
};

use crate::common::encoder;

/// A batch and how many rows of it each rank has.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) norm: BatchNorm,
    pub(super) case: Case,
    rows: Vec<usize>,
    sample: Vec<usize>,
}

/// The results of all ranks: tensors one behind the other, gradients of parameters added up.
#[derive(Debug, PartialEq)]
pub(super) struct Results {
    pub(super) output: Vec<f32>,
    pub(super) grad_input: Vec<f32>,
    pub(super) grad_residual: Vec<f32>,
    pub(super) grad_weight: Vec<f32>,
    pub(super) grad_bias: Vec<f32>,
    /// Mean, variance and counter of each rank.
    pub(super) running: Vec<(Vec<f32>, Vec<f32>, u32)>,
    /// Mean, its low part, rstd and variance of each rank.
    pub(super) statistics: Vec<Vec<f32>>,
}

/// The tensors of one rank.
struct Rank {
    plan: SyncPlan,
    input: Tensor,
    residual: Option<Tensor>,
    grad_output: Tensor,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    running: [Tensor; 3],
    exported: Tensor,
    output: Tensor,
    sums: Tensor,
    grad_input: Tensor,
    grad_residual: Option<Tensor>,
    grad_weight: Option<Tensor>,
    grad_bias: Option<Tensor>,
}

fn run(context: &Context, record: impl FnOnce(&mut wgpu::CommandEncoder)) {
    let mut encoder = encoder(context);
    record(&mut encoder);
    context.queue().submit([encoder.finish()]);
}

fn poison(plan: &SyncPlan, context: &Context) {
    for scratch in plan.scratch() {
        let nan = vec![0xff; scratch.size() as usize];
        context.queue().write_buffer(&scratch, 0, &nan);
    }
}

impl Rank {
    fn forward(&self) -> ForwardTensors<'_> {
        let [mean, var, num_batches_tracked] = &self.running;
        ForwardTensors {
            residual: self.residual.as_ref(),
            weight: self.weight.as_ref(),
            bias: self.bias.as_ref(),
            running: Some(Running {
                mean,
                var,
                num_batches_tracked,
            }),
            ..ForwardTensors::new(&self.input, &self.output)
        }
    }

    fn backward<'a>(&'a self, statistics: &'a Tensor) -> BackwardTensors<'a> {
        BackwardTensors {
            weight: self.weight.as_ref(),
            bias: self.bias.as_ref(),
            residual: self.residual.as_ref(),
            grad_input: Some(&self.grad_input),
            grad_residual: self.grad_residual.as_ref(),
            grad_weight: self.grad_weight.as_ref(),
            grad_bias: self.grad_bias.as_ref(),
            ..BackwardTensors::new(&self.input, statistics, &self.grad_output)
        }
    }
}

impl Batch {
    pub(super) fn random(norm: BatchNorm, rows: &[usize], sample: &[usize], seed: u64) -> Self {
        let shape = [&[rows.iter().sum()], sample].concat();
        Self {
            norm,
            case: Case::random(&norm.into(), Mode::TRAINING, &shape, seed).unwrap(),
            rows: rows.to_vec(),
            sample: sample.to_vec(),
        }
    }

    pub(super) fn offset(mut self, offset: f32) -> Self {
        self.case = self.case.offset(offset);
        self
    }

    /// The shape of each rank's shard, and its elements of the batch.
    fn shards(&self) -> Vec<(Vec<usize>, std::ops::Range<usize>)> {
        let per_row: usize = self.sample.iter().product();
        let mut begin = 0;
        let shard = |rows: &usize| {
            let elements = begin..begin + rows * per_row;
            begin = elements.end;
            ([&[*rows], &self.sample[..]].concat(), elements)
        };
        self.rows.iter().map(shard).collect()
    }

    fn ranks(&self, context: &Context) -> Vec<Rank> {
        let case = &self.case;
        let parameter = |values: &Option<Vec<f32>>| {
            let values = values.as_ref();
            values.map(|v| Tensor::from_slice(context, v, &[v.len()]).unwrap())
        };
        let nan = |shape: &[usize]| Tensor::full(context, shape, f32::NAN).unwrap();
        let rank = |(shape, elements): (Vec<usize>, std::ops::Range<usize>)| {
            let data = |values: &[f32]| {
                Tensor::from_slice(context, &values[elements.clone()], &shape).unwrap()
            };
            let like = |tensor: &Option<Tensor>| tensor.as_ref().map(|t| nan(t.shape()));
            let plan = SyncPlan::new(context, self.norm, &shape, case.mode).unwrap();
            let (weight, bias) = (parameter(&case.weight), parameter(&case.bias));
            let counter = Tensor::counter(context).unwrap();
            counter.write(&[case.num_batches_tracked]).unwrap();
            let unused = || nan(&[1]);
            Rank {
                input: data(&case.input),
                residual: case.residual.as_deref().map(data),
                grad_output: data(&case.grad_output),
                running: [
                    parameter(&case.running_mean).unwrap_or_else(unused),
                    parameter(&case.running_var).unwrap_or_else(unused),
                    counter,
                ],
                exported: nan(&plan.statistics_shape()),
                output: nan(&shape),
                sums: nan(&plan.sums_shape()),
                grad_input: nan(&shape),
                grad_residual: case.residual.as_ref().map(|_| nan(&shape)),
                grad_weight: like(&weight),
                grad_bias: like(&bias),
                weight,
                bias,
                plan,
            }
        };
        self.shards().into_iter().map(rank).collect()
    }

    /// Twice, the second time with scratch memory full of NaN: what is recorded first allocates it.
    fn statistics_of(&self, context: &Context, ranks: &[Rank]) -> Vec<Statistics> {
        let local = |rank: &Rank| {
            for _ in 0..2 {
                poison(&rank.plan, context);
                run(context, |encoder| {
                    let recorded = rank.plan.statistics(encoder, &rank.input, &rank.exported);
                    recorded.unwrap();
                });
            }
            let exported = rank.exported.to_vec().unwrap();
            rank.plan.local_statistics(&exported).unwrap()
        };
        ranks.iter().map(local).collect()
    }

    pub(super) fn local_statistics(&self, context: &Context) -> Vec<Statistics> {
        self.statistics_of(context, &self.ranks(context))
    }

    /// Plans, the exchange by hand.
    pub(super) fn run(&self, context: &Context) -> Results {
        let ranks = self.ranks(context);
        let all = Statistics::merge(&self.statistics_of(context, &ranks)).unwrap();
        let moments: Vec<_> = ranks.iter().map(|r| r.plan.moments().unwrap()).collect();
        let mut local = Vec::new();
        for (rank, moments) in ranks.iter().zip(&moments) {
            moments.write(&all).unwrap();
            run(context, |encoder| {
                let tensors = rank.forward();
                rank.plan.forward(encoder, &tensors, moments).unwrap();
            });
            for _ in 0..2 {
                poison(&rank.plan, context);
                run(context, |encoder| {
                    let tensors = rank.backward(moments.statistics());
                    rank.plan.sums(encoder, &tensors, &rank.sums).unwrap();
                });
            }
            let sums = rank.sums.to_vec().unwrap();
            local.push(rank.plan.local_sums(&sums).unwrap());
        }
        let all = Sums::merge(&local).unwrap();
        assert_eq!(all.count() as usize * self.sample[0], self.case.input.len());
        for (rank, moments) in ranks.iter().zip(&moments) {
            rank.sums.write(&all.averages()).unwrap();
            for _ in 0..2 {
                poison(&rank.plan, context);
                run(context, |encoder| {
                    let tensors = rank.backward(moments.statistics());
                    rank.plan.backward(encoder, &tensors, &rank.sums).unwrap();
                });
            }
        }
        let optional = |tensor: &Option<Tensor>| tensor.as_ref().map(|t| t.to_vec().unwrap());
        let all = |of: &dyn Fn(&Rank) -> Option<Vec<f32>>| {
            ranks.iter().filter_map(of).collect::<Vec<_>>()
        };
        Results {
            output: all(&|rank| rank.output.to_vec().ok()).concat(),
            grad_input: all(&|rank| rank.grad_input.to_vec().ok()).concat(),
            grad_residual: all(&|rank| optional(&rank.grad_residual)).concat(),
            grad_weight: added(&all(&|rank| optional(&rank.grad_weight))),
            grad_bias: added(&all(&|rank| optional(&rank.grad_bias))),
            running: if self.norm.track_running_stats {
                ranks.iter().map(|rank| running(&rank.running)).collect()
            } else {
                Vec::new()
            },
            statistics: moments
                .iter()
                .map(|moments| moments.statistics().to_vec().unwrap())
                .collect(),
        }
    }

    /// Layers, a thread for each rank: they wait for each other, as processes do.
    pub(super) fn run_layers(&self, context: &Context) -> Results {
        let exchange = Exchange::new(self.rows.len());
        let case = &self.case;
        let rank = |(rank, (shape, elements)): (usize, (Vec<usize>, std::ops::Range<usize>))| {
            let layer = Layer::new(context, self.norm).unwrap();
            for (tensor, values) in [
                (layer.weight(), &case.weight),
                (layer.bias(), &case.bias),
                (layer.running_mean(), &case.running_mean),
                (layer.running_var(), &case.running_var),
            ] {
                let values = values.as_ref().unwrap();
                tensor.unwrap().write(values).unwrap();
            }
            let counter = layer.num_batches_tracked_tensor().unwrap();
            counter.write(&[case.num_batches_tracked]).unwrap();
            let layer = SyncLayer::new(layer).unwrap();
            let data = |values: &[f32]| {
                Tensor::from_slice(context, &values[elements.clone()], &shape).unwrap()
            };
            let residual = data(case.residual.as_ref().unwrap());
            let statistics = |own: &Statistics| {
                let all = exchange.all_gather(rank, own.to_message());
                let all: Result<Vec<_>, _> =
                    all.iter().map(|m| Statistics::from_message(m)).collect();
                Statistics::merge(&all?)
            };
            let sums = |own: &Sums| {
                let all = exchange.all_gather(rank, own.to_message());
                let all: Result<Vec<_>, _> = all.iter().map(|m| Sums::from_message(m)).collect();
                Sums::merge(&all?)
            };
            let input = data(&case.input);
            let forward = layer.forward_residual(&input, &residual, case.mode, statistics);
            let forward = forward.unwrap();
            let gradients = layer.backward(&forward.saved, &data(&case.grad_output), sums);
            let gradients = gradients.unwrap();
            let values = |tensor: Option<&Tensor>| tensor.unwrap().to_vec().unwrap();
            let layer = layer.into_layer();
            Results {
                output: values(Some(&forward.output)),
                grad_input: values(Some(&gradients.grad_input)),
                grad_residual: values(gradients.grad_residual.as_ref()),
                grad_weight: values(gradients.grad_weight.as_ref()),
                grad_bias: values(gradients.grad_bias.as_ref()),
                running: vec![(
                    values(layer.running_mean()),
                    values(layer.running_var()),
                    layer.num_batches_tracked().unwrap().unwrap() as u32,
                )],
                statistics: vec![values(Some(forward.saved.statistics()))],
            }
        };
        let parts: Vec<Results> = std::thread::scope(|scope| {
            let shards = self.shards().into_iter().enumerate();
            let rank = &rank;
            let threads: Vec<_> = shards.map(|s| scope.spawn(move || rank(s))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let all = |of: fn(&Results) -> &Vec<f32>| -> Vec<Vec<f32>> {
            parts.iter().map(|part| of(part).clone()).collect()
        };
        Results {
            output: all(|part| &part.output).concat(),
            grad_input: all(|part| &part.grad_input).concat(),
            grad_residual: all(|part| &part.grad_residual).concat(),
            grad_weight: added(&all(|part| &part.grad_weight)),
            grad_bias: added(&all(|part| &part.grad_bias)),
            running: parts.iter().map(|part| part.running[0].clone()).collect(),
            statistics: parts
                .iter()
                .map(|part| part.statistics[0].clone())
                .collect(),
        }
    }
}

/// The sums of the ranks' gradients.
fn added(parts: &[Vec<f32>]) -> Vec<f32> {
    let length = parts.first().map_or(0, Vec::len);
    let sum = |k: usize| parts.iter().map(|part| f64::from(part[k])).sum::<f64>() as f32;
    (0..length).map(sum).collect()
}

fn running([mean, var, counter]: &[Tensor; 3]) -> (Vec<f32>, Vec<f32>, u32) {
    let values = |tensor: &Tensor| tensor.to_vec().unwrap();
    (
        values(mean),
        values(var),
        counter.to_vec_of::<u32>().unwrap()[0],
    )
}

/// Messages between threads.
struct Exchange {
    messages: std::sync::Mutex<Vec<Vec<f64>>>,
    barrier: std::sync::Barrier,
}

impl Exchange {
    fn new(ranks: usize) -> Self {
        Self {
            messages: std::sync::Mutex::new(vec![Vec::new(); ranks]),
            barrier: std::sync::Barrier::new(ranks),
        }
    }

    fn all_gather(&self, rank: usize, message: Vec<f64>) -> Vec<Vec<f64>> {
        self.messages.lock().unwrap()[rank] = message;
        self.barrier.wait();
        let all = self.messages.lock().unwrap().clone();
        self.barrier.wait();
        all
    }
}
