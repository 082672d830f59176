// running = (1 - factor) * running + factor * batch as in update_running.wgsl, where groups have different numbers of elements: averages over
// the groups of a channel that have at least two, whose variances are made unbiased one by one. These are the same groups for all channels.
// Without any, nothing changes. `averages` holds means, and biased variances `params.plane` numbers on.

// Sums of so many terms, then of such sums: rounding errors grow with the length of a chain.
const TERMS: u32 = 64u;

fn run(workgroup: u32) {
    let batches = load_num_batches_tracked(0u) + 1u;
    let factor = select(params.momentum, 1.0 / f32(batches), CUMULATIVE);
    var groups = 0u;
    for (var channel = team; channel < params.items; channel += TEAMS) {
        groups = 0u;
        var mean = 0.0;
        var variance = 0.0;
        for (var outer = channel; outer < params.groups; outer += TERMS * params.items) {
            var means = 0.0;
            var variances = 0.0;
            for (var group = outer; group < min(outer + TERMS * params.items, params.groups); group += params.items) {
                let count = valid_count(group);
                if (count >= 2u) {
                    groups += 1u;
                    means += load_averages(group);
                    variances += load_averages(params.plane + group) * (f32(count) / f32(count - 1u));
                }
            }
            mean += means;
            variance += variances;
        }
        if (groups > 0u) {
            let share = factor / f32(groups);
            store_running_mean(channel, (1.0 - factor) * load_running_mean(channel) + share * mean);
            store_running_var(channel, (1.0 - factor) * load_running_var(channel) + share * variance);
        }
    }
    storageBarrier();
    workgroupBarrier();
    if (team == 0u && groups > 0u) {
        store_num_batches_tracked(0u, batches);
    }
}
