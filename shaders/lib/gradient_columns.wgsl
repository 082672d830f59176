// One lane's share of the two sums of a task, where all groups of a team have the same weight: it stays in registers.

var<private> held_weight: array<Value, HELD>;

fn hold_affine(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            held_weight[k] = load_weight(partner(cursor));
            cursor = advance(cursor);
        }
    }
}

fn lane_sums(task: Task) -> Partial {
    var cursor = cursor_at(task);
    let centering = saved_centering(task.group);
    var sum = Value();
    var sum_x_hat = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            let at = offset(cursor);
            let gradient = load_grad_output(at) * held_weight[k];
            sum += gradient;
            sum_x_hat += gradient * normalized(load_input(at), centering);
            cursor = advance(cursor);
        }
    }
    return Partial(total(sum), total(sum_x_hat));
}
