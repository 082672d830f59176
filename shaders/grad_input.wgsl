// grad_input with the sums of each group at hand, one part of a group per team.

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        grad_input_lane(task, sums_of_group(task));
    }
}
