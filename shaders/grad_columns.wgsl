// Backward where all groups have the same channels at the same places (layer and RMS norm): a team goes through consecutive
// groups, or one part of each, writes grad_input, and sums up what its columns contribute to the gradients of weight and
// bias. If RESIDENT the team has whole groups and takes their sums itself, else it finds them in `sums`.

var<private> held_x_hat: array<Value, HELD>;
var<private> held_gradient: array<Value, HELD>;

fn run(workgroup: u32) {
    hold_affine(task_at(workgroup, 0u));
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let centering = centering_of_group(task);
        if (RESIDENT) {
            hold(task, centering);
        }
        finish(task, centering, sums_of(task));
    }
    store_columns(workgroup);
}

fn hold(task: Task, centering: Centering) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let at = offset(cursor);
            held_x_hat[k] = normalized(load_input(at), centering);
            held_gradient[k] = output_gradient(at, held_x_hat[k], affine_again(k, cursor), false);
            cursor = advance(cursor);
        }
    }
}

fn sums_of(task: Task) -> Partial {
    if (!RESIDENT) {
        return sums_of_group(task);
    }
    var sum = Value();
    var sum_x_hat = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let gradient = held_gradient[k] * held_weight[k];
            sum += gradient;
            sum_x_hat += gradient * held_x_hat[k];
        }
    }
    return team_reduce(Partial(total(sum), total(sum_x_hat)));
}

fn finish(task: Task, centering: Centering, sums: Partial) {
    var cursor = cursor_at(task);
    let rstd = centering.rstd;
    let mean_gradient = select(Item(), sums[0] / params.count, CENTERED);
    let mean_product = sums[1] / params.count;
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let at = offset(cursor);
            var x_hat = held_x_hat[k];
            var grad_output = held_gradient[k];
            if (!RESIDENT) {
                x_hat = normalized(load_input(at), centering);
                grad_output = output_gradient(at, x_hat, affine_again(k, cursor), false);
            }
            column_gradient[k] += of_partner(grad_output);
            column_product[k] += of_partner(grad_output * x_hat);
            let gradient = grad_output * held_weight[k] - mean_gradient;
            store_grad_input(at, outgoing(at, fma(x_hat, Value(-mean_product), gradient) * rstd));
            cursor = advance(cursor);
        }
    }
}
