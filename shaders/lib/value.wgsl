// Numbers: a Value is VECTOR neighbouring elements.

// The same number, through an integer operation that no compiler can see through: `params.zero` is 0.
// WGSL allows a + b - a to become b; the low parts below depend on its rounding.
fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
}

// The text of a loop over HELD is repeated HELD times before it is compiled (`unrolled` in src/source/text.rs), so that what is indexed by
// it can be in registers.
