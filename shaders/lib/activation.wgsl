// Activations and their slopes (derivatives), each with what it needs: `sections` in src/source/activation.rs takes the parts between
// the lines that begin with "//=". All are accurate to a few units in the last place as far as f32 reaches, and none makes a NaN of a
// number: what saturates is computed from exp(-|x|). A NaN stays one: where compilers may take a comparison and a choice for `max`, which
// drops it (those of OpenGL do), `or_nan` brings it back.

//= none
fn activate(x: Value) -> Value {
    return x;
}

fn slope_of(x: Value) -> Value {
    return Value(1.0);
}

//= or_nan
// The value of a function at x, where NaN gives NaN: told by its bits.
fn or_nan(value: Value, x: Value) -> Value {
    return select(value, x, (bitcast<Exponent>(x) & Exponent(0x7fffffff)) > Exponent(0x7f800000));
}

//= relu
fn activate(x: Value) -> Value {
    return or_nan(max(x, Value()), x);
}

fn slope_of(x: Value) -> Value {
    return or_nan(select(Value(), Value(1.0), x > Value()), x);
}

//= leaky_relu
fn activate(x: Value) -> Value {
    return select(NEGATIVE_SLOPE * x, x, x > Value());
}

fn slope_of(x: Value) -> Value {
    return or_nan(select(Value(NEGATIVE_SLOPE), Value(1.0), x > Value()), x);
}

//= exponential
// exp(high + low) for high <= 0 and |low| < 1: the reduction and the polynomial of expf in S. L. Moshier's Cephes library, as WGSL's
// exp may be off by 2 |x| units in the last place.
fn exponential(high: Value, low: Value) -> Value {
    // Here and below the result is 0.
    let x = select(high, Value(-104.0), high < Value(-104.0));
    let k = round((x + low) * 1.44269504);
    // log(2) in two parts; the first has 9 bits, so that k times it is exact.
    let r = ((x - k * 0.693359375) + low) + k * 2.12194440e-4;
    var p = fma(r, Value(1.9875691500e-4), Value(1.3981999507e-3));
    p = fma(p, r, Value(8.3334519073e-3));
    p = fma(p, r, Value(4.1665795894e-2));
    p = fma(p, r, Value(1.6666665459e-1));
    p = fma(p, r, Value(5.0000001201e-1));
    return or_nan(ldexp(fma(p, r * r, r) + 1.0, Exponent(k)), high);
}

//= sigmoids
// sigmoid(x) and sigmoid(-x) = 1 - sigmoid(x).
struct Sigmoids {
    plus: Value,
    minus: Value,
}

fn sigmoids(x: Value) -> Sigmoids {
    let e = exponential(-abs(x), Value());
    let large = 1.0 / (1.0 + e);
    let small = e * large;
    let positive = x > Value();
    return Sigmoids(select(small, large, positive), select(large, small, positive));
}

//= sigmoid
fn activate(x: Value) -> Value {
    return sigmoids(x).plus;
}

fn slope_of(x: Value) -> Value {
    let s = sigmoids(x);
    return s.plus * s.minus;
}

//= silu
fn activate(x: Value) -> Value {
    return x * sigmoids(x).plus;
}

fn slope_of(x: Value) -> Value {
    let s = sigmoids(x);
    return s.plus * fma(x, s.minus, Value(1.0));
}

//= gelu_tanh
// x / 2 * (1 + tanh(a)) = x * sigmoid(2 a), with 2 a = 2 sqrt(2 / pi) * (x + 0.044715 x³).
fn twice_argument(x: Value) -> Value {
    return x * fma(x * x, Value(0.0713548163), Value(1.5957691216));
}

// Beyond 16 the sigmoid is 0 or 1 to the last digit of f32, and x³ would overflow.
fn bounded(x: Value) -> Value {
    return select(x, select(Value(-16.0), Value(16.0), x > Value()), abs(x) > Value(16.0));
}

fn activate(x: Value) -> Value {
    return x * sigmoids(twice_argument(bounded(x))).plus;
}

fn slope_of(x: Value) -> Value {
    let b = bounded(x);
    let s = sigmoids(twice_argument(b));
    let inner = fma(b * b, Value(0.2140644488), Value(1.5957691216));
    return fma(b * inner, s.plus * s.minus, s.plus);
}

//= gelu
// Distribution function and density of the normal distribution.
struct Normal {
    below: Value,
    density: Value,
}

// The tail is t * P(t) * exp(-x² / 2) with t = 1 / (1 + 0.3 |x|), as in Abramowitz and Stegun, 7.1.26, with more terms: P was fitted
// through Chebyshev's nodes in f64, relative error 4.4e-9 up to |x| = 15. In f32 the tail is within 3 units in the last place.
fn normal(x: Value) -> Normal {
    // Here the tail is 0 in f32.
    let a = select(abs(x), Value(16.0), abs(x) > Value(16.0));
    // a² = h² + (a - h) * (a + h), and h of 12 bits has an exact square.
    let h = bitcast<Value>(bitcast<Exponent>(a) & Exponent(-4096));
    let e = exponential(-0.5 * h * h, -0.5 * (a - h) * (a + h));
    let t = 1.0 / fma(a, Value(0.3), Value(1.0));
    let w = t - 0.59090909;
    var p = fma(w, Value(-0.0209846683), Value(0.00280181295));
    p = fma(p, w, Value(0.0441920049));
    p = fma(p, w, Value(-0.0103772925));
    p = fma(p, w, Value(-0.0905736834));
    p = fma(p, w, Value(-0.00969052687));
    p = fma(p, w, Value(0.225784019));
    p = fma(p, w, Value(0.407592535));
    p = fma(p, w, Value(0.397670001));
    p = fma(p, w, Value(0.254923642));
    let tail = t * p * e;
    return Normal(select(tail, 1.0 - tail, x > Value()), e * 0.39894228);
}

fn activate(x: Value) -> Value {
    return x * normal(x).below;
}

fn slope_of(x: Value) -> Value {
    let n = normal(x);
    return fma(x, n.density, n.below);
}

//= tanh
// Near 0 the series of tanhf in Cephes, as 1 - exp(-2 |x|) cancels.
fn activate(x: Value) -> Value {
    let e = exponential(-2.0 * abs(x), Value());
    let far = (1.0 - e) / (1.0 + e);
    let z = x * x;
    var p = fma(z, Value(-5.70498872745e-3), Value(2.06390887954e-2));
    p = fma(p, z, Value(-5.37397155531e-2));
    p = fma(p, z, Value(1.33314422036e-1));
    p = fma(p, z, Value(-3.33332819422e-1));
    let near = fma(p * z, x, x);
    return select(select(-far, far, x > Value()), near, abs(x) < Value(0.625));
}

fn slope_of(x: Value) -> Value {
    let e = exponential(-2.0 * abs(x), Value());
    let d = 1.0 + e;
    return 4.0 * e / (d * d);
}
