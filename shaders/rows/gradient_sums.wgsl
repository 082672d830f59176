// Sums for the gradients of columns, over the rows of a chunk, into `partials`.

fn run(workgroup: u32) {
    hold_centering(task_at(workgroup, 0u));
    for (var row = 0u; row < params.chunk; row += 1u) {
        add_row(task_at(workgroup, row));
    }
    store_columns(workgroup);
}

fn add_row(task: Task) {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < task.vectors) {
            let at = offset(cursor);
            let gradient = load_grad_output(at);
            column_gradient[k] += gradient;
            column_product[k] += gradient * normalized(load_input(at), held_centering[k]);
            cursor = advance(cursor);
        }
    }
}
