// Forward in one launch: one team per group computes its statistics and normalizes it, from registers if RESIDENT.

fn run(workgroup: u32) {
    hold_affine(task_at(workgroup * TASKS * TEAMS + team));
    for (var k = 0u; k < TASKS; k += 1u) {
        let task = task_at((workgroup * TASKS + k) * TEAMS + team);
        let moments = moments_of(team_reduce(lane_statistics(task)));
        if (task.exists && lane == 0u) {
            store_moments(task.item, moments);
        }
        normalize_lane(task, centering_of(moments.mean, moments.mean_low, moments.rstd));
    }
}
