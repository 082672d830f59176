// A residual is added before the norm, or after weight and bias; an activation comes last.

fn incoming(at: u32) -> Value {
    if (!RESIDUAL_BEFORE) {
        return load_input(at);
    }
    let sum = load_input(at) + load_residual(at);
    store_residual_output(at, sum);
    return sum;
}

// What this lane wrote, which may lie over what it read.
fn incoming_again(at: u32) -> Value {
    if (!RESIDUAL_BEFORE) {
        return load_input(at);
    }
    return load_residual_output(at);
}

fn finished(at: u32, y: Value) -> Value {
    if (RESIDUAL_AFTER) {
        return activate(y + load_residual(at));
    }
    return activate(y);
}
