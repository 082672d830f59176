//! The ladder without a GPU: what the recipes of random problems on random devices touch, and whether their shaders are valid.

mod coverage;
mod noop;
mod problems;
mod simulation;
mod tint;
mod variants;
mod wgsl;
