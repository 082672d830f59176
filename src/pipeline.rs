//! A compiled kernel variant with the layout of its bindings.

use crate::error::Result;
use crate::kernel::{Access, Kernel};
use crate::params::Params;
use crate::scope::scoped;
use crate::source::{self, Dialect, Variant};

/// A compute pipeline and the layout of its one bind group.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    pub(crate) fn new(
        device: &wgpu::Device,
        kernel: Kernel,
        variant: &Variant,
        shared: bool,
        cache: Option<&wgpu::PipelineCache>,
    ) -> Result<Self> {
        let label = format!("wgpu-norm.{}", kernel.name());
        let label = label.as_str();
        scoped(device, label, 0, || {
            let layout = bind_group_layout(device, label, kernel, variant, shared);
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(label),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let text = source::wgsl(kernel, variant, shared, Dialect::TARGET);
            let module = shader_module(device, label, text);
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // Every exchanged word is written before it is read.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache,
            });
            Self { pipeline, layout }
        })
    }
}

/// Without bounds checks and loop counters. The counters that wgpu adds keep Mesa from unrolling loops, so that what a
/// lane holds lies in memory: on lavapipe layer norm 4096x768 takes 1.6 times as long with them.
#[expect(unsafe_code, reason = "there is no safe way to leave out the checks")]
fn shader_module(device: &wgpu::Device, label: &str, text: String) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    };
    // SAFETY: every index that a kernel computes is below the length that the plan demands of the tensor, and every loop ends:
    // tests/ladder/coverage.rs simulates the index arithmetic of random problems on random devices, and plan/tensors.rs
    // compares all shapes before anything is recorded. No kernel reads what the launch before it did not write.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}

/// A pipeline cache, empty or with `data`. The device must have the feature.
///
/// # Errors
/// [`Error::Rejected`](crate::Error::Rejected) if the data are of another adapter, driver or version of wgpu.
#[expect(unsafe_code, reason = "wgpu cannot check data that come from a file")]
pub(crate) fn new_cache(device: &wgpu::Device, data: Option<&[u8]>) -> Result<wgpu::PipelineCache> {
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some("wgpu-norm"),
        data,
        // An error says more than an empty cache.
        fallback: false,
    };
    // SAFETY: cache.rs gives data that have the checksum of what wgpu once returned, so they are that, unless somebody forged them,
    // against which the documentation of `Context::load_pipeline_cache` tells to guard the file. wgpu compares adapter and driver.
    scoped(device, "a pipeline cache", 0, || unsafe {
        device.create_pipeline_cache(&descriptor)
    })
}

fn bind_group_layout(
    device: &wgpu::Device,
    label: &str,
    kernel: Kernel,
    variant: &Variant,
    shared: bool,
) -> wgpu::BindGroupLayout {
    let entry = |binding, ty, size| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: wgpu::BufferSize::new(size),
        },
        count: None,
    };
    let params = size_of::<Params>() as u64;
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, params)];
    for (slot, binding) in source::bound_slots(kernel, variant).zip(1..) {
        let read_only = slot.access == Access::Read && !shared;
        let ty = wgpu::BufferBindingType::Storage { read_only };
        entries.push(entry(binding, ty, 0));
    }
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries: &entries,
    })
}
