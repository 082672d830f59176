//! The reader of case files, on any bytes: a case, a reason or an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

// Inline, with a folder: so that the reader finds its own modules where it does as part of the example.
#[allow(dead_code, unreachable_pub)]
#[path = "../../examples/check"]
mod check {
    pub(crate) mod reader;
}

fuzz_target!(|bytes: &[u8]| {
    let _ = check::reader::parse(bytes);
});
