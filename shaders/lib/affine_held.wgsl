// Items of a team have the same channels at the same places: weight and bias stay in registers from task to task.

var<private> held_weight: array<Value, HELD>;
var<private> held_bias: array<Value, HELD>;

fn hold_affine(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            held_weight[k] = load_weight(partner(cursor));
            held_bias[k] = load_bias(partner(cursor));
            cursor = advance(cursor);
        }
    }
}

fn affine_again(k: u32, cursor: Cursor) -> Affine {
    return Affine(held_weight[k], held_bias[k]);
}
