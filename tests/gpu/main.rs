//! Everything that runs on a device. One binary, one device.
//!
//! Without an adapter every test fails, with the sentence of `Error::NoAdapter`: a skip is not a pass.

mod common;

mod accuracy;
mod cache;
mod construction;
mod devices;
mod double;
mod edges;
mod errors;
mod faults;
mod fidelity;
mod half;
mod layers;
mod lengths;
mod memory;
mod observe;
mod plans;
mod properties;
mod pytorch;
mod semantics;
mod sizes;
mod slices;
mod surrounded;
mod sweep;
mod sync;
mod tuning;
mod warm;
