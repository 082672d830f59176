// Evaluation: what normalizes a channel, from its running statistics.

fn running_moments(channel: u32) -> Moments {
    let variance = load_running_var(channel);
    let scale = scale_of(sqrt(abs(variance)));
    let unit = inverse(scale);
    let rstd = rstd_of(variance * unit * unit, scale);
    return Moments(load_running_mean(channel), Item(), rstd, variance);
}

fn saved_centering(channel: u32) -> Centering {
    let moments = running_moments(channel);
    return centering_of(moments.mean, moments.mean_low, moments.rstd);
}

fn centering_of_group(task: Task) -> Centering {
    return saved_centering(task.group);
}

// For a backward pass; the first task of a channel does it.
fn keep_moments(channel: u32, first: bool) {
    if (first) {
        store_moments(channel, running_moments(channel));
    }
}
