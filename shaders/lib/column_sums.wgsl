// The two sums of each column that a lane has, over its rows.

var<private> column_gradient: array<OfPartner, HELD>;
var<private> column_product: array<OfPartner, HELD>;

fn store_columns(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    var cursor = cursor_at(task);
    let first = first_partial_of_columns(workgroup);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            store_partials(first + partner(cursor), column_gradient[k]);
            store_partials(params.plane + first + partner(cursor), column_product[k]);
            cursor = advance(cursor);
        }
    }
}
