// One lane's share of a task, with nothing in registers.

fn normalize_lane(task: Task, centering: Centering) {
    var cursor = cursor_at(task);
    var affine_of_item = Affine();
    if (PARTNER_CONSTANT) {
        affine_of_item = affine_of_team(partner(cursor));
    }
    for (var done = 0u; done < task.vectors; done += HELD) {
        for (var k = 0u; k < HELD; k += 1u) {
            if (FULL || k < task.vectors - done) {
                normalize_vector(k, cursor, centering, affine_of_item);
                cursor = advance(cursor);
            }
        }
    }
}
