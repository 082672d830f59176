// A lane has neighbouring columns of the tensor, each an item with numbers of its own, and goes through the rows of its chunk.

// Partial results of the columns: a set per team that goes through them. Number of the first one of this lane's chunk.
fn first_partial_of_columns(workgroup: u32) -> u32 {
    let chunk = workgroup / params.parts;
    if (ROW_BLOCKS) {
        let block = chunk / params.chunks_per_block;
        let of_block = chunk - block * params.chunks_per_block;
        return params.first_partial + of_block * params.all_items + block * params.partner_modulus;
    }
    return params.first_partial + (chunk * TEAMS + team) * params.partner_modulus;
}
