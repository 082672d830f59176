// grad_input = rstd * (g - mean(g) - x̂ * mean(g * x̂)), g = grad_output * weight, with the sums of columns at hand, row by row.
// With running statistics there are no sums.

// A weight that all of a group share stands before its sums.
const WEIGHT_IN_SUMS: bool = AFFINE_OF_ROW || (GROUPED_COLUMNS && !AFFINE_OF_GROUP);

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
        if (FULL || k < task.vectors) {
            let column = group_of_column(task, cursor);
            held_scale[k] = Value(held_centering[k].rstd);
            if (!WEIGHT_IN_SUMS) {
                held_scale[k] *= affine_again(k, cursor).weight;
            }
            held_mean[k] = Value(select(Item(), load_sums(column) / params.count, CENTERED));
            held_mean_product[k] = Value(load_sums(params.groups + column) / params.count);
            cursor = advance(cursor);
        }
    }
}

fn grad_input_row(task: Task) {
    enter_row(task);
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let at = offset(cursor);
            var x_hat = Value();
            if (BATCH_STATISTICS || ACTIVATED) {
                x_hat = normalized(load_input(at), held_centering[k]);
            }
            let affine = affine_again(k, cursor);
            var gradient = output_gradient(at, x_hat, affine, false);
            if (WEIGHT_IN_SUMS) {
                gradient *= affine.weight;
            }
            if (BATCH_STATISTICS) {
                gradient = fma(x_hat, -held_mean_product[k], gradient - held_mean[k]);
            }
            store_grad_input(at, outgoing(at, gradient * held_scale[k]));
            cursor = advance(cursor);
        }
    }
}
