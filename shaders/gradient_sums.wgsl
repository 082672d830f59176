// Sums for the gradients, over one part of a group or of a channel per team, into `partials`.

fn run(workgroup: u32) {
    for (var k = 0u; k < TASKS; k += 1u) {
        let task = task_at((workgroup * TASKS + k) * TEAMS + team);
        let sums = team_reduce(lane_sums(task));
        if (task.exists && lane == 0u) {
            store_partials(task.partial, sums.x);
            store_partials(params.plane + task.partial, sums.y);
        }
    }
}
