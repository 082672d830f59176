// Sums for the gradients, over one part of a group or of a channel per team.

alias Summed = Item;

fn run(workgroup: u32) {
    hold_affine(task_at(workgroup, 0u));
    for (var row = 0u; row < params.chunk; row += 1u) {
        let task = task_at(workgroup, row);
        let sums = team_reduce(lane_sums(task));
        if (task.exists && lane == 0u) {
            store_summed(task.partial, task.item, sums[0], sums[1]);
        }
    }
}
