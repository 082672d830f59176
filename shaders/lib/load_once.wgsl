// What is the same for all lanes of a subgroup, loaded by the first of them alone: a CPU loads for lane after lane.

fn loads() -> bool {
    return subgroup_lane == 0u;
}

// Not subgroupBroadcastFirst: a number from a lane of any index crashes LLVM 15 where floats become integers.
fn loaded(v: Moment) -> Moment {
    return subgroupBroadcast(v, 0u);
}

fn loaded_value(v: Value) -> Value {
    return subgroupBroadcast(v, 0u);
}
