// Backward in one launch: one team per group computes its sums and its grad_input, from registers if RESIDENT.
// The sums are the gradients of bias and weight where a group is all of its channel, and kept where these are made from several groups'.

fn run(workgroup: u32) {
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let sums = team_reduce(lane_sums(task));
        if (task.exists && lane == 0u) {
            store_partials(task.item, sums[0]);
            store_partials(params.plane + task.item, sums[1]);
            store_grad_bias(task.item, sums[0]);
            store_grad_weight(task.item, sums[1]);
        }
        grad_input_lane(task, sums);
    }
}
