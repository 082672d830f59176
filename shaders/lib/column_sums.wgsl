// The two sums of each column that a lane has, over its rows.

alias Summed = OfPartner;

var<private> column_gradient: array<OfPartner, HELD>;
var<private> column_product: array<OfPartner, HELD>;

fn store_columns(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    var cursor = cursor_at(task);
    let first = first_partial_of_columns(workgroup);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            let column = partner(cursor);
            store_summed(first + column, column, column_gradient[k], column_product[k]);
            cursor = advance(cursor);
        }
    }
}
