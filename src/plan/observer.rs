//! Observing tensors, recorded into the caller's command encoder.

use super::lazy::Lazy;
use super::operands::{InPlace, Operands};
use super::prepared::Prepared;
use crate::context::Context;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::geometry::Problem;
use crate::kernel::Slot;
use crate::observe::{Histogram, Moments, Observation};
use crate::ops::{self, LayerNorm, Mode, Norm};
use crate::recipe::{MOST_BINS, Recipe};
use crate::scope::scoped;
use crate::sync::Statistics;
use crate::tensor::{Tensor, new_buffer};

/// Takes mean, variance and histogram of tensors of one shape.
#[derive(Debug)]
pub struct Observer {
    context: Context,
    shape: Vec<usize>,
    dtype: DType,
    /// `None` for tensors without elements.
    problem: Option<Problem>,
    edges: Vec<f32>,
    /// The same as integers in the same order.
    keys: Tensor,
    prepared: Lazy,
}

/// Room for what an [`Observer`] writes.
#[derive(Debug, Clone)]
pub struct Observed {
    exported: Tensor,
    counts: Tensor,
}

impl Observer {
    /// An observer of tensors of `shape`, of F32, with a bin between each two neighbouring `edges`.
    ///
    /// # Errors
    /// [`Error::Value`] if there are not 1 to 1,024 bins, or if the edges do not increase or are not finite; [`Error::Limit`] if the tensor is
    /// larger than a binding of the device; [`Error::OutOfMemory`].
    pub fn new(context: &Context, shape: &[usize], edges: &[f32]) -> Result<Self> {
        Self::of_dtype(context, DType::F32, shape, edges)
    }

    /// [`Observer::new`] for tensors of type `dtype`: one of [`DType::DATA`].
    ///
    /// # Errors
    /// Those of [`Observer::new`], and [`Error::Value`] if `dtype` is U32.
    pub fn of_dtype(
        context: &Context,
        dtype: DType,
        shape: &[usize],
        edges: &[f32],
    ) -> Result<Self> {
        dtype.expect_data()?;
        let bins = edges.len().saturating_sub(1);
        check(
            "the number of bins",
            "1 to 1024",
            bins.to_string(),
            (1..=MOST_BINS).contains(&bins),
        )?;
        for pair in edges.windows(2) {
            let increases = pair.iter().all(|edge| edge.is_finite()) && pair[0] < pair[1];
            let got = format!("{pair:?}");
            check("edges", "finite and increasing", got, increases)?;
        }
        let elements = ops::elements(shape)?;
        let problem = match elements {
            0 => None,
            // One row of all elements.
            _ => Norm::from(LayerNorm::new(&[elements]).affine(false))
                .lower(&[elements], Mode::TRAINING)?,
        };
        let problem = problem.map(|problem| Problem { dtype, ..problem });
        let keys = counters(context, edges.len())?;
        keys.write(&edges.iter().map(|edge| key(*edge)).collect::<Vec<u32>>())?;
        let observer = Self {
            context: context.clone(),
            shape: shape.to_vec(),
            dtype,
            problem,
            edges: edges.to_vec(),
            keys,
            prepared: Lazy::default(),
        };
        // What cannot be done is said here, not at the first use.
        observer.recipe()?;
        Ok(observer)
    }

    fn recipe(&self) -> Result<Option<Recipe>> {
        let edges = self.edges.len() as u32;
        self.problem
            .map(|problem| Recipe::observe(&problem, self.context.caps(), edges))
            .transpose()
    }

    /// The scratch buffers allocated so far.
    #[must_use]
    pub fn scratch(&self) -> Vec<wgpu::Buffer> {
        let prepared = self.prepared.get();
        prepared.map_or_else(Vec::new, |prepared| prepared.scratch())
    }

