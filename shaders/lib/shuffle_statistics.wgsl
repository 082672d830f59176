// The partial result of the lane whose number differs in the bits of `distance`.

fn shuffled(own: Partial, distance: u32) -> Partial {
    return Partial(
        subgroupShuffleXor(own.count, distance),
        subgroupShuffleXor(own.high, distance),
        subgroupShuffleXor(own.low, distance),
        subgroupShuffleXor(own.m2, distance),
        subgroupShuffleXor(own.scale, distance),
    );
}

// That of the first lane.
fn broadcast(own: Partial) -> Partial {
    return Partial(
        subgroupBroadcast(own.count, 0u),
        subgroupBroadcast(own.high, 0u),
        subgroupBroadcast(own.low, 0u),
        subgroupBroadcast(own.m2, 0u),
        subgroupBroadcast(own.scale, 0u),
    );
}
