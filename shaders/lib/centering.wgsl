// x̂ = (x - mean) * rstd with the mean in two parts, as one subtraction and one multiply-add.

struct Centering {
    mean: f32,
    rstd: f32,
    // -mean_low * rstd
    shift: f32,
}

fn centering_of(mean: f32, mean_low: f32, rstd: f32) -> Centering {
    return Centering(mean, rstd, -mean_low * rstd);
}

fn normalized(x: Value, by: Centering) -> Value {
    return fma(x - by.mean, Value(by.rstd), Value(by.shift));
}