    /// Room for an observation.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn room(&self) -> Result<Observed> {
        Ok(Observed {
            exported: Tensor::uninit(&self.context, &[4, 1])?,
            counts: counters(&self.context, self.edges.len() + 2)?,
        })
    }

    /// Records the observation of `tensor` into the caller's encoder; [`Observer::read`] reads it after submission.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::OtherContext`] or [`Error::Overlap`] if the tensors do not fit, [`Error::OutOfMemory`] or
    /// [`Error::Rejected`] if the first use fails. Nothing is recorded then.
    pub fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tensor: &Tensor,
        into: &Observed,
    ) -> Result<()> {
        let mut operands = Operands::new(&self.context, self.dtype);
        operands.read(Slot::Input, tensor, &self.shape)?;
        operands.read(Slot::Edges, &self.keys, &[self.edges.len()])?;
        operands.write(Slot::Exported, &into.exported, &[4, 1], InPlace::Never)?;
        let counts = [self.edges.len() + 2];
        operands.write(Slot::Counts, &into.counts, &counts, InPlace::Never)?;
        operands.check_overlaps()?;
        let prepared = match self.problem {
            None => None,
            Some(_) => Some(self.prepared.or_prepare(|| {
                let reason = Error::Unexpected("a pass", "the tensor has no elements");
                Prepared::new(&self.context, self.recipe()?.ok_or(reason)?, None, false)
            })?),
        };
        let counts = &into.counts;
        encoder.clear_buffer(counts.buffer(), counts.offset(), Some(counts.byte_len()));
        match prepared {
            None => Ok(()),
            Some(prepared) => prepared.record(&self.context, encoder, "observe", &operands),
        }
    }

    /// What was recorded and submitted. Waits for the device.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub fn read(&self, observed: &Observed) -> Result<Observation> {
        let exported = observed.exported.to_vec()?;
        self.observation(&exported, &observed.counts.to_vec_of()?)
    }

    /// [`Observer::read`] without blocking.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub async fn read_async(&self, observed: &Observed) -> Result<Observation> {
        let exported = observed.exported.to_vec_async().await?;
        self.observation(&exported, &observed.counts.to_vec_of_async().await?)
    }

    fn observation(&self, exported: &[f32], counts: &[u32]) -> Result<Observation> {
        let count = self.problem.map_or(0, |problem| problem.elements.into());
        let statistics = Statistics::from_exported(count, exported)?;
        let first = |values: &[f64]| match values.first() {
            Some(value) if count > 0 => *value,
            _ => 0.0,
        };
        let at = |place: usize| counts.get(place).copied().unwrap_or(0);
        let bins = self.edges.len() - 1;
        Ok(Observation {
            moments: Moments {
                count,
                mean: first(statistics.mean()),
                var: first(&statistics.var()),
            },
            histogram: Histogram {
                edges: self.edges.clone(),
                counts: counts.iter().skip(1).take(bins).copied().collect(),
                below: at(0),
                above: at(bins + 1),
                nan: at(bins + 2),
            },
        })
    }

    /// Observes `tensor`: submits that work and waits for it.
    ///
    /// # Errors
    /// Those of [`Observer::record`] and [`Observer::read`].
    pub fn observe(&self, tensor: &Tensor) -> Result<Observation> {
        let (room, device) = (self.room()?, self.context.device());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("wgpu-norm.observe"),
        });
        self.record(&mut encoder, tensor, &room)?;
        scoped(device, "an observation", 0, || {
            self.context.queue().submit([encoder.finish()]);
        })?;
        self.read(&room)
    }
}

fn counters(context: &Context, count: usize) -> Result<Tensor> {
    let buffer = new_buffer(context, "wgpu-norm.counters", 4 * count as u64)?;
    Tensor::from_buffer_of(context, DType::U32, buffer, 0, &[count])
}

/// The number's place among all, as shaders/histogram.wgsl counts them.
fn key(number: f32) -> u32 {
    let bits = number.to_bits();
    if bits > 1 << 31 {
        !bits
    } else {
        bits | 1 << 31
    }
}

fn check(name: &'static str, expected: &'static str, got: String, holds: bool) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Value {
        name,
        expected,
        got,
    })
}
