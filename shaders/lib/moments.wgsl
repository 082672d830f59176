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
    var rstd = inverseSqrt(v);
    // One step of Newton's method: inverseSqrt may be 2 units in the last place off.
    rstd = rstd * (1.5 - 0.5 * ((v * rstd) * rstd));
    return select(rstd * unit, Item(), v == Item());
}

fn store_moments(group: u32, moments: Moments) {
    store_statistics(group, moments.mean);
    store_statistics(params.groups + group, moments.mean_low);
    store_statistics(2u * params.groups + group, moments.rstd);
    store_statistics(3u * params.groups + group, moments.var_biased);
}
