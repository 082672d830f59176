// grad_input = rstd * (g - mean(g) - x̂ * mean(g * x̂)), g = grad_output * weight, for one lane's share of a task.
// Without CENTERED (RMS norm) there is no mean(g); with running statistics there are no sums at all.

fn grad_input_lane(task: Task, sums: Sums) {
    var cursor = cursor_at(task);
    let centering = saved_centering(task.group);
    let mean_gradient = select(Item(), sums[0] / params.count, CENTERED);
    let mean_gradient_x_hat = sums[1] / params.count;
    let of_item = affine_of_item(task, cursor);
    var scale = Value(centering.rstd);
    var weight = Value(1.0);
    // The weight of a group stands before its sums; those of its runs stand inside.
    if (PARTNER_CONSTANT && RUNS) {
        weight = load_weight(partner(cursor));
    } else if (PARTNER_CONSTANT) {
        scale *= load_weight(partner(cursor));
    }
    for (var k = 0u; k < select(task.vectors, HELD, RESIDENT); k += 1u) {
        if (FULL || k < task.vectors) {
            let at = offset(cursor);
            var x_hat = Value();
            if (BATCH_STATISTICS || ACTIVATED) {
                x_hat = x_hat_again(k, at, centering);
            }
            var gradient = gradient_again(k, at, x_hat, cursor, of_item) * weight;
            if (BATCH_STATISTICS) {
                gradient = fma(x_hat, Value(-mean_gradient_x_hat), gradient - mean_gradient);
            }
            store_grad_input(at, outgoing(at, gradient * scale));
            cursor = advance(cursor);
        }
    }
}
