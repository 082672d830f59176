// Backward in one launch where a group has several channels and stays in registers: one team per group. The sums of its channels give the
// gradients of weight and bias and, each with its weight, those of the group.
// A lane has ROWS vectors of each of COLUMNS: of runs, each a channel, or with CHANNELS_LAST of what lies beside each other at a point.

const ROWS: u32 = HELD / COLUMNS;
const CHANNELS_LAST: bool = CHANNELS > 1u;

var<private> held_x_hat: array<Value, HELD>;
var<private> held_gradient: array<Value, HELD>;
var<private> held_weight: array<Value, COLUMNS>;

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let centering = centering_of_group(task);
        // No column is shorter than LANES.
        let length = select(params.run_length, params.item_vectors / COLUMNS, CHANNELS_LAST);
        let vectors = select(0u, (length - lane + LANES - 1u) / LANES, task.exists);
        var sums = Partial();
        for (var c = 0u; c < COLUMNS; c += 1u) {
            sums += sums_of_column(task, c, vectors, centering);
        }
        for (var c = 0u; c < COLUMNS; c += 1u) {
            grad_input_of_column(task, c, vectors, centering, sums);
        }
    }
}

fn first_in_column(task: Task, c: u32) -> Cursor {
    let cursor = cursor_at(task);
    if (CHANNELS_LAST) {
        return Cursor(cursor.offset_of_item, cursor.partner_of_item, lane, c);
    }
    return Cursor(cursor.offset_of_item, cursor.partner_of_item, c, lane);
}

// The next vector of the lane is LANES further.
fn offset_in_column(cursor: Cursor, k: u32) -> u32 {
    return offset(cursor) + k * LANES * select(1u, params.run_stride, CHANNELS_LAST);
}

// What a column adds to the sums of its group.
fn sums_of_column(task: Task, c: u32, vectors: u32, centering: Centering) -> Partial {
    let cursor = first_in_column(task, c);
    let affine = affine_at(partner(cursor));
    held_weight[c] = affine.weight;
    var sum = Value();
    var sum_x_hat = Value();
    for (var k = 0u; k < ROWS; k += 1u) {
        if (FULL || k < vectors) {
            let at = offset_in_column(cursor, k);
            let x_hat = x_hat_at(at, centering);
            let gradient = output_gradient(at, x_hat, affine, false);
            held_x_hat[c * ROWS + k] = x_hat;
            held_gradient[c * ROWS + k] = gradient;
            sum += gradient;
            sum_x_hat += gradient * x_hat;
        }
    }
    var sums = Partial();
    for (var i = 0u; i < CHANNELS; i += 1u) {
        var own = Partial(total(sum), total(sum_x_hat));
        if (CHANNELS_LAST) {
            own = Partial(element_of(sum, i), element_of(sum_x_hat, i));
        }
        let of_channel = team_reduce(own);
        if (task.exists && lane == 0u) {
            let number = (task.item * COLUMNS + c) * CHANNELS + i;
            store_partials(number, of_channel[0]);
            store_partials(params.plane + number, of_channel[1]);
        }
        sums += of_channel * element_of(affine.weight, i);
    }
    return sums;
}

fn grad_input_of_column(task: Task, c: u32, vectors: u32, centering: Centering, sums: Partial) {
    let cursor = first_in_column(task, c);
    let mean_gradient = select(Item(), sums[0] / params.count, CENTERED);
    let mean_product = sums[1] / params.count;
    for (var k = 0u; k < ROWS; k += 1u) {
        if (FULL || k < vectors) {
            let at = offset_in_column(cursor, k);
            let gradient = held_gradient[c * ROWS + k] * held_weight[c] - mean_gradient;
            let product = fma(held_x_hat[c * ROWS + k], Value(-mean_product), gradient);
            store_grad_input(at, outgoing(at, product * centering.rstd));
        }
    }
}
