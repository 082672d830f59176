// Mean and variance: the only place where they are computed.
//
// A mean is kept as high + low, two f32: x - high is exact for x near it, so that statistics and outputs stay accurate
// at any offset (a mean in one f32 is off by 2^-24 |mean|, which can be many standard deviations).
// Squares are kept in units of scale², a power of two near the largest distance, so that they neither overflow nor vanish.

// A set of elements: mean = high + low; the sum of squared distances from it is m2 * scale².
// Without CENTERED (RMS norm): mean 0, and the sum of squares.
struct Partial {
    count: f32,
    high: Item,
    low: Item,
    m2: Item,
    scale: Item,
}

// high takes all of the mean that f32 can hold.
fn renormalized(count: f32, high: Item, low: Item, m2: Item, scale: Item) -> Partial {
    let mean = opaque(high + low);
    return Partial(count, mean, (high - mean) + low, m2, scale);
}

// The power of two just below x, from 2^-126 to 2^126.
fn scale_of(x: Item) -> Item {
    return bitcast<Item>(clamp(bitcast<Bits>(x) & Bits(0x7f800000u), Bits(1u << 23u), Bits(253u << 23u)));
}

// 1 / scale, exactly.
fn inverse(scale: Item) -> Item {
    return bitcast<Item>(Bits(254u << 23u) - bitcast<Bits>(scale));
}

// Chan, Golub and LeVeque's rule for the union of two sets.
fn merge(a: Partial, b: Partial) -> Partial {
    if (a.count == 0.0) {
        return b;
    }
    if (b.count == 0.0) {
        return a;
    }
    let count = a.count + b.count;
    let share = b.count / count;
    let delta = opaque(b.high - a.high) + (b.low - a.low);
    let scale = max(max(a.scale, b.scale), scale_of(delta));
    let unit = inverse(scale);
    let a_unit = a.scale * unit;
    let b_unit = b.scale * unit;
    let d = delta * unit;
    let m2 = a.m2 * a_unit * a_unit + b.m2 * b_unit * b_unit + d * d * (a.count * share);
    return renormalized(count, a.high, a.low + delta * share, m2, scale);
}
