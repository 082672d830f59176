// running = (1 - momentum) * running + momentum * batch, with the unbiased variance; the first channel counts the batch.

fn update_running(channel: u32, moments: Moments) {
    let factor = params.momentum;
    let variance = moments.var_biased * params.unbiased;
    store_running_mean(channel, (1.0 - factor) * load_running_mean(channel) + factor * moments.mean);
    store_running_var(channel, (1.0 - factor) * load_running_var(channel) + factor * variance);
    if (channel == 0u) {
        store_num_batches_tracked(0u, load_num_batches_tracked(0u) + 1u);
    }
}
