//! The summary after a run, from the medians that criterion has saved.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::cases::{Pass, Problem};
use super::gpu::FirstUse;
use super::machine::{self, Machine};
use super::{chart, host};
use crate::Result;

/// What there is of one pass on one shape; times are medians in seconds.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) op: &'static str,
    pub(crate) pass: Pass,
    pub(crate) shape: String,
    /// It stands in the chart.
    pub(crate) is_plain: bool,
    bytes: u64,
    gpu: Option<f64>,
    copy: Option<f64>,
    cpu: Option<f64>,
    share_of_copy: Option<f64>,
    share_of_twin: Option<f64>,
}

impl Row {
    fn gigabytes_per_second(&self) -> Option<f64> {
        self.gpu.map(|seconds| self.bytes as f64 / seconds / 1e9)
    }

    /// Of the speed of a copy of as many bytes: the median of pairs that ran one after the other.
    pub(crate) const fn share_of_copy(&self) -> Option<f64> {
        self.share_of_copy
    }

    fn times_cpu(&self) -> Option<f64> {
        Some(self.cpu? / self.gpu?)
    }
}

/// What is measured beside the times that criterion takes.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) first_uses: Vec<FirstUse>,
    /// Shares of the speed of a copy, sample by sample.
    of_copy: HashMap<String, Vec<f64>>,
    /// Of that of the same groups where the elements of each are neighbours.
    of_twin: HashMap<String, Vec<f64>>,
}

impl Beside {
    pub(crate) fn share_of_copy(&mut self, problem: &Problem, pass: Pass, share: f64) {
        let shares = self.of_copy.entry(key(problem, pass)).or_default();
        shares.push(share);
    }

    pub(crate) fn share_of_twin(&mut self, problem: &Problem, pass: Pass, share: f64) {
        let shares = self.of_twin.entry(key(problem, pass)).or_default();
        shares.push(share);
    }
}

fn median_of(shares: Option<&Vec<f64>>) -> Option<f64> {
    let mut shares = shares?.clone();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied()
}

fn key(problem: &Problem, pass: Pass) -> String {
    format!("{}/{}", problem.group(pass), problem.size_name())
}

/// Where criterion saves, and since when.
#[derive(Debug)]
pub(crate) struct Saved {
    folder: PathBuf,
    since: SystemTime,
}

