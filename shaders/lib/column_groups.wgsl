// Columns of a tensor by rows and the groups that they are, or are of.

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
