// x̂ = (x - mean) * rstd with the mean in two parts, as one subtraction and one multiply-add.

struct Centering {
    mean: Item,
    rstd: Item,
    // -mean_low * rstd
    shift: Item,
}

fn centering_of(mean: Item, mean_low: Item, rstd: Item) -> Centering {
    return Centering(mean, rstd, -mean_low * rstd);
}

fn normalized(x: Value, by: Centering) -> Value {
    return fma(x - by.mean, Value(by.rstd), Value(by.shift));
}
