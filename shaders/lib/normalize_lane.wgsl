// output = x̂ * weight + bias for one lane's share of a task.

struct Affine {
    weight: Value,
    bias: Value,
}

fn affine_at(channel: u32) -> Affine {
    return Affine(load_weight(channel), load_bias(channel));
}

fn normalize_lane(task: Task, centering: Centering) {
    var cursor = cursor_at(task);
    let affine_of_item = affine_at(partner(cursor));
    for (var k = 0u; k < select(task.vectors, HELD, RESIDENT); k += 1u) {
        if (k < task.vectors) {
            let at = offset(cursor);
            let x_hat = normalized(input_again(k, at), centering);
            var affine = affine_of_item;
            if (!PARTNER_CONSTANT) {
                affine = affine_at(partner(cursor));
            }
            store_output(at, fma(x_hat, affine.weight, affine.bias));
            cursor = advance(cursor);
        }
    }
}
