// The partial result of the lane whose number differs in the bits of `distance`.

fn shuffled(own: Partial, distance: u32) -> Partial {
    return subgroupShuffleXor(own, distance);
}
