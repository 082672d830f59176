// Weight and bias are loaded with every vector.

fn hold_affine(task: Task) {}

fn affine_again(k: u32, cursor: Cursor) -> Affine {
    return affine_at(partner(cursor));
}
