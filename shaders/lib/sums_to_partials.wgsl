// Partial sums of a channel or group, which another launch merges.

fn store_summed(partial: u32, channel: u32, gradient: Summed, product: Summed) {
    store_partials(partial, gradient);
    store_partials(params.plane + partial, product);
}
