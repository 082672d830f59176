// Second derivative, step 1: sums over one part of a group per team, into `partials`. These lie there as a pair of sums for each of
// three times as many groups, which is how merge_sums merges them.

struct LaneSums {
    g: Value,
    g_x_hat: Value,
    v: Value,
    v_x_hat: Value,
    g_v: Value,
}

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let sums = team_reduce(lane_sums(task));
        if (task.exists && lane == 0u) {
            let first = 3u * (task.partial - task.item) + task.item;
            store_pair(first, sums[0]);
            store_pair(first + params.all_items, sums[1]);
            store_pair(first + 2u * params.all_items, sums[2]);
        }
    }
}

fn store_pair(at: u32, sums: vec2f) {
    store_partials(at, sums.x);
    store_partials(3u * params.plane + at, sums.y);
}

fn plus(a: LaneSums, b: LaneSums) -> LaneSums {
    return LaneSums(a.g + b.g, a.g_x_hat + b.g_x_hat, a.v + b.v, a.v_x_hat + b.v_x_hat, a.g_v + b.g_v);
}

// Blocks, then blocks of blocks: rounding errors grow with the length of a chain of sums.
fn lane_sums(task: Task) -> Partial {
    var cursor = cursor_at(task);
    let centering = centering_of_group(task);
    var sums = LaneSums();
    for (var outer = 0u; outer < task.vectors; outer += HELD * BLOCKS) {
        var middle = LaneSums();
        for (var done = outer; done < min(outer + HELD * BLOCKS, task.vectors); done += HELD) {
            var block = LaneSums();
            for (var k = 0u; k < HELD; k += 1u) {
                if (FULL || k < task.vectors - done) {
                    let at = offset(cursor);
                    let x_hat = normalized(load_input(at), centering);
                    let v = load_grad_grad_input(at) * centering.rstd;
                    var g = load_grad_output(at);
                    // A weight that all of a group share is multiplied in afterwards.
                    if (!PARTNER_CONSTANT) {
                        g *= load_weight(partner(cursor));
                    }
                    block = plus(block, LaneSums(g, g * x_hat, v, v * x_hat, g * v));
                    cursor = advance(cursor);
                }
            }
            middle = plus(middle, block);
        }
        sums = plus(sums, middle);
    }
    return Partial(
        vec2f(total(sums.g), total(sums.g_x_hat)),
        vec2f(total(sums.v), total(sums.v_x_hat)),
        vec2f(total(sums.g_v), 0.0),
    );
}
