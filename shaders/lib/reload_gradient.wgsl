// Not RESIDENT: the second pass reads input and grad_output again.

fn hold(k: u32, x_hat: Value, gradient: Value) {}

fn x_hat_again(k: u32, at: u32, centering: Centering) -> Value {
    return x_hat_at(at, centering);
}

fn gradient_again(k: u32, at: u32, x_hat: Value, cursor: Cursor, of_item: Affine) -> Value {
    return gradient_at(at, x_hat, cursor, of_item, true);
}
