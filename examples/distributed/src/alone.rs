//! The network of the `mnist` example in a single process.

#[path = "../../mnist/model.rs"]
#[allow(dead_code, reason = "what only the example itself uses")]
pub(crate) mod model;
#[path = "../../mnist/norm.rs"]
mod norm;
#[path = "../../mnist/ranks.rs"]
mod ranks;

use rand::{SeedableRng, rngs::StdRng};
use wgpu_norm::Context;

use crate::{Result, idx};
use model::{Init, Mlp};

/// With batch norm; the weights depend on the seed alone.
pub(crate) fn network(context: &Context, seed: u64) -> Result<Mlp> {
    let mut rng = StdRng::seed_from_u64(seed);
    Mlp::new(Some(context), Init::Glorot, &mut rng)
}
