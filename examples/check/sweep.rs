//! Every norm, pass, mode, strategy, ladder and feature on random numbers against the reference in f64.

use std::io::{self, Write};
use std::time::Instant;

use wgpu_norm::check::{self, Case, Row};
use wgpu_norm::{Activation, Context, DType, Error, Mode, Norm, Result, Strategy};

use crate::shapes::{self, Sized};
use crate::{FAILED, SUCCESS, TOLERANCE, device};

/// What is added to the input, whose standard deviation is 1.
const OFFSETS: [f32; 4] = [0.0, 1e2, -1e4, 1e6];

/// How a norm is run.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// By the ladder's own choice, all shapes.
    Ladder,
    Forced(Strategy),
    /// As input and output of 16 bits.
    Stored(DType),
    /// With a residual and an activation.
    Surrounded,
    /// With the second derivative.
    Second,
    /// Batch norm over shards, one of them empty.
    Shards,
}

const WAYS: [(&str, Way); 9] = [
    ("ladder", Way::Ladder),
    ("resident", Way::Forced(Strategy::Resident)),
    ("looped", Way::Forced(Strategy::Looped)),
    ("split", Way::Forced(Strategy::Split)),
    ("f16", Way::Stored(DType::F16)),
    ("bf16", Way::Stored(DType::BF16)),
    ("silu+residual", Way::Surrounded),
    ("2nd derivative", Way::Second),
    ("3 shards", Way::Shards),
];

impl Way {
    /// Whether it makes sense.
    fn is_for(self, norm: &str, mode: Mode) -> bool {
        !matches!(self, Self::Shards) || norm == "batch_norm" && mode.batch_statistics
    }

    fn shapes(self, all: &[Sized]) -> &[Sized] {
        match self {
            Self::Ladder => all,
            _ => &all[..shapes::EVERY_WAY],
        }
    }

    /// Inputs of 16 bits are not exact far from 0, and running statistics far from the input are no business of the two-part mean.
    fn offsets(self, norm: &Norm, mode: Mode) -> &'static [f32] {
        let exact = !matches!(self, Self::Stored(_)) && norm.uses_batch_statistics(mode);
        if exact { &OFFSETS } else { &OFFSETS[..1] }
    }

    fn case(self, norm: &Norm, mode: Mode, shape: &[usize], seed: u64) -> Result<Case> {
        let norm = match self {
            Self::Surrounded => norm.clone().with_activation(Activation::Silu),
            _ => norm.clone(),
        };
        let mut case = Case::random(&norm, mode, shape, seed)?;
        Ok(match self {
            Self::Ladder => case,
            Self::Forced(strategy) => {
                case.strategy = Some(strategy);
                case
            }
            Self::Stored(dtype) => case.with_dtype(dtype),
            Self::Surrounded => case.with_residual(),
            Self::Second => case.with_second_derivative(),
            Self::Shards => {
                let first = shape[0] / 2;
                case.with_ranks(&[first, 0, shape[0] - first])
            }
        })
    }
}

/// Failures that are printed one by one; a broken device has thousands.
const MOST_PRINTED: usize = 20;

/// What was found so far.
#[derive(Default)]
struct Findings {
    runs: usize,
    failures: Vec<String>,
    /// The worst error of a driver that undoes the two-part mean, and the offset.
    undone_mean: Option<(f64, f32)>,
}

/// One line of the table: a norm in one mode, run in one way on one ladder.
#[derive(Default)]
struct Cell {
    runs: usize,
    /// The worst row, with the shape and the offset.
    worst: Option<(Row, String)>,
    /// By offset, of the tensors that the mean goes into.
    errors: [f64; OFFSETS.len()],
    failures: Vec<String>,
}

/// Prints device, table and verdict; returns the exit status.
pub(crate) fn run(context: &Context, out: &mut impl Write) -> io::Result<u8> {
    let start = Instant::now();
    device::describe(context, out)?;
    writeln!(out, "\n(ladder: whose rungs are used; * this device's own)")?;
    writeln!(
        out,
        "norm           mode      how            ladder               runs    worst error"
    )?;
    let mut findings = Findings::default();
    for (ladder, device) in device::ladders(context) {
        match device {
            Ok(device) => sweep(&device, &ladder, &mut findings, out)?,
            Err(error) => findings.failures.push(format!("{ladder}: {error}")),
        }
    }
    let (count, seconds) = (findings.runs, start.elapsed().as_secs_f64());
    let pipelines = context.pipeline_count();
    writeln!(out, "\n{count} runs, {pipelines} pipelines, {seconds:.0} s")?;
    verdict(&findings, out)
}

