// output = x̂ * weight + bias for one vector, and what comes after it.

// The k-th vector of a lane. `of_item` is right for all of an item if PARTNER_CONSTANT.
fn normalize_vector(k: u32, cursor: Cursor, centering: Centering, of_item: Affine) {
    var affine = of_item;
    if (!PARTNER_CONSTANT) {
        affine = affine_again(k, cursor);
    }
    let at = offset(cursor);
    let x_hat = normalized(input_again(k, at), centering);
    store_output(at, finished(at, fma(x_hat, affine.weight, affine.bias)));
}
