// Split, step 3, and evaluation: output = x̂ * weight + bias with saved moments, one part of a group per team.

fn run(workgroup: u32) {
    for (var k = 0u; k < TASKS; k += 1u) {
        let task = task_at((workgroup * TASKS + k) * TEAMS + team);
        normalize_lane(task, saved_centering(task.item));
    }
}
