// One lane's share of a task, with nothing in registers.

fn normalize_lane(task: Task, centering: Centering) {
    var cursor = cursor_at(task);
    let affine_of_item = affine_at(partner(cursor));
    for (var k = 0u; k < task.vectors; k += 1u) {
        normalize_vector(k, cursor, centering, affine_of_item);
        cursor = advance(cursor);
    }
}
