// Forward in one launch: a lane has neighbouring columns, each of them a group, and goes through all of their rows twice.

var<private> column_centering: array<Centering, COLUMNS>;
var<private> column_affine: array<Affine, COLUMNS>;

fn run(workgroup: u32) {
    find_column_statistics(workgroup);
    hold_columns(task_at(workgroup, 0u));
    for (var row = 0u; row < params.chunk; row += 1u) {
        normalize_row(task_at(workgroup, row));
    }
}

fn hold_columns(task: Task) {
    var cursor = cursor_at(task);
    for (var c = 0u; c < COLUMNS; c += 1u) {
        if (FULL || c < task.vectors) {
            let group = group_of_column(task, cursor);
            let moments = moments_of(column_statistics[c]);
            store_moments(group, moments);
            update_running(group, moments);
            column_centering[c] = centering_of(moments.mean, moments.mean_low, moments.rstd);
            column_affine[c] = affine_at(partner(cursor));
            cursor = advance(cursor);
        }
    }
}

fn normalize_row(task: Task) {
    var cursor = cursor_at(task);
    for (var c = 0u; c < COLUMNS; c += 1u) {
        if (FULL || c < task.vectors) {
            let at = offset(cursor);
            let x_hat = normalized(incoming_again(at), column_centering[c]);
            store_output(at, finished(at, fma(x_hat, column_affine[c].weight, column_affine[c].bias)));
            cursor = advance(cursor);
        }
    }
}
