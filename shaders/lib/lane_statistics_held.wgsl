// RESIDENT: statistics of a lane's share of the task, which is held afterwards.

fn lane_statistics(task: Task) -> Partial {
    var cursor = cursor_at(task);
    for (var k = 0u; k < HELD; k += 1u) {
        if (FULL || k < task.vectors) {
            hold_input(k, offset(cursor));
            cursor = advance(cursor);
        }
    }
    let statistics = held_statistics(0u, task.vectors);
    if (task.vectors == 0u) {
        return Partial();
    }
    return statistics;
}
