// Number of the elements of a group that are not behind the end of their sample.

fn valid_count(group: u32) -> u32 {
    let block = group / params.groups_per_block;
    if (params.groups_per_position != 0u) {
        let position = group % params.groups_per_block / params.groups_per_position % params.positions;
        return select(0u, params.group_elements, position < load_lengths(block));
    }
    var positions = 0u;
    for (var n = 0u; n < params.samples_per_group; n += 1u) {
        positions += min(load_lengths(block * params.samples_per_group + n), params.positions);
    }
    return positions * params.group_elements;
}
