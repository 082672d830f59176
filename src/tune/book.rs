//! The choices that were measured, and their text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Candidate, Tuning};
use crate::activation::Activation;
use crate::caps::Caps;
use crate::context::Context;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::{Mode, Norm};
use crate::strategy::Strategy;

const FIRST_LINE: &str = "wgpu-norm tunings 1";

/// A file of more is no file of ours: each takes a second to measure.
const MOST: usize = 100_000;

/// Choices by capabilities (contexts cut down share the device of others) and problem.
#[derive(Debug, Default)]
pub(crate) struct Book(BTreeMap<(String, String), Tuning>);

impl Book {
    pub(super) fn insert(&mut self, caps: &Caps, key: String, tuning: Tuning) {
        self.0.insert((of(caps), key), tuning);
    }

    pub(super) fn get(&self, caps: &Caps, key: &str) -> Tuning {
        let key = (of(caps), key.to_owned());
        self.0.get(&key).copied().unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn to_text(&self, context: &Context) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for (name, value) in identity(context) {
            let _ = writeln!(text, "{name}: {value}");
        }
        let caps = of(context.caps());
        for ((_, key), tuning) in self.0.iter().filter(|((own, _), _)| *own == caps) {
            let _ = writeln!(text, "{key} = {} {}", tuning.forward, tuning.backward);
        }
        text
    }
}

fn of(caps: &Caps) -> String {
    format!("{caps:?}")
}

/// The problem in words: everything that decides what is launched, so not eps nor the value of momentum.
pub(super) fn key(norm: &Norm, shape: &[usize], dtype: DType, mode: Mode) -> String {
    let sizes = |sizes: &[usize]| {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        sizes.join("x")
    };
    let mut key = format!("{} {}", norm.name(), sizes(shape));
    match norm {
        Norm::Group(norm) => {
            let _ = write!(key, " num_groups {}", norm.num_groups);
        }
        Norm::Layer(_) | Norm::Rms(_) => {
            let _ = write!(key, " normalized_shape {}", sizes(&norm.parameter_shape()));
        }
        _ => {}
    }
    match (norm, norm.channel_dimension(shape.len())) {
        (Norm::Layer(_) | Norm::Rms(_), Some(_)) => key.push_str(" channels_first"),
        (_, Some(1) | None) => {}
        _ => key.push_str(" channels_last"),
    }
    if let Some(samples) = norm.virtual_batch_size() {
        let _ = write!(key, " virtual_batch_size {samples}");
    }
    if dtype != DType::F32 {
        let _ = write!(key, " {}", dtype.name());
    }
    if norm.activation() != Activation::None {
        let _ = write!(key, " {}", norm.activation().name());
    }
    for (is, word) in [
        (norm.has_weight(), "weight"),
        (norm.has_bias(), "bias"),
        (norm.per_sample(), "per_sample"),
        (norm.zero_centered_weight(), "zero_centered_weight"),
        (norm.tracks_running_stats(), "track_running_stats"),
        (mode.batch_statistics, "batch_statistics"),
        (mode.update_running, "update_running"),
    ] {
        if is {
            key.push(' ');
            key.push_str(word);
        }
    }
    key
}

/// What must be the same for times to be the same, by name.
fn identity(context: &Context) -> [(&'static str, String); 5] {
    let info = context.adapter_info();
    // A line each, whatever the driver calls itself.
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("adapter", line(&info.name)),
        (
            "driver",
            line(&format!("{} {}", info.driver, info.driver_info)),
        ),
        ("backend", info.backend.to_string()),
        ("capabilities", of(context.caps())),
    ]
}

/// The choices of a text for the device of `context`.
pub(super) fn parse(context: &Context, text: &str) -> Result<Vec<(String, Tuning)>> {
    let mut lines = text.lines().zip(1..);
    let mut next = |expected: &str| {
        let line = lines.next();
        line.ok_or_else(|| malformed(0, format!("it ends where {expected} is expected")))
    };
    let (first, _) = next("the first line")?;
    if first != FIRST_LINE {
        return Err(malformed(1, format!("expected {FIRST_LINE:?}")));
    }
    for (name, own) in identity(context) {
        let (line, number) = next(name)?;
        let theirs = line
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(": "));
        let theirs = theirs.ok_or_else(|| malformed(number, format!("expected {name:?}")))?;
        if theirs != own {
            return Err(Error::ForeignTunings {
                what: name,
                expected: own,
                got: theirs.chars().take(500).collect(),
            });
        }
    }
    let choices = lines
        .take(MOST + 1)
        .map(|(line, number)| choice(line).map_err(|reason| malformed(number, reason.to_owned())));
    let choices = choices.collect::<Result<Vec<_>>>()?;
    if choices.len() > MOST {
        return Err(malformed(0, format!("more than {MOST} choices")));
    }
    Ok(choices)
}

fn choice(line: &str) -> std::result::Result<(String, Tuning), &'static str> {
    let (key, candidates) = line
        .split_once(" = ")
        .ok_or("expected a problem, \" = \", two candidates")?;
    let (forward, backward) = candidates
        .split_once(' ')
        .ok_or("expected two candidates")?;
    let tuning = Tuning {
        forward: candidate(forward)?,
        backward: candidate(backward)?,
    };
    Ok((key.to_owned(), tuning))
}

fn candidate(text: &str) -> std::result::Result<Candidate, &'static str> {
    let strategy = Strategy::ALL
        .into_iter()
        .find(|strategy| strategy.name() == text);
    match strategy {
        _ if text == "ladder" => Ok(Candidate::default()),
        Some(strategy) => Ok(Candidate::with_strategy(strategy)),
        None => Err("it has a candidate that is none"),
    }
}

/// `line` counts from 1; 0 for the whole text.
const fn malformed(line: usize, reason: String) -> Error {
    Error::Tunings { line, reason }
}
