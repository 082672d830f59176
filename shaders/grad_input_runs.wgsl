// Backward in one launch where groups consist of runs, each with a weight and bias of its own, and stay in registers: one team per group. The sums of
// the runs give the gradients of weight and bias and, each with its weight, those of the group.
// Runs are COLUMNS here, of each of which a lane has ROWS vectors.

const ROWS: u32 = HELD / COLUMNS;

var<private> held_x_hat: array<Value, HELD>;
var<private> held_gradient: array<Value, HELD>;
var<private> weight_of_run: array<Value, COLUMNS>;

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let centering = centering_of_group(task);
        // No fewer than LANES vectors make a run.
        let vectors = select(0u, (params.run_length - lane + LANES - 1u) / LANES, task.exists);
        var sums = Partial();
        for (var c = 0u; c < COLUMNS; c += 1u) {
            sums += sums_of_run(task, c, vectors, centering);
        }
        for (var c = 0u; c < COLUMNS; c += 1u) {
            grad_input_of_run(task, c, vectors, centering, sums);
        }
    }
}

fn cursor_in_run(task: Task, c: u32) -> Cursor {
    let cursor = cursor_at(task);
    return Cursor(cursor.offset_of_item, cursor.partner_of_item, c, lane);
}

// The next vector of the lane is LANES further.
fn offset_in_run(cursor: Cursor, k: u32) -> u32 {
    return offset(cursor) + k * LANES;
}

// What a run adds to the sums of its group.
fn sums_of_run(task: Task, c: u32, vectors: u32, centering: Centering) -> Partial {
    let cursor = cursor_in_run(task, c);
    let affine = affine_at(partner(cursor));
    weight_of_run[c] = affine.weight;
    var sum = Value();
    var sum_x_hat = Value();
    for (var k = 0u; k < ROWS; k += 1u) {
        if (FULL || k < vectors) {
            let at = offset_in_run(cursor, k);
            let x_hat = x_hat_at(at, centering);
            let gradient = output_gradient(at, x_hat, affine, false);
            held_x_hat[c * ROWS + k] = x_hat;
            held_gradient[c * ROWS + k] = gradient;
            sum += gradient;
            sum_x_hat += gradient * x_hat;
        }
    }
    let sums = team_reduce(Partial(total(sum), total(sum_x_hat)));
    if (task.exists && lane == 0u) {
        let number = task.item * COLUMNS + c;
        store_partials(number, sums[0]);
        store_partials(params.plane + number, sums[1]);
    }
    return sums * first_of(affine.weight);
}

fn grad_input_of_run(task: Task, c: u32, vectors: u32, centering: Centering, sums: Partial) {
    let cursor = cursor_in_run(task, c);
    let mean_gradient = select(Item(), sums[0] / params.count, CENTERED);
    let mean_product = sums[1] / params.count;
    for (var k = 0u; k < ROWS; k += 1u) {
        if (FULL || k < vectors) {
            let at = offset_in_run(cursor, k);
            let gradient = held_gradient[c * ROWS + k] * weight_of_run[c] - mean_gradient;
            let product = fma(held_x_hat[c * ROWS + k], Value(-mean_product), gradient);
            store_grad_input(at, outgoing(at, product * centering.rstd));
        }
    }
}
