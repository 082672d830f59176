// Second derivative in the weight: the sum over a channel of grad_output * (v - mean(v) - x̂ * mean(v * x̂)), v = rstd * grad_grad_input,
// one part of a channel per team, into `partials`. Without CENTERED (RMS norm) there is no mean(v); with running statistics no mean at all.

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let sums = team_reduce(Partial(lane_sum(task), 0.0));
        if (task.exists && lane == 0u) {
            store_partials(task.partial, sums[0]);
        }
    }
}

// Blocks, then blocks of blocks: rounding errors grow with the length of a chain of sums.
fn lane_sum(task: Task) -> Item {
    var cursor = cursor_at(task);
    var group = group_at(partner(cursor));
    var sum = Value();
    for (var outer = 0u; outer < task.vectors; outer += HELD * BLOCKS) {
        var middle = Value();
        for (var done = outer; done < min(outer + HELD * BLOCKS, task.vectors); done += HELD) {
            var block = Value();
            for (var k = 0u; k < HELD; k += 1u) {
                if (FULL || k < task.vectors - done) {
                    let at = offset(cursor);
                    if (!PARTNER_CONSTANT) {
                        group = group_at(partner(cursor));
                    }
                    var factor = load_grad_grad_input(at) * group.centering.rstd;
                    if (BATCH_STATISTICS) {
                        let x_hat = normalized(load_input(at), group.centering);
                        factor = factor_of(factor, x_hat, group);
                    }
                    block += load_grad_output(at) * factor;
                    cursor = advance(cursor);
                }
            }
            middle += block;
        }
        sum += middle;
    }
    return total(sum);
}
