// RESIDENT: one lane's share of a task, which it holds.

fn normalize_lane(task: Task, centering: Centering) {
    var cursor = cursor_at(task);
    let affine_of_item = affine_at(partner(cursor));
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            normalize_vector(k, held[k], cursor, centering, affine_of_item);
            cursor = advance(cursor);
        }
    }
}
