use super::case::Case;
use super::device::results;
use super::expected::Expected;
use super::report::{Report, Row};
use crate::activation::Activation;
use crate::context::Context;
use crate::error::Result;

/// Runs `case` on the GPU and in f64 and compares all results.
///
/// At 0, where the derivative of `relu` and `leaky_relu` jumps, a rounding error decides for one side: `grad_output` counts as 0 where
/// what such an activation is applied to is within rounding errors of 0.
///
/// # Errors
/// Those of [`results`]. A wrong result is not an error but a row of the report.
pub fn run(context: &Context, case: &Case) -> Result<Report> {
    let case = &Expected::away_from_jumps(case)?;
    let got = results(context, case)?;
    let want = Expected::new(case)?;
    let name = name(case);
    let rows = want.tensors.iter().map(|(&tensor, values)| {
        let got = got.get(tensor).map_or(&[][..], Vec::as_slice);
        Row::new(name.clone(), tensor, got, values, want.scale(tensor))
    });
    Ok(Report {
        rows: rows.collect(),
    })
}

/// What was run, in words.
fn name(case: &Case) -> String {
    let strategy = case.strategy.map_or("ladder", |strategy| strategy.name());
    let mode = if case.mode.batch_statistics {
        "training"
    } else {
        "eval"
    };
    let mut name = format!("{} {:?} {mode} {strategy}", case.norm.name(), case.shape);
    if case.norm.activation() != Activation::None {
        name.push(' ');
        name.push_str(case.norm.activation().name());
    }
    if case.residual.is_some() {
        name.push_str(" residual");
    }
    name
}
