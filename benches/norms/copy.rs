//! A GPU copy: the speed of memory as a kernel sees it.

use std::cell::Cell;
use std::time::Duration;

use wgpu_norm::{Context, Tensor, wgpu};

use super::machine::Machine;
use super::timer::Timer;
use crate::Result;

/// Lanes of a workgroup, and vectors of 16 bytes that it copies. Lavapipe, which runs the subgroups of a workgroup one after
/// the other, does best with a single subgroup; real GPUs with many.
const VARIANTS: [(u32, u32); 5] = [(8, 1024), (64, 256), (256, 256), (256, 1024), (256, 4096)];

/// The types of the vectors. Lavapipe loads number by number, of 64 bits as fast as of 32.
const VECTORS: [&str; 2] = ["vec4<f32>", "vec2<u64>"];

/// A kernel that copies half of some number of bytes, hence moves that number.
#[derive(Debug)]
pub(crate) struct Copy {
    /// Each for other buffers.
    bindings: Vec<wgpu::BindGroup>,
    kernel: Kernel,
    turn: Cell<usize>,
}

/// One variant.
#[derive(Debug, Clone)]
struct Kernel {
    pipeline: wgpu::ComputePipeline,
    grid: [u32; 2],
}

impl Copy {
    /// `bytes` are those read and written together. The variant that is the fastest here, found once for as many bytes.
    pub(crate) fn tuned(machine: &Machine, bytes: u64) -> Result<Self> {
        let (context, timer) = (&machine.context, &machine.timer);
        let sets = machine.gpu_sets(bytes);
        let elements = bytes as usize / 8;
        let values: Vec<f32> = (0..elements).map(|i| (i as f32).sin()).collect();
        let from = || Tensor::from_slice(context, &values, &[elements]);
        let to = || Tensor::uninit(context, &[elements]);
        let pairs = (0..sets).map(|_| Ok((from()?, to()?)));
        let pairs = pairs.collect::<wgpu_norm::Result<Vec<_>>>()?;
        let turns = Tensor::counter(context)?;
        let features = context.device().features();
        let has_u64 = features.contains(wgpu::Features::SHADER_INT64);
        let vectors = VECTORS[..1 + usize::from(has_u64)].iter();
        let variants = vectors.flat_map(|vector| VARIANTS.map(|variant| (*vector, variant)));
        let mut known = machine.fastest_copies.borrow_mut();
        let found = known.get(&bytes).copied();
        let possible = variants
            .enumerate()
            .filter(|(number, _)| found.is_none_or(|found| found == *number));
        let copies = possible.map(|(number, (vector, variant))| {
            let kernel = Kernel::new(context, vector, variant, elements as u32 / 4);
            let bindings = pairs.iter();
            let bindings = bindings.map(|(from, to)| kernel.bind(context, [from, to, &turns]));
            let copy = Self {
                bindings: bindings.collect(),
                turn: Cell::default(),
                kernel: kernel.clone(),
            };
            (number, copy)
        });
        let (number, fastest) = fastest(copies.collect(), timer)?;
        known.insert(bytes, number);
        for (_, to) in &pairs {
            to.write(&vec![f32::NAN; elements])?;
        }
        fastest.time(timer, sets as u64)?;
        for (_, to) in &pairs {
            if to.to_vec()? != values {
                return Err("the copy is not one".into());
            }
        }
        Ok(fastest)
    }

    /// The device time of this many runs.
    pub(crate) fn time(&self, timer: &Timer, runs: u64) -> Result<Duration> {
        timer.time(runs, |encoder| {
            let turn = self.turn.get();
            self.turn.set((turn + 1) % self.bindings.len());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.kernel.pipeline);
            pass.set_bind_group(0, &self.bindings[turn], &[]);
            let [x, y] = self.kernel.grid;
            pass.dispatch_workgroups(x, y, 1);
            Ok(())
        })
    }
}

/// Of numbered copies the fastest. They take turns, over all buffers each time; by the shortest time of each, the faster half goes on, until one is left.
fn fastest(copies: Vec<(usize, Copy)>, timer: &Timer) -> Result<(usize, Copy)> {
    let timed = copies.into_iter();
    let mut timed: Vec<_> = timed.map(|copy| (copy, Duration::MAX)).collect();
    while timed.len() > 1 {
        for ((_, copy), time) in &mut timed {
            *time = copy.time(timer, copy.bindings.len() as u64)?.min(*time);
        }
        timed.sort_by_key(|(_, time)| *time);
        timed.truncate(timed.len().div_ceil(2));
    }
    let (fastest, _) = timed.into_iter().next().ok_or("there are no variants")?;
    Ok(fastest)
}

impl Kernel {
    fn new(context: &Context, vector: &str, (lanes, piece): (u32, u32), vectors: u32) -> Self {
        let device = context.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("copy"),
            source: wgpu::ShaderSource::Wgsl(source(vector, lanes, piece, vectors).into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("copy"),
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let pieces = vectors.div_ceil(piece);
        let rows = pieces.div_ceil(context.caps().max_workgroups_per_dimension);
        Self {
            pipeline,
            grid: [pieces.div_ceil(rows), rows],
        }
    }

    fn bind(&self, context: &Context, tensors: [&Tensor; 3]) -> wgpu::BindGroup {
        let bindings = tensors.iter().zip(0..);
        let entries: Vec<_> = bindings
            .map(|(tensor, binding)| wgpu::BindGroupEntry {
                binding,
                resource: tensor.buffer().as_entire_binding(),
            })
            .collect();
        context
            .device()
            .create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("copy"),
                layout: &self.pipeline.get_bind_group_layout(0),
                entries: &entries,
            })
    }
}

/// Each workgroup owns a contiguous piece. All runs write `turns`, which makes each wait for the one before.
fn source(vector: &str, lanes: u32, piece: u32, vectors: u32) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read> input: array<{vector}>;
        @group(0) @binding(1) var<storage, read_write> output: array<{vector}>;
        @group(0) @binding(2) var<storage, read_write> turns: u32;

        @compute @workgroup_size({lanes})
        fn copy(
            @builtin(workgroup_id) workgroup: vec3<u32>,
            @builtin(num_workgroups) workgroups: vec3<u32>,
            @builtin(local_invocation_index) lane: u32,
        ) {{
            let piece = workgroup.y * workgroups.x + workgroup.x;
            let end = min((piece + 1u) * {piece}u, {vectors}u);
            for (var i = piece * {piece}u + lane; i < end; i += {lanes}u) {{
                output[i] = input[i];
            }}
            if (piece == 0u && lane == 0u) {{
                turns += 1u;
            }}
        }}"
    )
}
