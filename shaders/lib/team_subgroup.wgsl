// Teams that are slices of a subgroup or, if SPANS_SUBGROUPS, whole subgroups.

// The merge of the partials of all lanes of the team, for every lane of it.
fn team_reduce(own: Partial) -> Partial {
    var merged = subgroup_reduce(own);
    if (SPANS_SUBGROUPS) {
        merged = merge_subgroups(merged);
    }
    return merged;
}

fn merge_subgroups(own: Partial) -> Partial {
    if (subgroup_lane == 0u) {
        exchanged[subgroup_index] = own;
    }
    workgroupBarrier();
    let count = LANES / subgroup_lanes;
    var merged = exchanged[team * count];
    for (var i = 1u; i < count; i += 1u) {
        merged = merge(merged, exchanged[team * count + i]);
    }
    // The next reduction writes what another subgroup may still be about to read.
    workgroupBarrier();
    return merged;
}
