// Pairs of partial sums in two planes merged, one team per part of an item. A vector of the walk is one pair.
// Over channels the sums are the gradients of bias and weight; over the runs of a group these enter the sums with their weight.

fn run(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    var cursor = cursor_at(task);
    var own = Partial();
    for (var done = 0u; done < task.vectors; done += HELD) {
        var block = Partial();
        for (var k = done; k < min(done + HELD, task.vectors); k += 1u) {
            let at = offset(cursor);
            let weight = load_weight(partner(cursor));
            block += Partial(load_partials(at) * weight, load_partials(params.plane + at) * weight);
            cursor = advance(cursor);
        }
        own += block;
    }
    let sums = team_reduce(own);
    if (task.exists && lane == 0u) {
        let of_item = sums_of_item(task.item, sums);
        store_sums(task.partial, of_item[0]);
        store_sums(params.all_items * params.parts + task.partial, of_item[1]);
        store_grad_bias(task.partial, sums[0]);
        store_grad_weight(task.partial, sums[1]);
    }
}
