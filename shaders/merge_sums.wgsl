// Pairs of partial sums in two planes merged, one team per part of an item. A vector of the walk is one pair.
// Over channels the sums are the gradients of bias and weight.

fn run(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    var own = Partial();
    for (var done = 0u; done < task.vectors; done += HELD) {
        var block = Partial();
        for (var k = done; k < min(done + HELD, task.vectors); k += 1u) {
            let at = (task.first + k * LANES) * params.items + task.item;
            block += Partial(load_partials(at), load_partials(params.plane + at));
        }
        own += block;
    }
    let sums = team_reduce(own);
    if (task.exists && lane == 0u) {
        store_sums(task.partial, sums.x);
        store_sums(params.tasks + task.partial, sums.y);
        store_grad_bias(task.partial, sums.x);
        store_grad_weight(task.partial, sums.y);
    }
}
