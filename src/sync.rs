//! Synchronized batch norm: a batch in shards, on several devices or processes, normalized with the statistics of all of it.
//!
//! A batch norm that sees its own shard alone normalizes with the statistics of that: with few samples per device they are noisy, and the
//! devices' running statistics drift apart. Here the ranks (processes, devices) exchange a few numbers per channel, forward the
//! [`Statistics`] and backward the [`Sums`], so that the outcome is that of one device with the whole batch, within rounding, whatever the
//! split; shards may be uneven and empty. PyTorch's `torch.nn.SyncBatchNorm` does the same.
//!
//! ```text
//! forward    count, mean, m2 of the shard  ->  exchange, merge  ->  output by mean and variance of all shards; running statistics
//! backward   sum(g), sum(g * x̂)            ->  exchange, merge  ->  grad_input by the averages over all shards
//! ```
//!
//! How they are exchanged is the caller's business: MPI, sockets, channels between threads. [`SyncLayer`] takes a closure for it, [`SyncPlan`] records
//! both halves of a pass into your own command encoder, and `examples/distributed` trains over processes with MPI.
//!
//! All ranks must get the same numbers, bit for bit, or their running statistics and parameters drift apart: [`Statistics::merge`] and
//! [`Sums::merge`] go by rank, and [`ByRank`] puts what arrives in any order in that of the ranks. They are computed in f64 on the CPU, through
//! which the exchange goes anyway: a device cannot read another one's memory through wgpu.
//!
//! Gradients of weight and bias are those of the shard, as those of any other layer; the training loop sums them up
//! over the ranks. ([`Sums::product`] and [`Sums::gradient`] of all ranks are these sums already.)
//!
//! ```
//! use wgpu_norm::sync::{ByRank, Statistics};
//! # fn main() -> wgpu_norm::Result<()> {
//! // Two channels; three ranks with three values of each, none, and one. Messages arrive in any order.
//! let mut ranks = ByRank::new(3);
//! ranks.insert(2, Statistics::new(1, vec![6.0, 1.0], vec![0.0, 0.0])?)?;
//! ranks.insert(0, Statistics::new(3, vec![2.0, 1.0], vec![2.0, 0.0])?)?;
//! ranks.insert(1, Statistics::new(0, vec![0.0; 2], vec![0.0; 2])?)?;
//! let all = Statistics::merge(&ranks.finish()?)?;
//! // 1, 2, 3 and 6: mean 3, biased variance 3.5.
//! assert_eq!((all.count(), all.mean(), all.var()), (4, &[3.0, 1.0][..], vec![3.5, 0.0]));
//! # Ok(())
//! # }
//! ```

mod by_rank;
mod layer;
mod statistics;
mod sums;

pub use crate::plan::{Moments, SyncPlan};
pub use by_rank::ByRank;
pub use layer::{SyncForward, SyncLayer, SyncSaved};
pub use statistics::Statistics;
pub use sums::Sums;

use crate::error::{Error, Result};

/// A count and two numbers per channel, as one rank sends them: the count, then the two of each, channel by channel in planes.
fn to_message(count: u64, [first, second]: [&[f64]; 2]) -> Vec<f64> {
    let mut message = vec![count as f64];
    message.extend(first);
    message.extend(second);
    message
}

/// What [`to_message`] was given.
fn from_message(message: &[f64]) -> Result<(u64, [Vec<f64>; 2])> {
    // Up to here f64 counts without gaps.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let Some((&count, planes)) = message.split_first() else {
        return Err(Error::Missing("the count", "the message is empty"));
    };
    if !(0.0..=MOST).contains(&count) || count.fract() != 0.0 {
        return Err(Error::Value {
            name: "the count of a message",
            expected: "an integer from 0 to 2^53",
            got: count.to_string(),
        });
    }
    if !planes.len().is_multiple_of(2) {
        return Err(Error::Value {
            name: "the length of a message",
            expected: "odd: a count and two numbers per channel",
            got: message.len().to_string(),
        });
    }
    let (first, second) = planes.split_at(planes.len() / 2);
    Ok((count as u64, [first.to_vec(), second.to_vec()]))
}
