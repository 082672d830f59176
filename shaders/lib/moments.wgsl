// What normalizes the elements of a group, as saved in `statistics`: four planes of one number per group.

struct Moments {
    mean: f32,
    // mean + mean_low is the mean to twice the precision.
    mean_low: f32,
    rstd: f32,
    var_biased: f32,
}

fn moments_of(mean: f32, mean_low: f32, variance: f32) -> Moments {
    let v = variance + params.eps;
    var rstd = inverseSqrt(v);
    // One step of Newton's method: inverseSqrt may be 2 units in the last place off. The order keeps rstd² from overflowing.
    rstd = rstd * (1.5 - 0.5 * ((v * rstd) * rstd));
    return Moments(mean, mean_low, select(rstd, 0.0, v == 0.0), variance);
}

fn store_moments(group: u32, moments: Moments) {
    store_statistics(group, moments.mean);
    store_statistics(params.groups + group, moments.mean_low);
    store_statistics(2u * params.groups + group, moments.rstd);
    store_statistics(3u * params.groups + group, moments.var_biased);
}
