// RESIDENT: x̂ and grad_output (times weight) stay in registers for the second pass.

var<private> held_x_hat: array<Value, HELD>;
var<private> held_gradient: array<Value, HELD>;

fn hold(k: u32, x_hat: Value, gradient: Value) {
    held_x_hat[k] = x_hat;
    held_gradient[k] = gradient;
}

fn x_hat_again(k: u32, at: u32, centering: Centering) -> Value {
    return held_x_hat[k];
}

fn gradient_again(k: u32, at: u32, x_hat: Value, cursor: Cursor, of_item: Affine) -> Value {
    return held_gradient[k];
}
