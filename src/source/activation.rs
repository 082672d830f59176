//! The text of an activation, and the constants that say what surrounds the norm.

use super::{Variant, text};
use crate::activation::Activation;
use crate::kernel::{Kernel, Slot};

const FILE: &str = include_str!("../../shaders/lib/activation.wgsl");

/// The parts of the file that an activation needs.
const fn sections(activation: Activation) -> &'static [&'static str] {
    match activation {
        Activation::None => &["none"],
        Activation::Relu => &["or_nan", "relu"],
        Activation::LeakyRelu(_) => &["or_nan", "leaky_relu"],
        Activation::Silu => &["or_nan", "exponential", "sigmoids", "silu"],
        Activation::Gelu => &["or_nan", "exponential", "gelu"],
        Activation::GeluTanh => &["or_nan", "exponential", "sigmoids", "gelu_tanh"],
        Activation::Sigmoid => &["or_nan", "exponential", "sigmoids", "sigmoid"],
        Activation::Tanh => &["or_nan", "exponential", "tanh"],
    }
}

/// For variants with an activation or a residual.
pub(super) fn text(kernel: Kernel, variant: &Variant) -> String {
    let exponent = if variant.vector == 1 { "i32" } else { "vec4i" };
    let has = |slot| variant.optional.contains(slot);
    let switches = [
        ("RESIDUAL_BEFORE", has(Slot::ResidualOutput)),
        (
            "RESIDUAL_AFTER",
            has(Slot::Residual) && !has(Slot::ResidualOutput),
        ),
        (
            "GRADIENT_WRITTEN",
            kernel == Kernel::GradInputGroups && has(Slot::GradResidual),
        ),
    ];
    let mut text = format!("alias Exponent = {exponent};\n");
    if let Activation::LeakyRelu(slope) = variant.activation {
        text += &format!("const NEGATIVE_SLOPE: f32 = {:e}f;\n", slope as f32);
    }
    for (name, value) in switches {
        text += &format!("const {name}: bool = {value};\n");
    }
    for name in sections(variant.activation) {
        text += text::section(FILE, name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_is_there() {
        for activation in Activation::ALL {
            for name in sections(activation) {
                assert!(text::section(FILE, name).contains("fn "), "{name}");
            }
        }
    }
}
