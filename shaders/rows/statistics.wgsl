// Statistics of columns, over the rows of a chunk, into `partials`.

fn run(workgroup: u32) {
    find_column_statistics(workgroup);
    let task = task_at(workgroup, 0u);
    var cursor = cursor_at(task);
    for (var c = 0u; c < COLUMNS; c += 1u) {
        if (FULL || c < task.vectors) {
            store_partials(first_partial_of_columns(workgroup) + partner(cursor), column_statistics[c]);
            cursor = advance(cursor);
        }
    }
}
