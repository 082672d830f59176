// By rows: weight and bias are those of the row.

var<private> affine_of_row: Affine;

fn hold_affine(task: Task) {}

fn enter_row(task: Task) {
    affine_of_row = affine_at(min(task.row, params.rows_per_block - 1u));
}

fn affine_again(k: u32, cursor: Cursor) -> Affine {
    return affine_of_row;
}
