// Weight and bias of the elements of a vector.

struct Affine {
    weight: Value,
    bias: Value,
}

fn affine_at(channel: u32) -> Affine {
    return Affine(load_weight(channel), load_bias(channel));
}
