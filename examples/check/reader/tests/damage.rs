//! Files that are not what a writer writes.

use super::super::parse;
use super::{BATCH, error, file, full};

/// A file from the text of its header, whatever that is.
fn raw(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn refuses_sizes_that_overflow() {
    let tensor = |dtype: &str, shape: &str, start: &str, end: &str| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    let input = |shape: &str, end: &str| {
        let input = tensor("F32", shape, "0", end);
        raw(
            &format!(r#"{{"__metadata__":{{"op":"batch_norm"}},"input":{input}}}"#),
            0,
        )
    };
    for shape in [
        "[9223372036854775808,2]",
        "[0,18446744073709551615]",
        "[100000000000000,100000000000000]",
        "[-3,2]",
        "[1e3,2]",
        "[3,2]",
    ] {
        for end in ["0", "24", "18446744073709551615"] {
            error(parse(&input(shape, end)));
        }
    }
    // Bytes that add up to 2⁶⁴: offsets whose sum with the header wraps around to the length of the file.
    let eighth = "2305843009213693951";
    let mut header = String::from("{");
    for k in 0..9u64 {
        let (start, end) = (
            k.wrapping_mul((1 << 61) - 1),
            (k + 1).wrapping_mul((1 << 61) - 1),
        );
        let part = tensor(
            "U8",
            &format!("[{eighth}]"),
            &start.to_string(),
            &end.to_string(),
        );
        header.push_str(&format!(r#""t{k}":{part},"#));
    }
    let header = header.trim_end_matches(',').to_owned() + "}";
    assert!(error(parse(&raw(&header, 0))).contains("digits"));
    // No elements, but rows that cannot be counted.
    let rows = tensor("F32", "[0,100000000,100000000,100000000]", "0", "0");
    let layer = r#""op":"layer_norm","normalized_shape":"100000000,100000000,100000000""#;
    let bytes = raw(
        &format!(r#"{{"__metadata__":{{{layer}}},"input":{rows}}}"#),
        0,
    );
    assert!(error(parse(&bytes)).contains("too many"));
}

#[test]
fn refuses_every_truncation_and_every_lie_about_the_header() {
    let whole = file(&[BATCH], &full());
    assert!(parse(&whole).is_ok());
    for length in 0..whole.len() {
        error(parse(&whole[..length]));
    }
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap());
    for lie in [
        0,
        1,
        header - 1,
        header + 1,
        header + 8,
        1 << 32,
        1 << 63,
        u64::MAX,
    ] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&lie.to_le_bytes());
        error(parse(&bytes));
    }
    error(parse(&[whole.clone(), vec![0]].concat()));
    for header in [
        "",
        "{",
        "[]",
        "null",
        "\"",
        "{}",
        "{\"input\":1}",
        &"[".repeat(100_000),
    ] {
        error(parse(&raw(header, 0)));
    }
}

#[test]
fn never_panics_on_changed_bytes() {
    let whole = file(&[BATCH, ("eps", "1e-3"), ("num_groups", "2")], &full());
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    // SplitMix64, seeded: the same changes every time.
    let mut state = 7u64;
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)) % below as u64) as usize
    };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(3) {
            let place = random(header);
            // Half of them digits and signs that JSON knows: these get past its parser.
            let known = b"0123456789,:[]{}\"-e.";
            bytes[place] = match random(2) {
                0 => known[random(known.len())],
                _ => random(256) as u8,
            };
        }
        match parse(&bytes) {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 100 && refused > 1000, "{accepted} {refused}");
}
