// Data of 16 bits: exactly to f32 and, rounded to nearest even, back. By integers, since conversions of the language may round otherwise, lose
// subnormal numbers, and do anything with what is too large. Sections are picked by src/source/storage.rs; DataBits are the bits of a Value.
// At the end, vectors in words of 64 bits.

//= f16 bits
// The f16 nearest to x, in the lower half.
fn bits_of(x: Value) -> DataBits {
    let bits = bitcast<DataBits>(x);
    let magnitude = bits & DataBits(0x7fffffffu);
    // From 65,520 all is rounded to 2^16, which is the pattern of infinity.
    let held = min(magnitude, DataBits(143u << 23u));
    // The exponents of f32 begin 112 lower; a carry of the rounding goes into the exponent, as it should.
    let rounded = held - DataBits(112u << 23u) + DataBits(0xfffu) + ((held >> DataBits(13u)) & DataBits(1u));
    // Below 2^-14 f16 has multiples of 2^-24, as f32 has between 0.5 and 1: the addition rounds.
    let tiny = bitcast<DataBits>(bitcast<Value>(held) + 0.5) - DataBits(126u << 23u);
    var half = select(rounded >> DataBits(13u), tiny, held < DataBits(113u << 23u));
    half = select(half, DataBits(0x7e00u), magnitude > DataBits(0x7f800000u));
    return half | ((bits >> DataBits(16u)) & DataBits(0x8000u));
}

//= f16 value
fn value_of(bits: DataBits) -> Value {
    let magnitude = (bits & DataBits(0x7fffu)) << DataBits(13u);
    // The exponents of f32 begin 112 lower and end as much higher: infinity and NaN go to the last one.
    let special = magnitude >= DataBits(31u << 23u);
    let normal = magnitude + select(DataBits(112u << 23u), DataBits(224u << 23u), special);
    // A subnormal number is what it adds to 2^-14.
    let tiny = bitcast<Value>(magnitude + DataBits(113u << 23u)) - 0x1p-14;
    let all = select(normal, bitcast<DataBits>(tiny), magnitude < DataBits(1u << 23u));
    return bitcast<Value>(all | ((bits & DataBits(0x8000u)) << DataBits(16u)));
}

//= bf16
// The bf16 nearest to x, in the lower half. A carry out of the largest number gives the pattern of infinity.
fn bits_of(x: Value) -> DataBits {
    let bits = bitcast<DataBits>(x);
    let upper = bits >> DataBits(16u);
    let rounded = (bits + DataBits(0x7fffu) + (upper & DataBits(1u))) >> DataBits(16u);
    let is_nan = (bits & DataBits(0x7fffffffu)) > DataBits(0x7f800000u);
    return select(rounded, upper | DataBits(0x40u), is_nan);
}

fn value_of(bits: DataBits) -> Value {
    return bitcast<Value>(bits << DataBits(16u));
}

//= packed element
// Element i, in a half of its word.
fn widened(word: u32, i: u32) -> f32 {
    return value_of((word >> (16u * (i % 2u))) & 0xffffu);
}

// The bits of the word that are others where element i is x.
fn change(word: u32, i: u32, x: f32) -> u32 {
    let shift = 16u * (i % 2u);
    return (((word >> shift) ^ bits_of(x)) & 0xffffu) << shift;
}

//= packed vector
fn widened(words: vec2u) -> vec4f {
    return value_of(vec4u(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u));
}

//= stored vector
fn narrowed(x: vec4f) -> vec2u {
    let bits = bits_of(x);
    return bits.xz | (bits.yw << vec2u(16u));
}

//= native vector
fn widened(words: vec2u) -> vec4f {
    return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

//= native element
// Rounded already, so that the conversion has nothing to decide.
fn narrowed(x: f32) -> f16 {
    return f16(unpack2x16float(bits_of(x)).x);
}

//= long words
// Four numbers of 32 bits lie in two words.
fn split(word: u64) -> vec2u {
    return vec2u(u32(word), u32(word >> 32u));
}

fn joined(halves: vec2u) -> u64 {
    return u64(halves.x) | (u64(halves.y) << 32u);
}

fn vector_of(words: vec2<u64>) -> vec4f {
    return bitcast<vec4f>(vec4u(split(words.x), split(words.y)));
}

fn words_of(x: vec4f) -> vec2<u64> {
    let bits = bitcast<vec4u>(x);
    return vec2<u64>(joined(bits.xy), joined(bits.zw));
}
