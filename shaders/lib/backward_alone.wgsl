// The norm alone: nothing comes before it or after it.

fn output_gradient(at: u32, x_hat: Value, affine: Affine, again: bool) -> Value {
    return load_grad_output(at);
}

fn outgoing(at: u32, gradient: Value) -> Value {
    return gradient;
}
