//! Trains the network of the `mnist` example data-parallel over processes: each has a shard of every batch, and MPI carries the
//! statistics of batch norm and the gradients between them.
//!
//! ```text
//! scripts/distributed                     # installs OpenMPI on Debian and Ubuntu, builds, and runs 1, 2 and 3 processes
//! mpirun -n 3 target/.../wgpu-norm-distributed --data path/to/mnist
//! ```
//!
//! The shards are uneven, and now and then a process has none. Afterwards the first process trains a network alone, by the code of the `mnist`
//! example, and compares the losses of all steps, which must be the same but for rounding: within 6e-7 as long as no input of a
//! `ReLU` lies so near 0 that rounding decides about its sign, which happens now and then; from there on within 1e-4 (an epoch
//! with seed 1 has such a step, those with 2 to 4 have none, and with tanh in place of `ReLU` none has). Processes that normalize by
//! their own shard alone are off by 3e-2. The network (`model.rs`, `norm.rs`) is that of the example, compiled twice: with its
//! `ranks.rs`, which does nothing, and with `together/ranks.rs`, which calls MPI.

#![allow(
    clippy::duplicate_mod,
    reason = "the network is there twice on purpose"
)]

mod alone;
#[path = "../../mnist/data.rs"]
mod data;
#[path = "../../mnist/digits.rs"]
mod digits;
#[path = "../../mnist/idx.rs"]
mod idx;
mod together;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mpi::traits::Communicator;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use wgpu_norm::Context;

use crate::data::Data;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Those of the example's first comparison.
const BATCH: usize = 128;
const LEARNING_RATE: f32 = 0.01;
const SCALE: f32 = 1.0 / 255.0;

/// Test images on which the processes' networks are compared.
const COMPARED: usize = 100;

/// Trains a small network over the processes of `mpirun`.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder with the IDX files of MNIST, plain or gzipped; without it the example draws its own digits
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Passes over the training images
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    epochs: u32,
    /// Seed of the weights, the shuffling and the drawn digits
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Largest relative difference of a loss from that of a single process; exit status 1 beyond it
    #[arg(long, default_value_t = 1e-3)]
    bound: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(_universe) = mpi::initialize() else {
        eprintln!("error: MPI does not start");
        return ExitCode::FAILURE;
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            // The others would wait for this process for ever.
            together::ranks::world().abort(1)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let world = together::ranks::world();
    let (rank, ranks) = (world.rank() as usize, world.size() as usize);
    let data = match &arguments.data {
        Some(directory) => Data::load(directory)?,
        None => Data::draw(arguments.seed),
    };
    let context = Context::new()?;
    let batches = batches(&data, arguments);

    let mut model = together::network(&context, arguments.seed)?;
    let mut losses = Vec::new();
    for (step, batch) in batches.iter().enumerate() {
        let (images, labels) = data.train.batch(shard(batch, step, rank, ranks), SCALE);
        losses.push(model.step(images, &labels, LEARNING_RATE)?);
    }
    let compared: Vec<usize> = (0..data.test.len().min(COMPARED)).collect();
    let (images, _) = data.test.batch(&compared, SCALE);
    let logits: Vec<f32> = model.logits(images)?.into_iter().collect();
    if !together::ranks::agree(&logits) {
        return Err(format!("rank {rank}: the networks are not the same, bit for bit").into());
    }
    if rank > 0 {
        return Ok(());
    }

    let mut single = alone::network(&context, arguments.seed)?;
    let mut differences = Vec::new();
    for (step, (batch, &loss)) in batches.iter().zip(&losses).enumerate() {
        let (images, labels) = data.train.batch(batch, SCALE);
        let alone = f64::from(single.step(images, &labels, LEARNING_RATE)?);
        let difference = (f64::from(loss) - alone).abs() / alone;
        if difference.is_nan() {
            return Err(format!("step {step}: loss {loss}, alone {alone}").into());
        }
        differences.push(difference);
    }
    differences.sort_by(f64::total_cmp);
    let median = differences.get(differences.len() / 2).copied();
    let worst = differences.last().copied().ok_or("no steps")?;
    println!(
        "processes {ranks}, steps {}, loss {:.4} to {:.4}; relative difference from a single process: median {:.1e}, largest {worst:.1e}",
        losses.len(),
        losses.first().copied().unwrap_or(f32::NAN),
        losses.last().copied().unwrap_or(f32::NAN),
        median.unwrap_or(f64::NAN),
    );
    if worst > arguments.bound {
        return Err(format!("{worst:.1e} is more than {:.1e}", arguments.bound).into());
    }
    Ok(())
}

/// The images of each step, the same in all processes.
fn batches(data: &Data, arguments: &Arguments) -> Vec<Vec<usize>> {
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let mut order: Vec<usize> = (0..data.train.len()).collect();
    let mut batches = Vec::new();
    for _ in 0..arguments.epochs {
        order.shuffle(&mut rng);
        let whole = order.chunks(BATCH).filter(|batch| batch.len() > 1);
        batches.extend(whole.map(<[usize]>::to_vec));
    }
    batches
}

/// The share of a process: rank r has r + 1 parts of the batch, but every fifth step another process has none.
fn shard(batch: &[usize], step: usize, rank: usize, ranks: usize) -> &[usize] {
    let idle = (ranks > 1 && step.is_multiple_of(5)).then_some(step / 5 % ranks);
    let parts = |below: usize| -> usize {
        let working = (0..below).filter(|&rank| Some(rank) != idle);
        working.map(|rank| rank + 1).sum()
    };
    let begin = |rank| batch.len() * parts(rank) / parts(ranks);
    &batch[begin(rank)..begin(rank + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_the_batch() {
        let batch: Vec<usize> = (0..128).collect();
        for ranks in 1..7 {
            for step in 0..40 {
                let shards = (0..ranks).map(|rank| shard(&batch, step, rank, ranks));
                let shards: Vec<_> = shards.collect();
                assert_eq!(shards.concat(), batch);
                let empty = shards.iter().any(|shard| shard.is_empty());
                assert_eq!(empty, ranks > 1 && step % 5 == 0);
            }
        }
    }
}
