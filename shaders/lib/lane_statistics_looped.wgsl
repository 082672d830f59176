// Not RESIDENT: statistics of a lane's share of the task, which is held block by block.

// Blocks, then blocks of blocks: rounding errors grow with the length of a chain of merges.
fn lane_statistics(task: Task) -> Partial {
    var cursor = cursor_at(task);
    var statistics = Partial();
    for (var outer = 0u; outer < task.vectors; outer += HELD * BLOCKS) {
        var block = Partial();
        for (var done = outer; done < min(outer + HELD * BLOCKS, task.vectors); done += HELD) {
            let vectors = min(task.vectors - done, HELD);
            for (var k = 0u; k < HELD; k += 1u) {
                if (FULL || k < vectors) {
                    hold_input(k, offset(cursor));
                    cursor = advance(cursor);
                }
            }
            block = merge(block, held_statistics(0u, vectors));
        }
        statistics = merge(statistics, block);
    }
    return statistics;
}