impl Saved {
    /// Into the folder that `CRITERION_HOME` names, or `criterion` beside the builds.
    pub(crate) fn from_now() -> Self {
        let usual = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion");
        let home = std::env::var_os("CRITERION_HOME");
        Self {
            folder: home.map_or_else(usual, PathBuf::from),
            since: SystemTime::now(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The median in seconds, if it was measured in this run.
    fn median(&self, group: &str, function: &str, parameter: &str) -> Result<Option<f64>> {
        // As criterion makes names of files.
        let folder = self.folder.join(group.replace('/', "_"));
        let folder = folder.join(function).join(parameter.replace('/', "_"));
        let file = folder.join("new/estimates.json");
        let modified = fs::metadata(&file).and_then(|metadata| metadata.modified());
        if !modified.is_ok_and(|modified| modified >= self.since) {
            return Ok(None);
        }
        let estimates: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
        let nanoseconds = estimates["median"]["point_estimate"].as_f64();
        let missing = || format!("{}: no median", file.display());
        Ok(Some(nanoseconds.ok_or_else(missing)? * 1e-9))
    }

    fn rows(&self, problems: &[Problem], beside: &Beside) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for problem in problems {
            for &pass in problem.passes() {
                let shape = problem.size_name();
                let median = |what| self.median(&problem.group(pass), &shape, what);
                let row = Row {
                    op: problem.norm.name(),
                    pass,
                    bytes: pass.bytes(problem),
                    gpu: median("gpu")?,
                    copy: median("copy")?,
                    cpu: median("cpu")?,
                    share_of_copy: median_of(beside.of_copy.get(&key(problem, pass))),
                    share_of_twin: median_of(beside.of_twin.get(&key(problem, pass))),
                    is_plain: problem.is_plain(),
                    shape,
                };
                if row.gpu.or(row.copy).or(row.cpu).is_some() {
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }
}

/// Prints tables, and writes `summary.csv` and, if anything was compared with a copy, `summary.svg`.
pub(crate) fn write(
    saved: &Saved,
    machine: &Machine,
    problems: &[Problem],
    recorded: &[Problem],
    beside: &Beside,
) -> Result<()> {
    let rows = saved.rows(problems, beside)?;
    let host = host_lines(saved, recorded)?;
    if rows.is_empty() && host.is_empty() {
        return Ok(());
    }
    println!("\n{}, {}", machine.device(), machine::date());
    println!("{}", machine.method());
    if !host.is_empty() {
        println!("\n{:55} {:>9}", "recording, processor time", "µs");
        println!("{}", host.join("\n"));
    }
    print_first_uses(&beside.first_uses);
    if rows.is_empty() {
        return Ok(());
    }
    print_rows(&rows);
    let file = saved.folder.join("summary.csv");
    fs::write(&file, csv(&rows, machine))?;
    println!("\nwritten: {}", file.display());
    if rows.iter().any(|row| row.share_of_copy().is_some()) {
        let file = saved.folder.join("summary.svg");
        fs::write(&file, chart::draw(&rows, machine)?)?;
        println!("written: {}", file.display());
    }
    Ok(())
}

fn print_rows(rows: &[Row]) {
    println!(
        "\n{:13} {:15} {:>28} {:>9} {:>8} {:>9} {:>7} {:>9}",
        "op", "pass", "shape", "ms", "GB/s", "% of copy", "× cpu", "% of twin"
    );
    for row in rows {
        println!(
            "{:13} {:15} {:>28} {:>9} {:>8} {:>9} {:>7} {:>9}",
            row.op,
            row.pass.name(),
            row.shape,
            number(row.gpu.map(|seconds| seconds * 1e3), 3),
            number(row.gigabytes_per_second(), 1),
            number(row.share_of_copy().map(|share| share * 100.0), 0),
            number(row.times_cpu(), 2),
            number(row.share_of_twin.map(|share| share * 100.0), 0),
        );
    }
}

fn host_lines(saved: &Saved, recorded: &[Problem]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (level, passes, name) in recorded.iter().flat_map(host::names) {
        if let Some(seconds) = saved.median(level, passes, &name)? {
            let name = format!("{level}/{passes}/{name}");
            lines.push(format!("{name:55} {:>9.2}", seconds * 1e6));
        }
    }
    Ok(lines)
}

fn print_first_uses(first_uses: &[FirstUse]) {
    if first_uses.is_empty() {
        return;
    }
    println!(
        "\nfirst use of a plan: recorded, compiled, submitted and waited for; the second for comparison"
    );
    println!(
        "{:13} {:8} {:>28} {:>9} {:>9} {:>9} {:>10} {:>9}",
        "op", "mode", "shape", "pipelines", "1st ms", "2nd ms", "warm-up ms", "then 1st"
    );
    for first_use in first_uses {
        let ms = |time: Option<Duration>| {
            time.map_or_else(String::new, |time| {
                format!("{:.1}", time.as_secs_f64() * 1e3)
            })
        };
        let warmed_up = first_use.warmed_up.as_ref();
        println!(
            "{:13} {:8} {:>28} {:>9} {:>9} {:>9} {:>10} {:>9}",
            first_use.name,
            first_use.mode,
            first_use.shape,
            first_use.pipelines,
            ms(Some(first_use.first)),
            ms(Some(first_use.second)),
            ms(warmed_up.map(|warmed_up| warmed_up.warm_up)),
            ms(warmed_up.map(|warmed_up| warmed_up.first)),
        );
    }
}

fn csv(rows: &[Row], machine: &Machine) -> String {
    let mut csv =
        "op,pass,shape,ms,gb_per_s,share_of_copy,times_cpu,share_of_twin,copy_ms,cpu_ms,date,device\n".to_owned();
    let device = machine.device().replace('"', "'");
    for row in rows {
        let milliseconds = |seconds: Option<f64>| cell(seconds.map(|seconds| seconds * 1e3));
        let fields = [
            row.op.to_owned(),
            row.pass.name().to_owned(),
            row.shape.clone(),
            milliseconds(row.gpu),
            cell(row.gigabytes_per_second()),
            cell(row.share_of_copy()),
            cell(row.times_cpu()),
            cell(row.share_of_twin),
            milliseconds(row.copy),
            milliseconds(row.cpu),
            machine::date(),
            format!("\"{device}\""),
        ];
        csv += &fields.join(",");
        csv.push('\n');
    }
    csv
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.5}"))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}
