//! Sums over slices in independent accumulators: the compiler makes vectors of them, and short chains keep them exact.

/// Eight SSE, four AVX or two AVX-512 registers.
const LANES: usize = 32;

pub(super) fn sum(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += x;
        }
    }
    total(sums) + rest.iter().sum::<f32>()
}

/// Of the squares of x - mean.
pub(super) fn squares(x: &[f32], mean: f32) -> f32 {
    let square = |x: &f32| (x - mean) * (x - mean);
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += square(x);
        }
    }
    total(sums) + rest.iter().map(square).sum::<f32>()
}

/// Of the gradients, and of their products with x - mean.
pub(super) fn products(gradients: &[f32], x: &[f32], mean: f32) -> [f32; 2] {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (gradient_blocks, gradient_rest) = gradients.as_chunks::<LANES>();
    let (mut sums, mut dots) = ([0.0; LANES], [0.0; LANES]);
    for (block, gradients) in blocks.iter().zip(gradient_blocks) {
        for i in 0..LANES {
            sums[i] += gradients[i];
            dots[i] += gradients[i] * (block[i] - mean);
        }
    }
    let dot: f32 = rest
        .iter()
        .zip(gradient_rest)
        .map(|(x, g)| g * (x - mean))
        .sum();
    [
        total(sums) + gradient_rest.iter().sum::<f32>(),
        total(dots) + dot,
    ]
}

/// The same with a weight for each gradient.
pub(super) fn weighted_products(
    gradients: &[f32],
    weights: &[f32],
    x: &[f32],
    mean: f32,
) -> [f32; 2] {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (gradient_blocks, gradient_rest) = gradients.as_chunks::<LANES>();
    let (weight_blocks, weight_rest) = weights.as_chunks::<LANES>();
    let (mut sums, mut dots) = ([0.0; LANES], [0.0; LANES]);
    for ((block, gradients), weights) in blocks.iter().zip(gradient_blocks).zip(weight_blocks) {
        for i in 0..LANES {
            let gradient = gradients[i] * weights[i];
            sums[i] += gradient;
            dots[i] += gradient * (block[i] - mean);
        }
    }
    let [mut sum, mut dot] = [total(sums), total(dots)];
    for ((x, gradient), weight) in rest.iter().zip(gradient_rest).zip(weight_rest) {
        sum += gradient * weight;
        dot += gradient * weight * (x - mean);
    }
    [sum, dot]
}

/// By halves, so that this is vectors too.
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0]
}
