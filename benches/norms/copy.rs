//! A GPU copy: the speed of memory as a kernel sees it.

use wgpu_norm::{Context, Result, Tensor, wgpu};

/// A kernel that copies half of some number of bytes, hence moves that number.
#[derive(Debug)]
pub(crate) struct Copy {
    context: Context,
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    workgroups: u32,
}

/// Vectors of 16 bytes per workgroup.
const PIECE: u32 = 1024;

impl Copy {
    /// `bytes` are those read and written together.
    pub(crate) fn verified(context: &Context, bytes: u64) -> Result<Self> {
        let elements = bytes as usize / 8;
        let values: Vec<f32> = (0..elements).map(|i| (i as f32).sin()).collect();
        let from = Tensor::from_slice(context, &values, &[elements])?;
        let to = Tensor::uninit(context, &[elements])?;
        let vectors = (elements / 4) as u32;
        let copy = Self::new(context, &from, &to, vectors);
        copy.run();
        assert!(to.to_vec()? == values, "the copy is not one");
        Ok(copy)
    }

    fn new(context: &Context, from: &Tensor, to: &Tensor, vectors: u32) -> Self {
        let device = context.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("copy"),
            source: wgpu::ShaderSource::Wgsl(source(context, vectors).into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("copy"),
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let entries = [(0, from), (1, to)].map(|(binding, tensor)| wgpu::BindGroupEntry {
            binding,
            resource: tensor.buffer().as_entire_binding(),
        });
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("copy"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self {
            context: context.clone(),
            pipeline,
            bindings,
            workgroups: vectors.div_ceil(PIECE),
        }
    }

    /// Records, submits and waits.
    pub(crate) fn run(&self) {
        let device = self.context.device();
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(self.workgroups, 1, 1);
        drop(pass);
        self.context.queue().submit([encoder.finish()]);
        let done = device.poll(wgpu::PollType::wait_indefinitely());
        done.expect("the device works");
    }
}

/// Each workgroup owns a contiguous piece. On lavapipe, which runs the subgroups of a workgroup one after the other, a
/// workgroup of one subgroup (8 lanes) is fastest: 11 to 12 GB/s on two cores, against 8 to 9 of a vector per invocation.
fn source(context: &Context, vectors: u32) -> String {
    let lanes = if context.caps().cpu { 8 } else { 256 };
    format!(
        "@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
        @group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;

        @compute @workgroup_size({lanes})
        fn copy(@builtin(workgroup_id) piece: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{
            let end = min((piece.x + 1u) * {PIECE}u, {vectors}u);
            for (var i = piece.x * {PIECE}u + lane; i < end; i += {lanes}u) {{
                output[i] = input[i];
            }}
        }}"
    )
}
