#![doc = include_str!("../README.md")]

mod adapter;
mod cache;
mod caps;
pub mod check;
mod clock;
mod context;
mod error;
pub mod fold;
pub mod geometry;
pub mod kernel;
mod layer;
mod ops;
pub mod params;
mod pipeline;
mod plan;
mod readback;
pub mod recipe;
pub mod reference;
mod scope;
pub mod source;
mod state;
mod strategy;
mod tensor;
mod tune;

pub use caps::Caps;
pub use context::Context;
pub use error::{Error, Result};
pub use layer::{Forward, Gradients, Layer, Saved};
pub use ops::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm};
pub use plan::{BackwardTensors, ForwardTensors, Plan, Running, WarmUp};
pub use recipe::{Recipe, Wanted};
pub use state::State;
pub use strategy::Strategy;
pub use tensor::{DType, Tensor};
pub use tune::{Candidate, Tuned, Tuning};
pub use wgpu;
