// x̂ = (x - mean) * rstd with the mean in two parts, as one subtraction and one multiply-add.

struct Centering {
    mean: Moment,
    rstd: Moment,
    // -mean_low * rstd
    shift: Moment,
}

fn centering_of(mean: Moment, mean_low: Moment, rstd: Moment) -> Centering {
    return Centering(mean, rstd, -mean_low * rstd);
}

fn normalized(x: Value, by: Centering) -> Value {
    if (!CENTERED) {
        return x * by.rstd;
    }
    return fma(x - by.mean, Value(by.rstd), Value(by.shift));
}
