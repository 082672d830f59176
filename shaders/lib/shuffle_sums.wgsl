// The partial result of the lane whose number differs in the bits of `distance`.

fn shuffled(own: Partial, distance: u32) -> Partial {
    return Partial(subgroupShuffleXor(own[0], distance), subgroupShuffleXor(own[1], distance));
}

// That of the first lane.
fn broadcast(own: Partial) -> Partial {
    return Partial(subgroupBroadcast(own[0], 0u), subgroupBroadcast(own[1], 0u));
}
