//! The proof for users: does this crate compute what it should on *this* machine?
//!
//! ```text
//! cargo run --release --example check                          # every norm, pass, mode and strategy against f64
//! cargo run --release --example check -- tests/cases           # cases from files, against their expectations
//! cargo run --release --example check -- --dump out a.safetensors
//! ```
//!
//! The first prints what belongs into a bug report. `WGPU_BACKEND` and `WGPU_ADAPTER_NAME` choose the adapter.
//! The format of the case files is described in `scripts/generate_cases.py`.

mod cases;
mod device;
mod dump;
mod reader;
mod shapes;
mod sweep;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use wgpu_norm::Context;

/// Bound on ‖error‖ / ‖result‖ of every tensor, at any offset of the input: 2⁻²⁴ is 6e-8, the longest chains of sums
/// cost some ten of these.
const TOLERANCE: f64 = 2e-6;

const SUCCESS: u8 = 0;
const FAILED: u8 = 1;
const ERROR: u8 = 2;

/// Checks wgpu-norm on this machine.
///
/// Exit status: 0 if all is well, 1 if a result is wrong or a call failed, 2 if a file is not a valid case
/// (also if another case failed).
#[derive(Debug, Parser)]
struct Arguments {
    /// Case files, or folders of *.safetensors; without any, all norms run on random numbers
    paths: Vec<PathBuf>,
    /// Write the computed tensors of each case to DIR/<name of the case's file>
    #[arg(long, value_name = "DIR", requires = "paths")]
    dump: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let context = match Context::new() {
        Ok(context) => context,
        Err(error) => {
            // Not eprintln!, which panics if nobody reads.
            let _ = writeln!(io::stderr(), "error: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let out = &mut io::stdout().lock();
    let status = if arguments.paths.is_empty() {
        sweep::run(&context, out)
    } else {
        cases::run(&context, &arguments.paths, arguments.dump.as_deref(), out)
    };
    // The one error here is that the reader of the output went away.
    ExitCode::from(status.unwrap_or(ERROR))
}
