// output = x̂ * weight + bias with the saved moments of columns, row by row.

fn run(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    hold_centering(task);
    hold_affine(task);
    keep_columns(task);
    for (var row = 0u; row < params.chunk; row += 1u) {
        normalize_row(task_at(workgroup, row));
    }
}

fn normalize_row(task: Task) {
    enter_row(task);
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            normalize_vector(k, cursor, held_centering[k], affine_again(k, cursor));
            cursor = advance(cursor);
        }
    }
}

fn keep_columns(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let first = !GROUPED_COLUMNS || partner(cursor) % params.items_per_group == 0u;
            keep_moments(group_of_column(task, cursor), first && task.row == 0u);
            cursor = advance(cursor);
        }
    }
}
