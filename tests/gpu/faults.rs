//! What goes wrong around a correct pass: poisoned values, threads, lost devices, foreign tensors, things dropped early,
//! and loops long enough to show a leak.

mod dropped;
mod foreign;
mod long_run;
mod lost;
mod poison;
mod threads;

use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use wgpu_norm::Context;

/// A device of the test's own: to be lost, or to be compiled for anew.
fn new_context() -> Context {
    crate::common::new_context()
}

/// The caller's device: no callback tells this crate of its loss, and every error that is not an `Err` ends the test.
fn lent_context() -> Context {
    let own = new_context();
    let handler = |error: wgpu::Error| panic!("uncaptured: {error}");
    own.device()
        .on_uncaptured_error(std::sync::Arc::new(handler));
    Context::from_wgpu(own.device().clone(), own.queue().clone()).unwrap()
}

/// Ends the process with a message if `run` hangs: a test that waits for ever says nothing.
fn within<T>(seconds: u64, name: &'static str, run: impl FnOnce() -> T) -> T {
    let (done, waits) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let waited = waits.recv_timeout(Duration::from_secs(seconds));
        if waited == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs: not done after {seconds} s");
            std::process::abort();
        }
    });
    let result = run();
    drop(done);
    watchdog.join().unwrap();
    result
}

/// Whether this process runs `test` alone. If not, starts one that does, and fails if that one does.
fn alone(test: &str) -> bool {
    const INNER: &str = "WGPU_NORM_TEST_ALONE";
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env(INNER, "1");
    let output = output.output().unwrap();
    let [text, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "{text}");
    print!("{text}");
    false
}
