// Split, step 3, and evaluation: output = x̂ * weight + bias with saved moments, one part of a group per team.

fn run(workgroup: u32) {
    hold_affine(task_at(workgroup, 0u));
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        normalize_lane(task, centering_of_group(task));
        keep_moments(task.group, task.exists && task.first == 0u && lane == 0u);
    }
}
