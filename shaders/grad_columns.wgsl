// Backward where all groups have the same channels at the same places (layer and RMS norm): a team goes through consecutive
// groups, or one part of each, writes grad_input, and sums up what its columns contribute to the gradients of weight and
// bias. If RESIDENT the team has whole groups and takes their sums itself, else it finds them in `sums`.

var<private> held_weight: array<Value, HELD>;
var<private> held_x_hat: array<Value, HELD>;
var<private> held_gradient: array<Value, HELD>;
var<private> column_gradient: array<Value, HELD>;
var<private> column_product: array<Value, HELD>;

fn run(workgroup: u32) {
    hold_weight(task_at(workgroup, 0u));
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        hold(task);
        finish(task, sums_of(task));
    }
    store_columns(workgroup);
}

fn hold_weight(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            held_weight[k] = load_weight(partner(cursor));
            cursor = advance(cursor);
        }
    }
}

fn hold(task: Task) {
    var cursor = cursor_at(task);
    let centering = saved_centering(task.item);
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            held_x_hat[k] = normalized(load_input(offset(cursor)), centering);
            held_gradient[k] = load_grad_output(offset(cursor));
            cursor = advance(cursor);
        }
    }
}

fn sums_of(task: Task) -> Partial {
    if (!RESIDENT) {
        return Partial(load_sums(task.item), load_sums(params.groups + task.item));
    }
    var sum = Value();
    var sum_x_hat = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            let gradient = held_gradient[k] * held_weight[k];
            sum += gradient;
            sum_x_hat += gradient * held_x_hat[k];
        }
    }
    return team_reduce(Partial(total(sum), total(sum_x_hat)));
}

fn finish(task: Task, sums: Partial) {
    var cursor = cursor_at(task);
    let rstd = load_statistics(2u * params.groups + task.item);
    let mean_gradient = select(0.0, sums.x / params.count, CENTERED);
    let mean_product = sums.y / params.count;
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            let x_hat = held_x_hat[k];
            column_gradient[k] += held_gradient[k];
            column_product[k] += held_gradient[k] * x_hat;
            let gradient = held_gradient[k] * held_weight[k] - mean_gradient;
            store_grad_input(offset(cursor), fma(x_hat, Value(-mean_product), gradient) * rstd);
            cursor = advance(cursor);
        }
    }
}

// A partial result per team that goes through these columns.
fn store_columns(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    var cursor = cursor_at(task);
    let first = params.first_partial + (workgroup % params.chunks * TEAMS + team) * params.partner_modulus;
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            store_partials(first + partner(cursor), column_gradient[k]);
            store_partials(params.plane + first + partner(cursor), column_product[k]);
            cursor = advance(cursor);
        }
    }
}
