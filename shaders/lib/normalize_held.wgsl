// One lane's share of a task, or the weight and bias of it, is in registers.

fn normalize_lane(task: Task, centering: Centering) {
    var cursor = cursor_at(task);
    var affine_of_item = Affine();
    if (PARTNER_CONSTANT) {
        affine_of_item = affine_of_team(partner(cursor));
    }
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            normalize_vector(k, cursor, centering, affine_of_item);
            cursor = advance(cursor);
        }
    }
}
