// x̂ of a vector, from the input.

fn x_hat_at(at: u32, by: Centering) -> Value {
    return normalized(load_input(at), by);
}
