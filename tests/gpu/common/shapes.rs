//! Shapes, with the reason why each is there.

use wgpu_norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Norm, RmsNorm};

pub(crate) fn batch() -> Vec<(Norm, Vec<usize>)> {
    let shapes: [&[usize]; 20] = [
        &[2, 1],          // two values in all
        &[5, 3],          // rank 2: channels are neighbours, runs of one element
        &[64, 63],        // a lane short of two vectors of channels
        &[300, 65],       // more rows than a lane keeps in registers, one channel over 64
        &[2049, 5],       // one row more than a part of a split on a CPU
        &[2, 8],          // by rows on a CPU: two of them
        &[37, 12], // an odd number of rows, fewer columns than a subgroup has lanes times four
        &[300, 64], // several chunks of rows
        &[70, 1044], // more columns than a workgroup takes, the last ones fewer
        &[2, 3, 2], // runs of 2: still across channels
        &[3, 2, 3], // runs of 3
        &[3, 5, 7], // rank 3, odd runs: no vectors
        &[1, 4, 16], // one sample
        &[2, 1, 8, 8], // one channel
        &[4, 3, 6, 6], // rank 4, vectors, runs of 9 vectors: lanes wrap from run to run
        &[7, 13, 11, 5], // primes
        &[2, 4, 1, 1], // 1x1 spatial
        &[16, 2, 28, 28], // longer than registers on a CPU
        &[3, 2, 3, 4, 5], // rank 5
        &[2, 2, 130, 63], // a split by default on no device, looped on most
    ];
    let norms = shapes.map(|shape| (BatchNorm::new(shape[1]).into(), shape.to_vec()));
    norms.to_vec()
}

pub(crate) fn instance() -> Vec<(Norm, Vec<usize>)> {
    let shapes: [&[usize]; 6] = [
        &[3, 4, 2],       // two values per group
        &[2, 5, 64],      // one vector per lane and more
        &[9, 3, 7, 5],    // primes
        &[1, 2, 33, 31],  // odd
        &[130, 3, 4, 4],  // more samples than a merge has lanes
        &[2, 3, 2, 3, 4], // rank 5
    ];
    let norms = shapes.map(|shape| {
        let norm = InstanceNorm::new(shape[1]).affine(true);
        (norm.track_running_stats(true).into(), shape.to_vec())
    });
    norms.to_vec()
}

pub(crate) fn group() -> Vec<(Norm, Vec<usize>)> {
    let shapes: [(usize, &[usize]); 13] = [
        (1, &[3, 6]),          // rank 2, one group: layer norm
        (3, &[4, 6]),          // rank 2: channels are neighbours within a group
        (4, &[5, 32]),         // rank 2, vectors of channels
        (2, &[3, 4, 5]),       // odd runs
        (6, &[2, 6, 9]),       // one channel per group: instance norm
        (2, &[2, 8, 4, 4]),    // vectors, several channels and spatial elements per group
        (3, &[5, 9, 7, 3]),    // primes
        (2, &[2, 4, 3, 2, 4]), // rank 5
        (2, &[2, 6, 32, 32]),  // long groups
        (2, &[3, 10, 13, 64]), // split into their runs: more than a part of a forced split
        (3, &[2, 9, 71, 5]),   // the same, odd
        (2, &[3, 4, 16, 16]),  // kept run by run
        (2, &[3, 4, 67]),      // the same, odd
    ];
    let norms =
        shapes.map(|(groups, shape)| (GroupNorm::new(groups, shape[1]).into(), shape.to_vec()));
    norms.to_vec()
}

/// Rows of layer and RMS norm.
pub(crate) fn rows() -> Vec<(Vec<usize>, Vec<usize>)> {
    let shapes: [(&[usize], usize); 17] = [
        (&[3, 2], 1),          // rows of two values
        (&[5, 3], 1),          // less than a vector
        (&[9, 4], 1),          // one vector
        (&[7, 63], 1),         // around 64 columns
        (&[130, 64], 1),       //
        (&[7, 65], 1),         //
        (&[5, 511], 1),        // around 512: a gradient per column must reach every column
        (&[33, 512], 1),       //
        (&[5, 513], 1),        //
        (&[1, 1000], 1),       // one row
        (&[2, 2048], 1),       // the most that a CPU keeps in registers, and
        (&[2, 2052], 1),       // one vector more
        (&[2, 4099], 1),       // prime
        (&[2, 3, 4, 5], 2),    // two dimensions normalized
        (&[2, 3, 4], 3),       // all of them
        (&[2, 2, 2, 2, 6], 1), // rank 5
        (&[300, 7], 1),        // more rows than a lane of a column sum takes at once
    ];
    let split = |(shape, k): (&[usize], usize)| (shape[shape.len() - k..].to_vec(), shape.to_vec());
    shapes.map(split).to_vec()
}

