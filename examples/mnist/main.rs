//! What batch normalization does to the training of a small network, measured on MNIST.
//!
//! The network is the one of Kamil Krzyk's slides on batch normalization: 784-256-128-64-10, softmax cross-entropy,
//! plain SGD, 10 epochs. It is trained without and with batch norm in the four comparisons of the slides:
//!
//! 1. learning rate 0.01, batches of 128, Glorot weights, pixels divided by 255
//! 2. learning rate 1, batches of 1,024
//! 3. weights drawn from U(-5, 5)
//! 4. pixels left at 0 to 255
//!
//! ```text
//! cargo run --release --example mnist                        # draws its own digits, needs no files
//! cargo run --release --example mnist -- --data path/to/mnist
//! cargo run --release --example mnist -- --comparison 2 --chart learning_rate.svg
//! cargo run --release --example mnist -- --fold              # and folds batch norm into the dense layers at the end
//! cargo run --release --example mnist -- --comparison 1 --observe observed.svg     # and draws what passes through the network
//! ```
//!
//! It is an ordinary training loop. The dense layers run on the CPU with ndarray; every normalization (forward, backward,
//! running statistics) runs on the GPU through wgpu-norm. All calls of the library are in `norm.rs` and `ranks.rs`; with another
//! `ranks.rs` the same network trains over several processes: `examples/distributed`.

mod chart;
mod data;
mod digits;
mod fold;
mod idx;
mod model;
mod norm;
mod observe;
mod observe_chart;
mod ranks;
mod train;

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use wgpu_norm::Context;

use crate::{
    chart::Panel,
    data::Data,
    fold::Folded,
    observe::{Observed, Watch},
    train::{COMPARISONS, Run},
};

/// The example's errors are messages for the reader of a terminal.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Trains a small network on MNIST without and with batch normalization.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder with the IDX files of MNIST, plain or gzipped; without it the example draws its own digits
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Run only this comparison
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4))]
    comparison: Option<u32>,
    /// Passes over the training images
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    epochs: u32,
    /// Seed of the weights, the shuffling and the drawn digits
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// After training, fold batch norm into the dense layers and compare the two networks on the test images;
    /// exit status 1 if a logit differs by more than 1e-6 of the largest one
    #[arg(long)]
    fold: bool,
    /// Where to write charts of what passes through the networks of the (last) comparison, an SVG file: inputs and gradients of layers
    /// over time, the spread of batch statistics, weights and biases of batch norm
    #[arg(long, value_name = "PATH")]
    observe: Option<PathBuf>,
    /// Where to write the chart, an SVG file
    #[arg(long, value_name = "PATH", default_value = "mnist.svg")]
    chart: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = match &arguments.data {
        Some(directory) => Data::load(directory)?,
        None => Data::draw(arguments.seed),
    };
    let context = Context::new()?;
    check_writable(&arguments.chart)?;
    if let Some(path) = &arguments.observe {
        check_writable(path)?;
    }
    eprintln!(
        "{} training and {} test images; batch norm on {}",
        data.train.len(),
        data.test.len(),
        context.adapter_info().name
    );

    let (mut panels, mut disagreeing) = (Vec::new(), Vec::<u32>::new());
    for (number, comparison) in (1..).zip(&COMPARISONS) {
        if arguments.comparison.is_some_and(|only| only != number) {
            continue;
        }
        let [mut watch_without, mut watch_with] = [0, 1].map(|_| Watch::new(&context));
        let train = |batch_norm: bool, watch| {
            Run {
                name: format!("comparison {number}"),
                comparison,
                batch_norm: batch_norm.then_some(&context),
                epochs: arguments.epochs,
                seed: arguments.seed,
            }
            .train(&data, arguments.observe.as_ref().map(|_| watch))
        };
        let (without, _) = train(false, &mut watch_without)?;
        let (with, model) = train(true, &mut watch_with)?;
        println!(
            "comparison {number}: without {:.4} with {:.4}",
            without.last_accuracy(),
            with.last_accuracy()
        );
        panels.push(Panel {
            title: format!("{number}. {}", comparison.title),
            without,
            with,
        });
        // After every comparison, so that an interrupted run leaves what it has.
        chart::write(&arguments.chart, &panels)?;
        if let Some(path) = &arguments.observe {
            let observed = Observed {
                title: format!("{number}. {}", comparison.title),
                without: watch_without.moments,
                with: watch_with.moments,
                spreads: observe::spreads(&model, &data.train, comparison.scale)?,
                model: &model,
            };
            observe_chart::write(path, &observed)?;
        }
        if arguments.fold {
            let folded = Folded::compare(&model, &data.test, comparison.scale)?;
            println!("comparison {number}: {}", folded.summary());
            if !folded.agrees() {
                disagreeing.push(number);
            }
        }
    }
    if !disagreeing.is_empty() {
        return Err(format!(
            "comparisons {disagreeing:?}: the folded network computes something else"
        )
        .into());
    }
    Ok(())
}

/// Better to fail before minutes of training than after them.
fn check_writable(path: &Path) -> Result<()> {
    match OpenOptions::new().append(true).create(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: cannot be written: {error}", path.display()).into()),
    }
}
