// Split, step 2: the parts of each group merged, one team per group. A vector of the walk is one partial.

fn run(workgroup: u32) {
    let index = workgroup * TEAMS + team;
    let task = task_at(index);
    var own = Partial();
    for (var k = 0u; k < task.vectors; k += 1u) {
        own = merge(own, load_partials((task.first + k * LANES) * params.items + task.item));
    }
    let all = team_reduce(own);
    if (task.exists && lane == 0u) {
        store_moments(task.item, moments_of(all.y, all.z, all.w / params.count));
    }
}
