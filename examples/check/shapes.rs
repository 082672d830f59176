//! Norms and shapes of the sweep, with the reason why each is there.

use wgpu_norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Norm, RmsNorm};

/// A norm and the shape of its input.
pub(crate) type Sized = (Norm, Vec<usize>);

/// The first of each list run in every way, the others with the ladder's choice alone: each shape compiles
/// pipelines of its own, which takes most of the time (lavapipe, nothing cached: 1,039 pipelines if all did).
pub(crate) const EVERY_WAY: usize = 2;

/// All, by name of the norm.
pub(crate) fn all() -> [(&'static str, Vec<Sized>); 5] {
    [
        ("batch_norm", batch()),
        ("instance_norm", instance()),
        ("group_norm", group()),
        ("layer_norm", layer()),
        ("rms_norm", rms()),
    ]
}

fn batch() -> Vec<Sized> {
    let shapes: [&[usize]; 10] = [
        &[4, 3, 6, 6],     // vectors, lanes wrap from run to run
        &[2049, 5], // rank 2: channels are neighbours; one row more than a part of a split on a CPU
        &[300, 65], // rank 2: more rows than registers, one channel over 64
        &[3, 2, 3], // runs shorter than a 16-byte load
        &[2, 4, 1, 1], // 1x1 spatial
        &[2, 1],    // two values in all
        &[3, 5, 7], // odd runs: no vectors
        &[16, 2, 28, 28], // longer than registers on a CPU
        &[3, 2, 3, 4, 5], // rank 5
        &[2, 2, 200, 180], // 72,000 elements per channel: split unasked everywhere
    ];
    let norm = BatchNorm::new(5);
    let mut all = shapes
        .map(|shape| sized(BatchNorm::new(shape[1]), shape))
        .to_vec();
    all.push(sized(norm.weight(false).momentum(None), &[4, 5, 3])); // bias alone, cumulative average
    all.push(sized(norm.bias(false).momentum(Some(1.0)), &[6, 5])); // weight alone, the batch replaces
    all.push(sized(
        norm.affine(false).track_running_stats(false),
        &[2, 5, 4, 4],
    )); // nothing but x
    all
}

fn instance() -> Vec<Sized> {
    let shapes: [&[usize]; 5] = [
        &[130, 3, 4, 4],   // more samples than the merge of running statistics has lanes
        &[9, 3, 7, 5],     // primes
        &[1, 2, 33, 31],   // odd, one sample
        &[3, 4, 2],        // two values per group
        &[1, 2, 280, 250], // one sample, 70,000 elements per group: split unasked everywhere
    ];
    let norm = |shape: &[usize]| InstanceNorm::new(shape[1]).track_running_stats(true);
    let mut all = shapes
        .map(|shape| sized(norm(shape).affine(true), shape))
        .to_vec();
    all.push(sized(InstanceNorm::new(4), &[2, 4, 2, 3, 4])); // rank 5, PyTorch's default: nothing but x
    all
}

fn group() -> Vec<Sized> {
    let shapes: [(usize, &[usize]); 7] = [
        (2, &[2, 8, 4, 4]), // vectors, several channels and spatial elements per group
        (3, &[5, 9, 7, 3]), // primes
        (4, &[5, 32]),      // rank 2, vectors of channels
        (2, &[3, 4, 5]),    // odd runs
        (6, &[2, 6, 9]),    // one channel per group: instance norm
        (1, &[3, 6]),       // rank 2, one group: layer norm
        (2, &[1, 4, 6, 80, 75]), // rank 5, 72,000 elements per group: split unasked everywhere
    ];
    let norms = shapes.map(|(groups, shape)| sized(GroupNorm::new(groups, shape[1]), shape));
    let mut all = norms.to_vec();
    all.push(sized(GroupNorm::new(2, 4).affine(false), &[2, 4, 12])); // nothing but x
    all
}

/// Rows of layer and RMS norm: normalized shape and shape.
fn rows() -> Vec<(Vec<usize>, Vec<usize>)> {
    let shapes: [(&[usize], usize); 9] = [
        (&[33, 512], 1),    // vectors, a power of two
        (&[300, 7], 1),     // no vectors, more rows than a lane of a column sum takes at once
        (&[5, 513], 1),     // a gradient per column must reach the last one, too
        (&[7, 63], 1),      // odd
        (&[3, 2], 1),       // rows of two values
        (&[1, 1000], 1),    // one row
        (&[2, 2052], 1),    // one vector more than a CPU keeps in registers
        (&[2, 3, 4, 5], 2), // two dimensions normalized
        (&[1, 70_001], 1),  // split unasked everywhere
    ];
    let split = |(shape, k): (&[usize], usize)| (shape[shape.len() - k..].to_vec(), shape.to_vec());
    shapes.map(split).to_vec()
}

fn layer() -> Vec<Sized> {
    let rows = rows().into_iter();
    let mut all: Vec<Sized> = rows
        .map(|(d, shape)| sized(LayerNorm::new(&d), &shape))
        .collect();
    all.push(sized(LayerNorm::new(&[96]).bias(false), &[5, 96])); // weight alone
    all.push(sized(LayerNorm::new(&[96]).affine(false), &[5, 96])); // nothing but x
    all
}

fn rms() -> Vec<Sized> {
    let rows = rows().into_iter();
    let mut all: Vec<Sized> = rows
        .map(|(d, shape)| sized(RmsNorm::new(&d), &shape))
        .collect();
    all.push(sized(RmsNorm::new(&[96]).weight(false), &[5, 96])); // nothing but x
    all
}

fn sized(norm: impl Into<Norm>, shape: &[usize]) -> Sized {
    (norm.into(), shape.to_vec())
}
