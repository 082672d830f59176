//! Layers of all ranks on one device: a thread for each, which wait for each other as processes do.

use std::ops::Range;

use wgpu_norm::check::{Case, Results};
use wgpu_norm::sync::{Statistics, Sums, SyncLayer};
use wgpu_norm::{Context, Error, Layer, Tensor};

/// What [`wgpu_norm::check::results`] gives of a case with ranks, parameters and a residual.
pub(super) fn layers(context: &Context, case: &Case) -> Results {
    let ranks = case.ranks.as_ref().unwrap();
    let exchange = Exchange::new(ranks.len());
    let per_sample = case.input.len() / case.shape[0];
    let mut parts: Vec<Results> = std::thread::scope(|scope| {
        let (exchange, mut begin) = (&exchange, 0);
        let spawn = |(rank, samples): (usize, &usize)| {
            let elements = begin..begin + samples * per_sample;
            begin = elements.end;
            scope.spawn(move || one(context, case, rank, elements, exchange))
        };
        let threads: Vec<_> = ranks.iter().enumerate().map(spawn).collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.collect()
    });
    let mut all = parts.remove(0);
    for (name, values) in &mut all {
        for part in &parts {
            match *name {
                "output" | "grad_input" | "grad_residual" => values.extend(&part[name]),
                "grad_weight" | "grad_bias" => {}
                _ => assert_eq!(part[name], *values, "{name} of two ranks"),
            }
        }
        if matches!(*name, "grad_weight" | "grad_bias") {
            for (k, sum) in values.iter_mut().enumerate() {
                let others = parts.iter().map(|part| f64::from(part[name][k]));
                *sum = (f64::from(*sum) + others.sum::<f64>()) as f32;
            }
        }
    }
    all
}

/// One rank, with these elements of the batch.
fn one(
    context: &Context,
    case: &Case,
    rank: usize,
    elements: Range<usize>,
    exchange: &Exchange,
) -> Results {
    let layer = Layer::new(context, case.norm.clone()).unwrap();
    for (tensor, values) in [
        (layer.weight(), &case.weight),
        (layer.bias(), &case.bias),
        (layer.running_mean(), &case.running_mean),
        (layer.running_var(), &case.running_var),
    ] {
        tensor.unwrap().write(values.as_ref().unwrap()).unwrap();
    }
    let counter = layer.num_batches_tracked_tensor().unwrap();
    counter.write(&[case.num_batches_tracked]).unwrap();
    let layer = SyncLayer::new(layer).unwrap();

    let mut shape = case.shape.clone();
    shape[0] = elements.len() * shape[0] / case.input.len();
    let data = |values: &[f32]| {
        let values = &values[elements.clone()];
        Tensor::from_slice(context, values, &shape).unwrap()
    };
    let statistics = |own: &Statistics| {
        let all = exchange.all_gather(rank, own.to_message());
        let all = all.iter().map(|message| Statistics::from_message(message));
        Statistics::merge(&all.collect::<Result<Vec<_>, Error>>()?)
    };
    let sums = |own: &Sums| {
        let all = exchange.all_gather(rank, own.to_message());
        let all = all.iter().map(|message| Sums::from_message(message));
        Sums::merge(&all.collect::<Result<Vec<_>, Error>>()?)
    };
    let residual = data(case.residual.as_ref().unwrap());
    let forward = layer.forward_residual(&data(&case.input), &residual, case.mode, statistics);
    let forward = forward.unwrap();
    let gradients = layer.backward(&forward.saved, &data(&case.grad_output), sums);
    let gradients = gradients.unwrap();

    let layer = layer.into_layer();
    let batches = layer.num_batches_tracked().unwrap().unwrap();
    let mut results = Results::from([("num_batches_tracked", vec![batches as f32])]);
    for (name, tensor) in [
        ("output", Some(&forward.output)),
        ("grad_input", Some(&gradients.grad_input)),
        ("grad_residual", gradients.grad_residual.as_ref()),
        ("grad_weight", gradients.grad_weight.as_ref()),
        ("grad_bias", gradients.grad_bias.as_ref()),
        ("running_mean", layer.running_mean()),
        ("running_var", layer.running_var()),
    ] {
        results.insert(name, tensor.unwrap().to_vec().unwrap());
    }
    let planes = forward.saved.statistics().to_vec().unwrap();
    let planes = planes.chunks(planes.len() / 4).map(<[f32]>::to_vec);
    results.extend(["mean", "mean_low", "rstd", "var"].into_iter().zip(planes));
    results
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
