// What is the same for all lanes of a subgroup that is a team, loaded by the first of them alone: a CPU loads for lane after lane.

fn loads() -> bool {
    return lane == 0u;
}

fn loaded(v: Moment) -> Moment {
    return subgroupBroadcastFirst(v);
}
