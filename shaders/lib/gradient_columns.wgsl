// One lane's share of the two sums of a task, where all groups of a team have the same weight and bias: these stay in registers.

fn lane_sums(task: Task) -> Partial {
    var cursor = cursor_at(task);
    let centering = centering_of_group(task);
    var sum = Value();
    var sum_x_hat = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let at = offset(cursor);
            let x_hat = x_hat_at(at, centering);
            let affine = affine_again(k, cursor);
            let gradient = output_gradient(at, x_hat, affine, false) * affine.weight;
            sum += gradient;
            sum_x_hat += gradient * x_hat;
            cursor = advance(cursor);
        }
    }
    return Partial(total(sum), total(sum_x_hat));
}
