use std::collections::BTreeMap;

use super::case::Case;
use super::device::{Results, results};
use super::expected::Expected;
use super::report::{Report, Row};
use crate::activation::Activation;
use crate::context::Context;
use crate::dtype::DType;
use crate::error::Result;

/// Runs `case` on the GPU and in f64 and compares all results.
///
/// At 0, where the derivative of `relu` and `leaky_relu` jumps, a rounding error decides for one side: `grad_output` counts as 0 where
/// what such an activation is applied to is within rounding errors of 0.
///
/// # Errors
/// Those of [`results`]. A wrong result is not an error but a row of the report.
pub fn run(context: &Context, case: &Case) -> Result<Report> {
    let case = &case.clone().with_dtype(case.dtype);
    let case = &Expected::away_from_jumps(case)?;
    let got = results(context, case)?;
    let expected = Expected::new(case)?;
    Ok(rows(case, &expected, &got, &expected.tensors))
}

/// Compares what [`results`] gave for `case` with what somebody else expects, by name: as [`run`] does with its own expectations.
///
/// A tensor of 16 bits is right where each element is within one unit in the last place of what is expected, apart from errors of f32.
/// Layer and RMS norm with a residual compute gradients from the stored sum: an error that rounding this sum to 16 bits explains is none.
///
/// # Errors
/// Those of the reference, which gives the size that errors are relative to.
pub fn compare(
    case: &Case,
    got: &Results,
    want: &BTreeMap<&'static str, Vec<f64>>,
) -> Result<Report> {
    let expected = Expected::new(case)?.of_exact_sum();
    Ok(rows(case, &expected, got, want))
}

fn rows(
    case: &Case,
    expected: &Expected,
    got: &Results,
    want: &BTreeMap<&'static str, Vec<f64>>,
) -> Report {
    let name = name(case);
    let rows = want.iter().map(|(&tensor, values)| {
        let got = got.get(tensor).map_or(&[][..], Vec::as_slice);
        Row::within(name.clone(), tensor, got, values, expected.bound(tensor))
    });
    Report {
        rows: rows.collect(),
    }
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
    if case.dtype != DType::F32 {
        name.push(' ');
        name.push_str(case.dtype.name());
    }
    if case.residual.is_some() {
        name.push_str(" residual");
    }
    if case.lengths.is_some() {
        name.push_str(" lengths");
    }
    if let Some(ranks) = &case.ranks {
        name.push_str(&format!(" ranks {ranks:?}"));
    }
    name
}
