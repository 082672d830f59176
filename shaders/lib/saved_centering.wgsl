// The saved moments of a group, read back.

fn saved_centering(group: u32) -> Centering {
    return centering_of(
        load_statistics(group),
        load_statistics(params.groups + group),
        load_statistics(2u * params.groups + group),
    );
}

// Those of the group of a task, for all of its lanes.
fn centering_of_group(task: Task) -> Centering {
    var mean = Moment();
    var mean_low = Moment();
    var rstd = Moment();
    if (loads()) {
        mean = load_statistics(task.group);
        mean_low = load_statistics(params.groups + task.group);
        rstd = load_statistics(2u * params.groups + task.group);
    }
    return centering_of(loaded(mean), loaded(mean_low), loaded(rstd));
}
