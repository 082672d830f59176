// Second derivative in input and grad_output, one part of a group per team: with g = grad_output * weight, v = rstd * grad_grad_input and
// averages < > over the group
//
// grad_grad_output = weight * (v - <v> - x̂ * <v * x̂>)
// grad_input = -rstd * (<g * x̂> * (v - <v>) + <v * x̂> * (g - <g>) + x̂ * (<g * v> - <g> * <v> - 3 * <g * x̂> * <v * x̂>))
//
// Without CENTERED (RMS norm) <v> and <g> are 0. With running statistics grad_grad_output = weight * v and grad_input = 0.

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        gradients_lane(task_at(workgroup, row));
    }
}

fn gradients_lane(task: Task) {
    var cursor = cursor_at(task);
    let group = group_at(task.group);
    let rstd = group.centering.rstd;
    let mean_g = select(Item(), average_at(0u, task.group), CENTERED);
    let mean_g_x_hat = average_at(3u, task.group);
    let along = average_at(2u, task.group) - mean_g * group.mean_v - 3.0 * mean_g_x_hat * group.mean_v_x_hat;
    // A weight that all of a group share stands before its sums, else it stands inside.
    var weight = Value(1.0);
    var before = Value(-rstd);
    if (PARTNER_CONSTANT) {
        weight = load_weight(partner(cursor));
        before *= weight;
    }
    for (var k = 0u; k < task.vectors; k += 1u) {
        let at = offset(cursor);
        let v = load_grad_grad_input(at) * rstd;
        var g = load_grad_output(at);
        var factor = v;
        var grad_input = Value();
        if (!PARTNER_CONSTANT) {
            weight = load_weight(partner(cursor));
            g *= weight;
        }
        if (BATCH_STATISTICS) {
            let x_hat = normalized(load_input(at), group.centering);
            factor = factor_of(v, x_hat, group);
            let sum = mean_g_x_hat * (v - group.mean_v) + group.mean_v_x_hat * (g - mean_g);
            grad_input = fma(x_hat, Value(along), sum) * before;
        }
        store_grad_input(at, grad_input);
        store_grad_grad_output(at, factor * weight);
        cursor = advance(cursor);
    }
}
