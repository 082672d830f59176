// Evaluation: what normalizes each channel, from the running statistics. One lane per channel.

fn run(workgroup: u32) {
    let channel = (workgroup * TEAMS) + team;
    if (channel < params.items) {
        let moments = moments_of(load_running_mean(channel), 0.0, load_running_var(channel));
        store_moments(channel, moments);
    }
}
