// The saved moments of the columns that a lane has.

var<private> held_centering: array<Centering, HELD>;

fn hold_centering(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            held_centering[k] = saved_centering(group_of_column(task, cursor));
            cursor = advance(cursor);
        }
    }
}
