// Split, step 1: statistics of one part of a group per team, into `partials`.

fn run(workgroup: u32) {
    for (var k = 0u; k < TASKS; k += 1u) {
        let task = task_at((workgroup * TASKS + k) * TEAMS + team);
        let statistics = team_reduce(lane_statistics(task));
        if (task.exists && lane == 0u) {
            store_partials(task.partial, statistics);
        }
    }
}
