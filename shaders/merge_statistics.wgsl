// Split, step 2: the parts of each group merged, one team per group; where these are too many, one per stretch of them first,
// into `merged`. A vector of the walk is one partial. What other tensors' statistics are merged with goes to `exported`.

fn run(workgroup: u32) {
    let task = task_at(workgroup, 0u);
    var cursor = cursor_at(task);
    var own = Partial();
    for (var done = 0u; done < task.vectors; done += HELD) {
        var block = Partial();
        for (var k = done; k < min(done + HELD, task.vectors); k += 1u) {
            block = merge(block, load_partials(offset(cursor)));
            cursor = advance(cursor);
        }
        own = merge(own, block);
    }
    let all = team_reduce(own);
    if (task.exists && lane == 0u) {
        store_merged(task.partial, all);
        let moments = moments_of(all);
        store_moments(task.item, moments);
        update_running(task.item, moments);
        store_exported(task.item, all.high);
        store_exported(params.groups + task.item, all.low);
        store_exported(2u * params.groups + task.item, all.m2);
        store_exported(3u * params.groups + task.item, all.scale);
    }
}
