// The sums of a channel, of which nothing is left to merge, as each slice has one: its gradients, added to those of the slices before.

fn store_summed(partial: u32, channel: u32, gradient: Summed, product: Summed) {
    var sums = array<Summed, 2>(gradient, product);
    if (params.first_partial != 0u) {
        sums[0] += load_grad_bias(channel);
        sums[1] += load_grad_weight(channel);
    }
    store_grad_bias(channel, sums[0]);
    store_grad_weight(channel, sums[1]);
}
