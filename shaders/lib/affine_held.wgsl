// Items of a team have the same channels at the same places: weight and bias stay in registers from task to task.

var<private> held_weight: array<Value, HELD>;
var<private> held_bias: array<Value, HELD>;

fn channel_held(cursor: Cursor) -> u32 {
    if (AFFINE_OF_GROUP) {
        return partner(cursor) / params.items_per_group;
    }
    return partner(cursor);
}

fn hold_affine(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let channel = channel_held(cursor);
            held_weight[k] = load_weight(channel);
            held_bias[k] = load_bias(channel);
            cursor = advance(cursor);
        }
    }
}

fn affine_again(k: u32, cursor: Cursor) -> Affine {
    return Affine(held_weight[k], held_bias[k]);
}
