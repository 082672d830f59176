// Which elements are not behind the end of their sample. All data are read and written through this.

fn valid_at(at: u32) -> Valid {
    let first = at * VECTOR + params.first_element;
    // A vector is of one sample.
    let length = load_lengths(first / params.sample_elements);
    if (SAME_POSITION) {
        return Indices(first / params.position_stride % params.positions) < Indices(length);
    }
    // A division costs as much as two loads on CPUs.
    if (NEIGHBOURING_POSITIONS) {
        return FROM_0 + first % params.positions < Indices(length);
    }
    return (FROM_0 + first) / params.position_stride % params.positions < Indices(length);
}
