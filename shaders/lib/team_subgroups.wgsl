// A team of all subgroups of a workgroup, each with a part of its own of the task.

// What the first subgroup has merged. The next reduction writes it when all subgroups have read it, as they are at its first barrier then.
var<workgroup> merged_of_team: Partial;

// The merge of the partials of all lanes, for every one of them: each subgroup's, then that of all subgroups by the first one, since a CPU
// loads for lane after lane, in every subgroup.
fn team_reduce(own: Partial) -> Partial {
    let of_subgroup = subgroup_reduce(own);
    if (subgroup_lane == 0u) {
        exchanged[subgroup_index] = of_subgroup;
    }
    workgroupBarrier();
    var merged = Partial();
    if (subgroup_index == 0u) {
        for (var i = subgroup_lane; i < MOST_SUBGROUPS; i += STEP) {
            merged = merge(merged, exchanged[i]);
        }
        merged = subgroup_reduce(merged);
        if (subgroup_lane == 0u) {
            merged_of_team = merged;
        }
    }
    workgroupBarrier();
    if (subgroup_lane == 0u) {
        merged = merged_of_team;
    }
    return broadcast(merged);
}
