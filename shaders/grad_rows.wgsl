// Backward of rows that the subgroups of a workgroup share (layer and RMS norm): a team has AT_ONCE of them in registers, each spread over all of its
// lanes. What they contribute to the gradients of weight and bias is added to what the same workgroup of the launch before left of the rows before.

var<private> held_x_hat: array<Value, AT_ONCE * HELD>;
// grad_output times weight.
var<private> held_gradient: array<Value, AT_ONCE * HELD>;
var<private> held_weight: array<Value, HELD>;
var<private> column_gradient: array<OfPartner, HELD>;
var<private> column_product: array<OfPartner, HELD>;
var<private> centerings: array<Centering, AT_ONCE>;
// This lane's first vector of each row.
var<private> firsts: array<u32, AT_ONCE>;
var<private> sums: array<Partial, AT_ONCE>;

fn run(workgroup: u32) {
    let vectors = task_at(workgroup, 0u).vectors;
    let rows = params.items - workgroup * AT_ONCE;
    hold_columns(workgroup, vectors);
    for (var row = 0u; row < AT_ONCE; row += 1u) {
        let task = task_at(workgroup, row);
        centerings[row] = centering_of_group(task);
        firsts[row] = kept_index(offset(cursor_at(task)));
        if (FULL || row < rows) {
            hold_row(row, vectors);
        }
    }
    store_columns(workgroup, vectors);
    for (var row = 0u; row < AT_ONCE; row += 1u) {
        sums[row] = team_reduce(sums[row]);
    }
    for (var row = 0u; row < AT_ONCE; row += 1u) {
        if (FULL || row < rows) {
            finish(row, vectors);
        }
    }
}

// What goes over a barrier as it is. Compilers rather keep what it was made of and make it again behind the barrier, which on lavapipe is twice the
// memory; but not through a shuffle.
fn kept(v: Value) -> Value {
    return subgroupShuffleXor(v, 0u);
}

fn kept_index(i: u32) -> u32 {
    return subgroupShuffleXor(i, 0u);
}

fn first_column(workgroup: u32) -> u32 {
    return kept_index(partner(cursor_at(task_at(workgroup, 0u))));
}

// Where the two sums of this lane's first column are.
fn sums_of_column(workgroup: u32) -> vec2u {
    let first = params.first_partial + workgroup * params.partner_modulus + first_column(workgroup);
    return vec2u(kept_index(first), kept_index(params.plane + first));
}

fn hold_columns(workgroup: u32, vectors: u32) {
    let column = first_column(workgroup);
    let left = sums_of_column(workgroup);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < vectors) {
            held_weight[k] = load_weight(column + k * STEP);
            if (params.first_item != 0u) {
                // RMS norm has no bias.
                if (CENTERED) {
                    column_gradient[k] = load_partials(left.x + k * STEP);
                }
                column_product[k] = load_partials(left.y + k * STEP);
            }
        }
    }
}

fn store_columns(workgroup: u32, vectors: u32) {
    let left = sums_of_column(workgroup);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < vectors) {
            if (CENTERED) {
                store_partials(left.x + k * STEP, column_gradient[k]);
            }
            store_partials(left.y + k * STEP, column_product[k]);
        }
    }
}

// There is no activation, which would ask for weight and bias.
fn hold_row(row: u32, vectors: u32) {
    var sum = Value();
    var sum_x_hat = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < vectors) {
            let at = firsts[row] + k * STEP;
            let x_hat = kept(normalized(load_input(at), centerings[row]));
            let grad_output = output_gradient(at, x_hat, Affine(), false);
            let gradient = kept(grad_output * held_weight[k]);
            column_gradient[k] += of_partner(grad_output);
            column_product[k] += of_partner(grad_output * x_hat);
            sum += gradient;
            sum_x_hat += gradient * x_hat;
            held_x_hat[row * HELD + k] = x_hat;
            held_gradient[row * HELD + k] = gradient;
        }
    }
    sums[row] = Partial(total(sum), total(sum_x_hat));
}

fn finish(row: u32, vectors: u32) {
    let rstd = centerings[row].rstd;
    let mean_gradient = select(Item(), sums[row][0] / params.count, CENTERED);
    let mean_product = sums[row][1] / params.count;
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < vectors) {
            let at = firsts[row] + k * STEP;
            let gradient = held_gradient[row * HELD + k] - mean_gradient;
            let product = fma(held_x_hat[row * HELD + k], Value(-mean_product), gradient);
            store_grad_input(at, outgoing(at, product * rstd));
        }
    }
}
