// Weight and bias of the elements of a vector.

struct Affine {
    weight: Value,
    bias: Value,
}

fn affine_at(channel: u32) -> Affine {
    return Affine(load_weight(channel), load_bias(channel));
}

// That of a channel which is the same for all lanes of a team.
fn affine_of_team(channel: u32) -> Affine {
    var affine = Affine();
    if (loads()) {
        affine = affine_at(channel);
    }
    return Affine(loaded_value(affine.weight), loaded_value(affine.bias));
}
