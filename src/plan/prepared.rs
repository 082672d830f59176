//! A recipe with everything that its launches need but the caller's tensors.

use std::sync::{Arc, Mutex, PoisonError};

use super::operands::{Operands, Piece};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::kernel::{Access, Element, Slot};
use crate::params::Params;
use crate::pipeline::Pipeline;
use crate::recipe::{Recipe, Step};
use crate::scope::scoped;
use crate::source;
use crate::tensor::new_buffer;

/// Bind groups kept per launch, where a plan keeps any: a loop that reuses its buffers has a few sets of them.
const KEPT_BIND_GROUPS: usize = 8;

#[derive(Debug)]
pub(super) struct Prepared {
    steps: Vec<PreparedStep>,
    params: wgpu::Buffer,
    partials: Option<wgpu::Buffer>,
    sums: Option<wgpu::Buffer>,
    merged: Option<wgpu::Buffer>,
    affine: Option<wgpu::Buffer>,
    statistics: Option<wgpu::Buffer>,
    keep_bind_groups: bool,
}

/// Buffers and offsets of the slots, in binding order.
type BindGroupKey = Vec<(wgpu::Buffer, u64)>;

#[derive(Debug)]
struct PreparedStep {
    step: Step,
    grid: [u32; 2],
    params_offset: u64,
    /// Of tensors in separate buffers, and of tensors that share one.
    pipelines: [Mutex<Option<Arc<Pipeline>>>; 2],
    bind_groups: Mutex<Vec<(BindGroupKey, wgpu::BindGroup)>>,
}

impl Prepared {
    /// `own_statistics`: bytes of statistics that the caller does not want to see.
    /// `keep_bind_groups`: they hold the caller's buffers alive.
    pub(super) fn new(
        context: &Context,
        recipe: Recipe,
        own_statistics: Option<u64>,
        keep_bind_groups: bool,
    ) -> Result<Self> {
        let scratch = |label, bytes: u64| {
            (bytes > 0)
                .then(|| new_buffer(context, label, bytes))
                .transpose()
        };
        let stride = (size_of::<Params>() as u64)
            .next_multiple_of(context.caps().uniform_alignment.max(1).into());
        let steps: Vec<PreparedStep> = recipe
            .steps
            .into_iter()
            .zip(0u64..)
            .map(|(step, index)| PreparedStep {
                grid: step.grid(context.caps()),
                step,
                params_offset: index * stride,
                pipelines: Default::default(),
                bind_groups: Mutex::default(),
            })
            .collect();
        Ok(Self {
            params: upload_params(context, &steps, stride)?,
            partials: scratch("wgpu-norm.partials", recipe.partials_bytes)?,
            sums: scratch("wgpu-norm.sums", recipe.sums_bytes)?,
            merged: scratch("wgpu-norm.merged", recipe.merged_bytes)?,
            affine: scratch("wgpu-norm.affine", recipe.affine_bytes)?,
            statistics: scratch("wgpu-norm.statistics", own_statistics.unwrap_or(0))?,
            keep_bind_groups,
            steps,
        })
    }

    pub(super) fn scratch(&self) -> Vec<wgpu::Buffer> {
        [
            &self.partials,
            &self.sums,
            &self.merged,
            &self.affine,
            &self.statistics,
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
    }

    pub(super) fn bind_group_count(&self) -> usize {
        let kept = self.steps.iter().map(|step| {
            let bind_groups = step.bind_groups.lock();
            bind_groups.unwrap_or_else(PoisonError::into_inner).len()
        });
        kept.sum()
    }

    pub(super) fn forget_tensors(&self) {
        for step in &self.steps {
            let bind_groups = step.bind_groups.lock();
            bind_groups.unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Records all launches in one pass, or nothing.
    pub(super) fn record(
        &self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
        label: &str,
        operands: &Operands<'_>,
    ) -> Result<()> {
        let mut launches = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            launches.push(self.launch(context, step, operands)?);
        }
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(label),
            timestamp_writes: None,
        });
        for (step, (pipeline, bind_group)) in self.steps.iter().zip(&launches) {
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            let [x, y] = step.grid;
            pass.dispatch_workgroups(x, y, 1);
        }
        Ok(())
    }

    fn launch(
        &self,
        context: &Context,
        step: &PreparedStep,
        operands: &Operands<'_>,
    ) -> Result<(Arc<Pipeline>, wgpu::BindGroup)> {
        let Step {
            kernel, variant, ..
        } = &step.step;
        let bound = source::bound_slots(*kernel, variant)
            .map(|slot| {
                let operand = step.step.operand(slot.slot);
                let piece = operands.get(operand).or_else(|| self.own(operand));
                let missing = Error::Missing(operand.name(), "a launch needs it");
                let piece = match &step.step.window {
                    Some(window) if slot.element == Element::Data => piece.map(|p| p.part(window)),
                    _ => piece,
                };
                Ok((piece.ok_or(missing)?, slot.access != Access::Read))
            })
            .collect::<Result<Vec<(Piece<'_>, bool)>>>()?;
        let shared = bound.iter().any(|(written, is_written)| {
            let same = bound
                .iter()
                .filter(|(other, _)| other.buffer == written.buffer);
            *is_written && same.count() > 1
        });
        let pipeline = step.pipeline(context, shared)?;
        let bind_group = self.bind_group(context, step, &pipeline, &bound)?;
        Ok((pipeline, bind_group))
    }

    /// Scratch memory by the name of the slot.
    fn own(&self, slot: Slot) -> Option<Piece<'_>> {
        let buffer = match slot {
            Slot::Partials => &self.partials,
            Slot::Sums => &self.sums,
            Slot::Merged => &self.merged,
            Slot::Affine => &self.affine,
            Slot::Statistics => &self.statistics,
            _ => &None,
        };
        buffer.as_ref().map(|buffer| Piece {
            buffer,
            offset: 0,
            size: buffer.size(),
        })
    }

