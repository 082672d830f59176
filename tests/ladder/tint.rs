//! Shader texts in browsers' form, compiled by tint, the compiler of Chromium, where it is installed.
//! It proves what naga does not: that barriers are reached by all lanes of a workgroup.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use rayon::prelude::*;
use wgpu_norm::source::{Dialect, wgsl};

use crate::variants;

#[test]
fn every_variant_compiles_in_tint() {
    if let Err(error) = Command::new("tint").arg("--help").output() {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        println!("tint is not on the PATH: nothing compiled");
        return;
    }
    let folder = std::env::temp_dir().join(format!("wgpu-norm-tint-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    // Browsers have no integers of 64 bits.
    let all = variants::tested().iter();
    let all: Vec<_> = all.filter(|(_, variant, _)| !variant.long_words).collect();
    let errors: Vec<String> = all
        .par_iter()
        .enumerate()
        .filter_map(|(k, (kernel, variant, shared))| {
            let path = folder.join(format!("{k}.wgsl"));
            std::fs::write(&path, wgsl(*kernel, variant, *shared, Dialect::Browser)).unwrap();
            compile(&path).map(|error| format!("{kernel:?} {variant:?}: {error}"))
        })
        .collect();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(errors.is_empty(), "{}: {}", errors.len(), errors[0]);
    println!("{} variants compiled", all.len());
}

/// What tint has to say against the file.
fn compile(path: &std::path::Path) -> Option<String> {
    // Parsing alone leaves out the lowering; its result goes nowhere.
    let output = Command::new("tint")
        .args(["--format", "wgsl", "-o"])
        .arg(if cfg!(windows) { "NUL" } else { "/dev/null" })
        .arg(path)
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    (!output.status.success()).then(|| {
        let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        texts.concat()
    })
}
