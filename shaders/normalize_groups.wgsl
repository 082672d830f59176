// Forward in one launch: one team per group computes its statistics and normalizes it, from registers if RESIDENT.

fn run(workgroup: u32) {
    hold_affine(task_at(workgroup, 0u));
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let moments = moments_of(team_reduce(lane_statistics(task)));
        if (task.exists && lane == 0u) {
            store_moments(task.item, moments);
            update_running(task.item, moments);
        }
        normalize_lane(task, centering_of(moments.mean, moments.mean_low, moments.rstd));
    }
}
