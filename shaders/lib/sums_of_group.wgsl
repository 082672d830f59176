// The sums of the group of a task, for all of its lanes.

fn sums_of_group(task: Task) -> Sums {
    var sum = Item();
    var sum_x_hat = Item();
    if (loads()) {
        sum = load_sums(task.group);
        sum_x_hat = load_sums(params.groups + task.group);
    }
    return Sums(loaded(sum), loaded(sum_x_hat));
}
