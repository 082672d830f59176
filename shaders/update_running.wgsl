// running = (1 - factor) * running + factor * batch, with the unbiased variance; a single workgroup walks all channels,
// since all of them read the number of batches that one lane then counts up.
// `averages` holds, in two planes, sums over the batch of means and of biased variances; `scale` makes them averages.

fn run(workgroup: u32) {
    let batches = load_num_batches_tracked(0u) + 1u;
    let factor = select(params.momentum, 1.0 / f32(batches), CUMULATIVE);
    for (var channel = team; channel < params.items; channel += TEAMS) {
        let mean = load_averages(channel) * params.scale;
        let variance = load_averages(params.plane + channel) * params.scale * params.unbiased;
        let old_mean = load_running_mean(channel);
        let old_var = load_running_var(channel);
        store_running_mean(channel, (1.0 - factor) * old_mean + factor * mean);
        store_running_var(channel, (1.0 - factor) * old_var + factor * variance);
    }
    storageBarrier();
    workgroupBarrier();
    if (team == 0u) {
        store_num_batches_tracked(0u, batches);
    }
}
