// Sums for the gradients of columns, over the rows of a chunk, into `partials`.

fn run(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    hold_centering(task);
    hold_affine(task);
    for (var row = 0u; row < params.chunk; row += 1u) {
        add_row(task_at(workgroup, row));
    }
    store_columns(workgroup);
}

fn add_row(task: Task) {
    enter_row(task);
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let at = offset(cursor);
            let x_hat = normalized(load_input(at), held_centering[k]);
            let affine = affine_again(k, cursor);
            var gradient = output_gradient(at, x_hat, affine, false);
            // A weight that all of a column share is multiplied in afterwards.
            if (AFFINE_OF_ROW) {
                gradient *= affine.weight;
            }
            column_gradient[k] += of_partner(gradient);
            column_product[k] += of_partner(gradient * x_hat);
            cursor = advance(cursor);
        }
    }
}
