// Which elements are not behind the end of their sample. All data are read and written through this.

fn valid_at(at: u32) -> Valid {
    let first = at * VECTOR + params.first_element;
    // A vector is of one sample.
    let length = load_lengths(first / params.sample_elements);
    var position = Indices(first / params.position_stride % params.positions);
    if (params.position_stride % VECTOR != 0u) {
        position = (FROM_0 + first) / params.position_stride % params.positions;
    }
    return position < Indices(length);
}
