//! Proof on the user's own device: a norm's passes on the GPU against [`crate::reference`] in f64.
//!
//! ```no_run
//! use wgpu_norm::{Context, LayerNorm, check};
//! # fn main() -> wgpu_norm::Result<()> {
//! let context = Context::new()?;
//! let report = check::norm(&context, LayerNorm::new(&[768]), &[32, 768])?;
//! println!("{report}");
//! assert!(report.worst() < 1e-5);
//! # Ok(())
//! # }
//! ```

mod case;
mod device;
mod double;
mod expected;
mod report;
mod run;
mod shards;

pub use case::Case;
pub(crate) use device::Tensors;
pub use device::{Results, results};
pub use report::{Report, Row};
pub use run::{compare, run};

use crate::context::Context;
use crate::error::Result;
use crate::ops::{Mode, Norm};
use crate::strategy::Strategy;

/// Compares forward and backward pass of `norm` on random inputs of `shape`, in training and evaluation, with every
/// strategy that can carry the shape.
///
/// # Errors
/// Those of [`Plan::new`](crate::Plan::new), and whatever the device reports. A wrong result is not an error but a row of the report.
pub fn norm(context: &Context, norm: impl Into<Norm>, shape: &[usize]) -> Result<Report> {
    let norm = norm.into();
    let mut report = Report::default();
    for mode in [Mode::TRAINING, Mode::EVAL] {
        let case = Case::random(&norm, mode, shape, 0)?;
        report.extend(run(context, &case)?);
        for strategy in Strategy::ALL {
            let forced = Case {
                strategy: Some(strategy),
                ..case.clone()
            };
            match run(context, &forced) {
                Ok(rows) => report.extend(rows),
                Err(crate::Error::Strategy { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(report)
}
