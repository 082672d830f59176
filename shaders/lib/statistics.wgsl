// Mean and variance: the only place where they are computed.
//
// A mean is kept as high + low, two f32: x - high is exact for x near it, so that statistics and outputs stay accurate
// at any offset (a mean in one f32 is off by 2^-24 |mean|, which can be many standard deviations).

// (count, high, low, m2) of a set of elements: mean = high + low, m2 = the sum of squared distances from it.
// Without CENTERED (RMS norm): mean 0, m2 = the sum of squares.
alias Partial = vec4f;

// high takes all of the mean that f32 can hold.
fn renormalized(count: f32, high: f32, low: f32, m2: f32) -> Partial {
    let mean = opaque(high + low);
    return Partial(count, mean, (high - mean) + low, m2);
}

// Chan, Golub and LeVeque's rule for the union of two sets.
fn merge(a: Partial, b: Partial) -> Partial {
    if (a.x == 0.0) {
        return b;
    }
    if (b.x == 0.0) {
        return a;
    }
    let count = a.x + b.x;
    let share = b.x / count;
    let delta = opaque(b.y - a.y) + (b.z - a.z);
    return renormalized(count, a.y, a.z + delta * share, a.w + b.w + delta * delta * (a.x * share));
}
