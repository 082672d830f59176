// The partial result of the lane whose number differs in the bits of `distance`.

fn shuffled(own: Partial, distance: u32) -> Partial {
    return Partial(
        subgroupShuffleXor(own[0], distance),
        subgroupShuffleXor(own[1], distance),
        subgroupShuffleXor(own[2], distance),
    );
}
