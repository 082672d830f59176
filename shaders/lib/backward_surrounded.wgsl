// Through the activation to what it was applied to, which is computed again. That is the gradient of a residual added there, too: the
// first launch that goes over the tensor writes it, if it is wanted, and later ones find it in the place of grad_output.

fn output_gradient(at: u32, x_hat: Value, affine: Affine, again: bool) -> Value {
    // The same launch a second time; what it wrote may lie over grad_output.
    if (again && GRADIENT_WRITTEN) {
        return load_grad_residual(at);
    }
    var gradient = load_grad_output(at);
    if (ACTIVATED) {
        gradient *= slope_of(fma(x_hat, affine.weight, affine.bias) + load_residual(at));
    }
    store_grad_residual(at, gradient);
    return gradient;
}

// The gradient of the sum of input and residual comes from two sides.
fn outgoing(at: u32, gradient: Value) -> Value {
    return gradient + load_grad_residual_output(at);
}
