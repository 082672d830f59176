// What normalizes the elements of a group, as saved in `statistics`: four planes of one number per group.

struct Moments {
    mean: Item,
    // mean + mean_low is the mean to twice the precision.
    mean_low: Item,
    rstd: Item,
    var_biased: Item,
}

fn moments_of(all: Partial) -> Moments {
    let variance = all.m2 / select(params.count, max(all.count, 1.0), LENGTHS);
    let rstd = rstd_of(variance, all.scale);
    return Moments(all.high, all.low, rstd, variance * all.scale * all.scale);
}

// 1 / sqrt(variance * scale² + eps), or 0 if that is a division by 0.
// Both terms are taken in units of the larger one: params.eps_scale² is eps to within a factor of 4.
fn rstd_of(variance: Item, scale: Item) -> Item {
    let unit = inverse(max(scale, Item(params.eps_scale)));
    let a = scale * unit;
    let b = params.eps_scale * unit;
    let v = variance * a * a + params.eps_in_scale * b * b;
    // inverseSqrt may be 2 units in the last place off. Of the upper half of its bits, r, the error e = 1 - v * r² is computed
    // without rounding: 1 / sqrt(v) = r / sqrt(1 - e).
    let r = upper(inverseSqrt(v));
    let square = r * r;
    let v_upper = upper(v);
    let square_upper = upper(square);
    let v_lower = v - v_upper;
    let square_lower = square - square_upper;
    let e = ((1.0 - v_upper * square_upper) - (v_upper * square_lower + v_lower * square_upper)) - v_lower * square_lower;
    let rstd = r + r * (e * (0.5 + 0.375 * e));
    return select(rstd * unit, Item(), v == Item());
}

// x without the lower half of its 24 digits: products of two such numbers are exact.
fn upper(x: Item) -> Item {
    return bitcast<Item>(bitcast<Bits>(x) & Bits(0xfffff000u));
}

fn store_moments(group: u32, moments: Moments) {
    store_statistics(group, moments.mean);
    store_statistics(params.groups + group, moments.mean_low);
    store_statistics(2u * params.groups + group, moments.rstd);
    store_statistics(3u * params.groups + group, moments.var_biased);
}
