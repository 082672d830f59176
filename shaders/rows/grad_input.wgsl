// grad_input = rstd * weight * (grad_output - mean(grad_output) - x̂ * mean(grad_output * x̂)) with the sums of columns at hand, row by row.
// With running statistics there are no sums.

var<private> held_scale: array<Value, HELD>;
var<private> held_mean: array<Value, HELD>;
var<private> held_mean_product: array<Value, HELD>;

fn run(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    hold_centering(task);
    hold_affine(task);
    hold_sums(task);
    for (var row = 0u; row < params.chunk; row += 1u) {
        grad_input_row(task_at(workgroup, row));
    }
}

fn hold_sums(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            let column = partner(cursor);
            held_scale[k] = held_centering[k].rstd * held_weight[k];
            held_mean[k] = load_sums(column) / params.count;
            held_mean_product[k] = load_sums(params.groups + column) / params.count;
            cursor = advance(cursor);
        }
    }
}

fn grad_input_row(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            let at = offset(cursor);
            var x_hat = Value();
            if (BATCH_STATISTICS || ACTIVATED) {
                x_hat = normalized(load_input(at), held_centering[k]);
            }
            var gradient = output_gradient(at, x_hat, affine_again(k, cursor), false);
            if (BATCH_STATISTICS) {
                gradient = fma(x_hat, -held_mean_product[k], gradient - held_mean[k]);
            }
            store_grad_input(at, gradient * held_scale[k]);
            cursor = advance(cursor);
        }
    }
}
