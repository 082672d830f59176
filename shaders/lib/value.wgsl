// Numbers: a Value is VECTOR neighbouring elements.

// The same number, through an integer operation that no compiler can see through: `params.zero` is 0.
// WGSL allows a + b - a to become b; the low parts below depend on its rounding.
fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
}
