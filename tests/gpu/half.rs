//! Data of 16 bits: f16 where the device has it, f16 packed in words, bf16.

mod conversions;
mod memory;
mod passes;

use wgpu_norm::{Caps, Context, DType};

use crate::common::new_context;

/// The types of 16 bits.
const TYPES: [DType; 2] = [DType::F16, DType::BF16];

/// A type and a device that stores it its own way: f16 as such and packed, bf16.
fn storages() -> Vec<(DType, Context)> {
    let context = new_context();
    let own = *context.caps();
    let packed = Caps {
        shader_f16: false,
        ..own
    };
    let mut storages = vec![
        (DType::F16, context.with_caps(packed).unwrap()),
        (DType::BF16, context.clone()),
    ];
    if own.shader_f16 {
        storages.push((DType::F16, context));
    }
    storages
}
