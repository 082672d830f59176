//! The ladder without a GPU: what the recipes of random problems on random devices touch, and whether their shaders are valid.

#[path = "../../benches/norms/cases.rs"]
#[expect(dead_code, reason = "what only the benchmarks use")]
mod cases;
mod coverage;
#[path = "../gpu/common/members.rs"]
mod members;
mod noop;
mod problems;
mod rungs;
mod scratch;
mod simulation;
mod tint;
mod variants;

/// What the benchmarks' cases return.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
