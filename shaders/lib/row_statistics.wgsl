// Statistics of the columns that a lane has, over the rows of a chunk, which are held in blocks of ROWS, as these lie in memory.

var<private> column_statistics: array<Partial, COLUMNS>;

fn find_column_statistics(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += ROWS) {
        let rows = hold_rows(workgroup, row);
        for (var c = 0u; c < COLUMNS; c += 1u) {
            if (FULL || rows > 0u) {
                column_statistics[c] = merge(column_statistics[c], held_statistics(c, rows));
            }
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
