// Weight and bias side by side, for a launch that would have one binding too many. One lane per channel.

fn run(workgroup: u32) {
    let channel = workgroup * TEAMS + team;
    if (channel < params.items) {
        store_affine(channel, load_weight(channel));
        store_affine(params.items + channel, load_bias(channel));
    }
}
