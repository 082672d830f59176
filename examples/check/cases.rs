//! Runs cases from files and compares the results with the expectations in them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wgpu_norm::check::{self, Results, Row};
use wgpu_norm::{Context, Error};

use crate::reader::{self, Content, FileCase, Result};
use crate::{ERROR, FAILED, SUCCESS, TOLERANCE, dump};

/// What became of a case.
enum Verdict {
    /// The worst error and its tensor.
    Passed(String),
    /// The same, or what the library said.
    Failed(String),
    /// What is lacking.
    Skipped(String),
}

/// Runs all cases, prints a line for each and returns the exit status.
pub(crate) fn run(
    context: &Context,
    paths: &[PathBuf],
    dump: Option<&Path>,
    out: &mut impl Write,
) -> io::Result<u8> {
    let [mut passed, mut failed, mut skipped, mut errors] = [0; 4];
    for path in paths {
        let files = files(path).unwrap_or_else(|error| vec![(path.clone(), Err(error))]);
        for (file, found) in files {
            let name = file.file_stem().unwrap_or(file.as_os_str());
            let name = one_line(&name.to_string_lossy());
            let verdict = found.and_then(|()| run_file(context, &file, dump));
            let (count, line) = match verdict {
                Ok(Verdict::Passed(text)) => (&mut passed, format!("ok {text}")),
                Ok(Verdict::Failed(text)) => (&mut failed, format!("FAIL {text}")),
                Ok(Verdict::Skipped(text)) => (&mut skipped, format!("skipped: {text}")),
                Err(text) => (&mut errors, format!("error: {text}")),
            };
            *count += 1;
            writeln!(out, "{name}: {}", one_line(&line))?;
        }
    }
    if errors > 0 {
        writeln!(out, "{errors} not run because of errors")?;
    }
    writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped")?;
    Ok(match (errors, failed) {
        (0, 0) => SUCCESS,
        (0, _) => FAILED,
        _ => ERROR,
    })
}

/// A file and whether it can be looked at.
type Found = (PathBuf, Result<()>);

/// The file itself, or all `*.safetensors` right in a folder, by name.
fn files(path: &Path) -> Result<Vec<Found>> {
    if !path.is_dir() {
        return Ok(vec![(path.to_owned(), Ok(()))]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| error.to_string())?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files = (entries.collect::<io::Result<Vec<_>>>()).map_err(|error| error.to_string())?;
    files.retain(|file| file.extension().is_some_and(|e| e == "safetensors"));
    if files.is_empty() {
        return Err("no *.safetensors in this folder".to_owned());
    }
    files.sort();
    Ok(files.into_iter().map(|file| (file, Ok(()))).collect())
}

/// `Err`: the file is not a valid case, or its results cannot be written.
fn run_file(context: &Context, path: &Path, dump: Option<&Path>) -> Result<Verdict> {
    let file = match reader::read(path)? {
        Content::Case(file) => file,
        Content::Beyond(lacks) => {
            let text = format!("this version lacks {lacks}");
            return Ok(Verdict::Skipped(text));
        }
    };
    let got = match check::results(context, &file.case) {
        Ok(got) => got,
        // The shape is one that the norm takes (the reader asked it), so that the limit is the device's.
        Err(error @ (Error::Limit { .. } | Error::OutOfMemory { .. })) => {
            return Ok(Verdict::Skipped(format!("this device: {error}")));
        }
        Err(error) => return Ok(Verdict::Failed(error.to_string())),
    };
    if let Some(folder) = dump {
        dump::write(folder, path, &file, &got)?;
    }
    compare(&file, &got)
}

fn compare(file: &FileCase, got: &Results) -> Result<Verdict> {
    let report = check::compare(&file.case, got, &file.expected);
    let report = report.map_err(|error| error.to_string())?;
    let Some(Row { tensor, error, .. }) = report.worst_row() else {
        return Ok(Verdict::Passed("(nothing to compare with)".to_owned()));
    };
    let text = format!("{error:.1e} ({tensor})");
    Ok(if *error <= TOLERANCE {
        Verdict::Passed(text)
    } else {
        Verdict::Failed(text)
    })
}

/// Names in a hostile file may be long and hold control characters.
fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MOST).map(printable).collect()
}
