// x̂ of a vector, from the input; 0 behind the end of its sample, where it may be too large for the product with a gradient of 0 to be 0.

fn x_hat_at(at: u32, by: Centering) -> Value {
    return select(Value(), normalized(load_input(at), by), valid_at(at));
}
