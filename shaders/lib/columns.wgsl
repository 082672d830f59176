// A lane has neighbouring columns of the tensor, each an item with numbers of its own, and goes through the rows of its chunk.

// Partial results of the columns: a set per team that goes through them. Number of the first one of this lane's chunk.
fn first_partial_of_columns(workgroup: u32) -> u32 {
    return params.first_partial + (workgroup / params.parts * TEAMS + team) * params.partner_modulus;
}