pub(crate) fn layer() -> Vec<(Norm, Vec<usize>)> {
    let norms = rows().into_iter();
    norms
        .map(|(d, shape)| (LayerNorm::new(&d).into(), shape))
        .collect()
}

pub(crate) fn rms() -> Vec<(Norm, Vec<usize>)> {
    let norms = rows().into_iter();
    norms
        .map(|(d, shape)| (RmsNorm::new(&d).into(), shape))
        .collect()
}

/// `[N, ..., C]`.
pub(crate) fn channels_last() -> Vec<(Norm, Vec<usize>)> {
    let batch: [&[usize]; 5] = [
        &[2, 1, 3],       // two values per channel
        &[3, 7, 5],       // primes: no vectors of channels
        &[2, 3, 5, 8],    // by rows on a CPU
        &[4, 5, 1],       // one channel: neighbours are of one channel
        &[2, 2, 3, 5, 6], // rank 5
    ];
    let instance: [&[usize]; 7] = [
        &[3, 2, 4],     // two values per group
        &[9, 35, 3],    // primes
        &[1, 33, 31],   // one sample
        &[2, 300, 8],   // by rows on a CPU, several chunks of rows
        &[5, 3, 7, 20], // fewer rows than a block of them
        &[2, 64, 1],    // one channel
        &[1, 2101, 4],  // more rows than a part of a split on a CPU
    ];
    let group: [(usize, &[usize]); 10] = [
        (3, &[4, 6]),       // rank 2: as channels first
        (1, &[3, 5, 6]),    // one group
        (3, &[4, 5, 6]),    // runs of 2: across
        (2, &[3, 7, 6]),    // runs of 3
        (5, &[3, 11, 35]),  // runs of 7: along, no vectors
        (2, &[2, 9, 5, 8]), // runs of a vector
        (4, &[2, 17, 48]),  // runs of three vectors
        (6, &[2, 9, 6]),    // one channel per group: instance norm
        (2, &[2, 601, 40]), // longer than registers
        (3, &[5, 300, 24]), // several chunks of rows on a CPU
    ];
    let mut norms: Vec<(Norm, Vec<usize>)> = Vec::new();
    for shape in batch {
        let norm = BatchNorm::new(shape[shape.len() - 1]).channels_last(true);
        norms.push((norm.into(), shape.to_vec()));
    }
    for shape in instance {
        let norm = InstanceNorm::new(shape[shape.len() - 1]).channels_last(true);
        let norm = norm.affine(true).track_running_stats(true);
        norms.push((norm.into(), shape.to_vec()));
    }
    for (groups, shape) in group {
        let norm = GroupNorm::new(groups, shape[shape.len() - 1]).channels_last(true);
        norms.push((norm.into(), shape.to_vec()));
    }
    norms
}

/// Layer and RMS norm over the channels of `[N, C, ...]`.
pub(crate) fn channels_first() -> Vec<(Norm, Vec<usize>)> {
    let shapes: [&[usize]; 9] = [
        &[3, 6],           // without space: rows
        &[3, 1, 7],        // one channel
        &[2, 5, 1, 1],     // one point
        &[3, 7, 5],        // primes: no vectors of points
        &[2, 5, 3, 4],     // vectors of points
        &[3, 33, 8],       // more channels than a lane keeps in registers on a CPU, in vectors
        &[1, 130, 9],      // the same without
        &[2, 2101, 4],     // more channels than a part of a split on a CPU
        &[2, 3, 2, 3, 20], // rank 5
    ];
    let layer = shapes.map(|shape| {
        let norm = LayerNorm::new(&shape[1..2]).channels_first(true);
        (norm.into(), shape.to_vec())
    });
    let rms = shapes.map(|shape| {
        let norm = RmsNorm::new(&shape[1..2]).channels_first(true);
        (norm.into(), shape.to_vec())
    });
    [layer, rms].concat()
}

/// Batch norm with virtual batches.
pub(crate) fn ghost() -> Vec<(Norm, Vec<usize>)> {
    let shapes: [(usize, bool, &[usize]); 9] = [
        (2, false, &[6, 3]),       // three batches of two values per channel
        (5, false, &[15, 7]),      // primes
        (37, false, &[74, 12]),    // by rows on a CPU
        (1, false, &[3, 4, 6]),    // instance norm
        (6, false, &[6, 3, 5]),    // batch norm
        (2, false, &[6, 5, 7]),    // odd runs
        (3, false, &[9, 4, 4, 4]), // vectors
        (2, true, &[4, 3, 5]),     // channels last
        (2, true, &[6, 3, 5, 8]),  // the same, by rows on a CPU
    ];
    let norms = shapes.map(|(samples, last, shape)| {
        let channels = if last {
            shape[shape.len() - 1]
        } else {
            shape[1]
        };
        let norm = BatchNorm::new(channels).channels_last(last);
        (
            norm.virtual_batch_size(Some(samples)).into(),
            shape.to_vec(),
        )
    });
    norms.to_vec()
}