    fn bind_group(
        &self,
        context: &Context,
        step: &PreparedStep,
        pipeline: &Pipeline,
        bound: &[(Piece<'_>, bool)],
    ) -> Result<wgpu::BindGroup> {
        let is_key = |key: &[(wgpu::Buffer, u64)]| {
            let pieces = bound.iter().map(|(piece, _)| (piece.buffer, piece.offset));
            key.iter()
                .map(|(buffer, offset)| (buffer, *offset))
                .eq(pieces)
        };
        let mut kept = step
            .bind_groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bind_group)) = kept.iter().find(|(key, _)| is_key(key)) {
            return Ok(bind_group.clone());
        }
        let pieces = bound.iter().map(|(piece, _)| *piece);
        let bind_group = self.new_bind_group(context, step, pipeline, pieces)?;
        if self.keep_bind_groups {
            if kept.len() == KEPT_BIND_GROUPS {
                kept.remove(0);
            }
            let key = bound
                .iter()
                .map(|(piece, _)| (piece.buffer.clone(), piece.offset));
            kept.push((key.collect(), bind_group.clone()));
        }
        Ok(bind_group)
    }

    fn new_bind_group<'a>(
        &'a self,
        context: &Context,
        step: &PreparedStep,
        pipeline: &Pipeline,
        pieces: impl Iterator<Item = Piece<'a>>,
    ) -> Result<wgpu::BindGroup> {
        let label = format!("wgpu-norm.{}", step.step.kernel.name());
        let params = Piece {
            buffer: &self.params,
            offset: step.params_offset,
            size: size_of::<Params>() as u64,
        };
        let pieces = std::iter::once(params).chain(pieces);
        let entries: Vec<wgpu::BindGroupEntry<'_>> = pieces
            .zip(0..)
            .map(|(piece, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: piece.buffer,
                    offset: piece.offset,
                    size: wgpu::BufferSize::new(piece.size),
                }),
            })
            .collect();
        scoped(context.device(), &label, 0, || {
            context
                .device()
                .create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(&label),
                    layout: &pipeline.layout,
                    entries: &entries,
                })
        })
    }

    /// Records each launch with no workgroups and small buffers in place of the caller's. Returns the number of pipelines compiled
    /// for it.
    pub(super) fn record_empty(
        &self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<usize> {
        // As large as any element, and as any alignment of an offset.
        const BYTES: u64 = 256;
        let mut compiled = 0;
        for step in &self.steps {
            let (pipeline, is_new) = step.pipeline_or_compile(context, false)?;
            compiled += usize::from(is_new);
            let slots = source::bound_slots(step.step.kernel, &step.step.variant);
            let buffers = slots
                .map(|_| new_buffer(context, "wgpu-norm.warm_up", BYTES))
                .collect::<Result<Vec<_>>>()?;
            let pieces = buffers.iter().map(|buffer| Piece {
                buffer,
                offset: 0,
                size: BYTES,
            });
            let bind_group = self.new_bind_group(context, step, &pipeline, pieces)?;
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(0, 0, 0);
        }
        Ok(compiled)
    }
}

impl PreparedStep {
    fn pipeline(&self, context: &Context, shared: bool) -> Result<Arc<Pipeline>> {
        Ok(self.pipeline_or_compile(context, shared)?.0)
    }

    /// The pipeline, and whether it was compiled now.
    fn pipeline_or_compile(
        &self,
        context: &Context,
        shared: bool,
    ) -> Result<(Arc<Pipeline>, bool)> {
        let mut slot = self.pipelines[usize::from(shared)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = &*slot {
            return Ok((pipeline.clone(), false));
        }
        let (pipeline, compiled) =
            context.pipeline(self.step.kernel, &self.step.variant, shared)?;
        Ok((slot.insert(pipeline).clone(), compiled))
    }
}

/// The parameter blocks of all steps, `stride` bytes apart, in one buffer.
fn upload_params(context: &Context, steps: &[PreparedStep], stride: u64) -> Result<wgpu::Buffer> {
    let mut bytes = vec![0u8; stride as usize * steps.len().max(1)];
    for step in steps {
        let at = step.params_offset as usize;
        let params = bytemuck::bytes_of(&step.step.params);
        bytes[at..at + params.len()].copy_from_slice(params);
    }
    let size = bytes.len() as u64;
    scoped(context.device(), "parameters", size, || {
        let buffer = context.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-norm.params"),
            size,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        context.queue().write_buffer(&buffer, 0, &bytes);
        buffer
    })
}
