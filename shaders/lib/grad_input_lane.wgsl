// grad_input = rstd * (g - mean(g) - x̂ * mean(g * x̂)), g = grad_output * weight, for one lane's share of a task.
// Without CENTERED (RMS norm) there is no mean(g); with running statistics there are no sums at all.

// What all vectors of a task share.
struct OfTask {
    centering: Centering,
    affine: Affine,
    mean_gradient: Item,
    mean_product: Item,
    weight: Value,
    scale: Value,
}

fn grad_input_vector(k: u32, cursor: Cursor, of_task: OfTask) {
    let at = offset(cursor);
    var x_hat = Value();
    if (BATCH_STATISTICS || ACTIVATED) {
        x_hat = x_hat_again(k, at, of_task.centering);
    }
    var gradient = gradient_again(k, at, x_hat, cursor, of_task.affine) * of_task.weight;
    if (BATCH_STATISTICS) {
        gradient = fma(x_hat, Value(-of_task.mean_product), gradient - of_task.mean_gradient);
    }
    store_grad_input(at, outgoing(at, gradient * of_task.scale));
}

fn grad_input_lane(task: Task, sums: Sums) {
    var cursor = cursor_at(task);
    let centering = centering_of_group(task);
    let affine = affine_of_item(task, cursor);
    let mean_gradient = select(Item(), sums[0] / params.count, CENTERED);
    let mean_product = sums[1] / params.count;
    var scale = Value(centering.rstd);
    var weight = Value(1.0);
    // The weight of a group stands before its sums; those of its runs stand inside.
    if (PARTNER_CONSTANT && RUNS) {
        weight = affine_of_team(partner(cursor)).weight;
    } else if (PARTNER_CONSTANT) {
        scale *= affine_of_team(partner(cursor)).weight;
    }
    let of_task = OfTask(centering, affine, mean_gradient, mean_product, weight, scale);
    if (RESIDENT) {
        for (var k = 0u; k < HELD; k += 1u) {
            if (FULL || k < task.vectors) {
                grad_input_vector(k, cursor, of_task);
                cursor = advance(cursor);
            }
        }
    } else {
        for (var done = 0u; done < task.vectors; done += HELD) {
            for (var k = 0u; k < HELD; k += 1u) {
                if (FULL || k < task.vectors - done) {
                    grad_input_vector(k, cursor, of_task);
                    cursor = advance(cursor);
                }
            }
        }
    }
}
