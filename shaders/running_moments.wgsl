// Evaluation: what normalizes each channel, from the running statistics. One lane per channel.

fn run(workgroup: u32) {
    let channel = (workgroup * TEAMS) + team;
    if (channel < params.items) {
        let variance = load_running_var(channel);
        let scale = scale_of(sqrt(abs(variance)));
        let unit = inverse(scale);
        let rstd = rstd_of(variance * unit * unit, scale);
        store_moments(channel, Moments(load_running_mean(channel), 0.0, rstd, variance));
    }
}
