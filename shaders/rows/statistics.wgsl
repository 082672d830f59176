// Statistics of columns, over the rows of a chunk, into `partials`. Rows are held in blocks of ROWS, as these lie in memory.

var<private> column_statistics: array<Partial, COLUMNS>;

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += ROWS) {
        let rows = hold_rows(workgroup, row);
        for (var c = 0u; c < COLUMNS; c += 1u) {
            if (FULL || rows > 0u) {
                column_statistics[c] = merge(column_statistics[c], held_statistics(c, rows));
            }
        }
    }
    let task = task_at(workgroup, 0u);
    var cursor = cursor_at(task);
    for (var c = 0u; c < COLUMNS; c += 1u) {
        if (FULL || c < task.vectors) {
            store_partials(first_partial_of_columns(workgroup) + partner(cursor), column_statistics[c]);
            cursor = advance(cursor);
        }
    }
}

// Returns how many rows there are. A column past the end is held as it is: its statistics are not stored.
fn hold_rows(workgroup: u32, row: u32) -> u32 {
    var rows = 0u;
    var cursor: Cursor;
    var task: Task;
    for (var k = 0u; k < HELD; k += 1u) {
        let column = k % COLUMNS;
        if (column == 0u) {
            task = task_at(workgroup, row + k / COLUMNS);
            cursor = cursor_at(task);
            rows += select(0u, 1u, task.exists && row + k / COLUMNS < params.chunk);
        }
        if (FULL || column < task.vectors) {
            held[k] = incoming(offset(cursor));
            cursor = advance(cursor);
        }
    }
    if (FULL) {
        return ROWS;
    }
    return rows;
}
