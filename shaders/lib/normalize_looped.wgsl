// Not RESIDENT: one lane's share of a task, read again.

fn normalize_lane(task: Task, centering: Centering) {
    var cursor = cursor_at(task);
    let affine_of_item = affine_at(partner(cursor));
    for (var k = 0u; k < task.vectors; k += 1u) {
        normalize_vector(k, load_input(offset(cursor)), cursor, centering, affine_of_item);
        cursor = advance(cursor);
    }
}
