// Backward in one launch: one team per group computes its sums and its grad_input, from registers if RESIDENT.
// The sums are kept where weight and bias gradients are made from them.

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let sums = team_reduce(lane_sums(task));
        if (task.exists && lane == 0u) {
            store_partials(task.item, sums[0]);
            store_partials(params.plane + task.item, sums[1]);
        }
        grad_input_lane(task, sums);
    }
}
