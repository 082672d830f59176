// The saved moments of the columns that a lane has.

var<private> held_centering: array<Centering, HELD>;

// Number of the groups that a vector of columns is, or of the group that it is a part of.
fn group_of_column(task: Task, cursor: Cursor) -> u32 {
    var column = partner(cursor);
    if (ROW_BLOCKS) {
        column += task.group * params.partner_modulus;
    }
    if (GROUPED_COLUMNS) {
        return column / params.items_per_group;
    }
    return column;
}

fn hold_centering(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            held_centering[k] = saved_centering(group_of_column(task, cursor));
            cursor = advance(cursor);
        }
    }
}
