// What is the same for all lanes of a subgroup, loaded by the first of them alone: a CPU loads for lane after lane.

fn loads() -> bool {
    return subgroup_lane == 0u;
}

fn loaded(v: Moment) -> Moment {
    return subgroupBroadcastFirst(v);
}

fn loaded_value(v: Value) -> Value {
    return subgroupBroadcastFirst(v);
}