fn sweep(
    context: &Context,
    ladder: &str,
    findings: &mut Findings,
    out: &mut impl Write,
) -> io::Result<()> {
    for (norm, shapes) in shapes::all() {
        // Without running statistics all modes are the same.
        let tracks = shapes.iter().any(|(norm, _)| norm.tracks_running_stats());
        let modes: &[(&str, Mode)] = if tracks {
            &[("training", Mode::TRAINING), ("eval", Mode::EVAL)]
        } else {
            &[("any", Mode::TRAINING)]
        };
        for (mode_name, mode) in modes {
            for (way_name, way) in WAYS {
                if !way.is_for(norm, *mode) {
                    continue;
                }
                let cell = Cell::run(context, way.shapes(&shapes), *mode, way);
                let name = format!("{norm:14} {mode_name:9} {way_name:14} {ladder:20}");
                cell.print(&name, out)?;
                findings.add(&name, norm, cell);
            }
        }
    }
    Ok(())
}

impl Cell {
    fn run(context: &Context, sized: &[Sized], mode: Mode, way: Way) -> Self {
        let mut cell = Self::default();
        for (seed, (norm, shape)) in sized.iter().enumerate() {
            let offsets = way.offsets(norm, mode).iter().enumerate();
            for (k, &offset) in offsets {
                let place = format!("{shape:?} at offset {offset}");
                let case = way.case(norm, mode, shape, seed as u64);
                let report = case.and_then(|case| check::run(context, &case.offset(offset)));
                match report {
                    Ok(report) => cell.add(report.rows, k, &place),
                    Err(Error::Strategy { .. }) if matches!(way, Way::Forced(_)) => {}
                    Err(error) => cell.failures.push(format!("{place}: {error}")),
                }
            }
        }
        cell
    }

    fn add(&mut self, rows: Vec<Row>, offset: usize, place: &str) {
        self.runs += 1;
        for row in rows {
            if matches!(row.tensor, "output" | "grad_input" | "grad_weight") {
                self.errors[offset] = self.errors[offset].max(row.error);
            }
            if !within(row.error) {
                let (error, tensor) = (row.error, row.tensor);
                self.failures.push(format!("{error:.1e} {tensor} {place}"));
            }
            let is_worse = |(worst, _): &(Row, String)| row.error > worst.error;
            if self.worst.as_ref().is_none_or(is_worse) {
                self.worst = Some((row, place.to_owned()));
            }
        }
    }

    fn print(&self, name: &str, out: &mut impl Write) -> io::Result<()> {
        let mark = if self.failures.is_empty() { "" } else { "FAIL" };
        let runs = self.runs;
        match &self.worst {
            Some((row, place)) => {
                let Row { error, tensor, .. } = row;
                writeln!(
                    out,
                    "{name} {runs:4} {mark:4} {error:7.1e} {tensor:12} {place}"
                )
            }
            None => writeln!(out, "{name} {runs:4} {mark:4} carries none of the shapes"),
        }
    }
}

impl Findings {
    fn add(&mut self, name: &str, norm: &str, cell: Cell) {
        self.runs += cell.runs;
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let named = cell.failures.iter().map(|text| format!("{name}: {text}"));
        self.failures.extend(named);
        // RMS norm has no mean.
        let undone = undone_mean(&cell.errors).filter(|_| norm != "rms_norm");
        if let Some(undone) = undone
            && self.undone_mean.is_none_or(|worst| undone.0 > worst.0)
        {
            self.undone_mean = Some(undone);
        }
    }
}

fn within(error: f64) -> bool {
    error <= TOLERANCE
}

/// The error and the offset, if errors are those of a mean kept in one f32: 2⁻²⁴ of the offset, none without one.
fn undone_mean(errors: &[f64; OFFSETS.len()]) -> Option<(f64, f32)> {
    let [none, _, thousands, millions] = *errors;
    let grows = within(none) && !within(millions) && millions > 10.0 * thousands;
    (grows && millions.is_finite()).then_some((millions, OFFSETS[3]))
}

fn verdict(findings: &Findings, out: &mut impl Write) -> io::Result<u8> {
    if let Some((error, offset)) = findings.undone_mean {
        writeln!(
            out,
            "this driver's compiler undoes the two-part mean: error {error:.1e} at offset {offset}"
        )?;
    }
    let count = findings.failures.len();
    for failure in findings.failures.iter().take(MOST_PRINTED) {
        writeln!(out, "FAIL {failure}")?;
    }
    if count > MOST_PRINTED {
        writeln!(out, "... and {} more", count - MOST_PRINTED)?;
    }
    if count > 0 {
        writeln!(
            out,
            "FAIL: {count} results over {TOLERANCE:.0e} or not there"
        )?;
        return Ok(FAILED);
    }
    writeln!(out, "ok: every result is within {TOLERANCE:.0e}")?;
    Ok(SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::undone_mean;

    #[test]
    fn only_an_error_that_grows_with_the_offset_is_blamed_on_the_mean() {
        assert_eq!(undone_mean(&[1e-7, 1e-7, 2e-7, 1e-7]), None);
        // PyTorch's f32, whose mean is one number.
        let grown = undone_mean(&[8e-8, 6.7e-6, 3.6e-4, 6e-2]);
        assert_eq!(grown, Some((6e-2, 1e6)));
        assert_eq!(undone_mean(&[0.3, 0.3, 0.3, 0.3]), None);
        assert_eq!(undone_mean(&[1e-7, 1e-7, 1e-7, f64::INFINITY]), None);
    }
}
