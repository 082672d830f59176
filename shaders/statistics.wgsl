// Split, step 1: statistics of one part of a group per team, into `partials`.

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let statistics = team_reduce(lane_statistics(task));
        if (task.exists && lane == 0u) {
            store_partials(task.partial, statistics);
        }
    }
}
