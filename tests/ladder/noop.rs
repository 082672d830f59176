//! Kernel variants as pipelines of wgpu, every pass recorded and submitted, on wgpu's backend without a GPU:
//! all of wgpu's validation under WebGPU's default limits, on devices with subgroups of several sizes and without.

use std::borrow::Cow;

use naga::AddressSpace;
use pollster::block_on;
use rayon::prelude::*;
use wgpu_norm::check::{Case, results};
use wgpu_norm::kernel::Kernel;
use wgpu_norm::source::{Dialect, Storage, Team, Variant, wgsl};
use wgpu_norm::{Caps, Context, DType, Error, Norm, Strategy};

use crate::problems::MODES;
use crate::variants;

/// A device that validates and computes nothing, with the default limits.
fn noop(caps: &Caps) -> (wgpu::Device, wgpu::Queue) {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions {
        enable: true,
        subgroup_min_size: caps.subgroups.map(|(min, _)| min),
        subgroup_max_size: caps.subgroups.map(|(_, max)| max),
        ..wgpu::NoopBackendOptions::enabled()
    };
    let adapter = block_on(
        wgpu::Instance::new(descriptor).request_adapter(&wgpu::RequestAdapterOptions::default()),
    );
    let mut features = wgpu::Features::empty();
    features.set(wgpu::Features::SUBGROUP, caps.subgroups.is_some());
    features.set(wgpu::Features::SHADER_F16, caps.shader_f16);
    features.set(wgpu::Features::SHADER_INT64, caps.shader_int64);
    let device = block_on(adapter.unwrap().request_device(&wgpu::DeviceDescriptor {
        required_features: features,
        required_limits: wgpu::Limits::defaults(),
        ..wgpu::DeviceDescriptor::default()
    }));
    let (device, queue) = device.unwrap();
    device.on_uncaptured_error(std::sync::Arc::new(|error| panic!("{error}")));
    (device, queue)
}

#[test]
fn every_variant_makes_a_pipeline() {
    let device = |subgroups, shader_f16, shader_int64| {
        noop(&Caps {
            subgroups,
            shader_f16,
            shader_int64,
            ..Caps::WEBGPU
        })
    };
    let devices = [false, true].map(|f16| {
        [None, Some((4, 128))]
            .map(|subgroups| [false, true].map(|int64| device(subgroups, f16, int64)))
    });
    let make = |(kernel, variant, shared): &(Kernel, Variant, bool)| {
        let subgroups = matches!(
            variant.tile.team,
            Team::Subgroup { .. } | Team::Subgroups { .. }
        );
        let shader_f16 = variant.storage == Storage::F16;
        let features = [shader_f16, subgroups, variant.long_words];
        let [f16, subgroups, int64] = features.map(usize::from);
        let (device, _) = &devices[f16][subgroups][int64];
        let text = wgsl(*kernel, variant, *shared, Dialect::Naga);
        let parsed = naga::front::wgsl::parse_str(&text).unwrap();
        within_limits(*kernel, parsed.clone());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name()),
            source: wgpu::ShaderSource::Naga(Cow::Owned(parsed)),
        });
        let _ = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name()),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
    };
    variants::tested().par_iter().for_each(make);
    println!("{} variants", variants::tested().len());
}

/// WebGPU's default limits on what a shader uses; wgpu itself looks at the memory of a workgroup only in drivers.
fn within_limits(kernel: Kernel, mut module: naga::Module) {
    naga::compact::compact(&mut module, naga::compact::KeepUnused::No);
    let [entry] = module.entry_points.as_slice() else {
        panic!("{kernel:?}: {} entry points", module.entry_points.len());
    };
    let invocations: u32 = entry.workgroup_size.iter().product();
    assert!(invocations <= 256, "{kernel:?}: {invocations} invocations");
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let (mut storage, mut workgroup) = (0, 0);
    for (_, variable) in module.global_variables.iter() {
        match variable.space {
            AddressSpace::Storage { .. } => storage += 1,
            AddressSpace::WorkGroup => workgroup += layouter[variable.ty].size,
            _ => {}
        }
    }
    assert!(storage <= 8, "{kernel:?}: {storage} storage buffers");
    assert!(
        workgroup <= 16_384,
        "{kernel:?}: {workgroup} bytes of workgroup memory"
    );
}

/// Data of the others take seconds to make, and forced strategies go where these sizes do not.
fn small_norms() -> impl Iterator<Item = (Norm, Vec<usize>)> {
    let norms = variants::norms().into_iter();
    norms.filter(|(_, shape)| shape.iter().product::<usize>() <= 5000)
}

/// The crate's own layouts, bind groups, dispatches and submissions, with every strategy: each norm on every third device.
#[test]
fn every_pass_is_accepted() {
    let strategies = [
        None,
        Some(Strategy::Resident),
        Some(Strategy::Looped),
        Some(Strategy::Split),
    ];
    variants::devices()
        .par_iter()
        .enumerate()
        .for_each(|(k, caps)| {
            let caps = &Caps {
                shader_f16: k % 2 == 0,
                ..*caps
            };
            let (device, queue) = noop(caps);
            // wgpu calls this backend a CPU.
            let context = Context::from_wgpu(device, queue).unwrap();
            let context = context.with_caps(*caps).unwrap();
            let norms = small_norms().enumerate().filter(|(n, _)| (n + k) % 3 == 0);
            for (n, (norm, shape)) in norms {
                let runs = MODES.into_iter().flat_map(|m| strategies.map(|s| (m, s)));
                for (k, (mode, strategy)) in runs.enumerate() {
                    let case = Case::random(&norm, mode, &shape, 0).unwrap();
                    // A type of 16 bits beside F32, by turns.
                    let half = [DType::F16, DType::BF16][(n + k) % 2];
                    for dtype in [DType::F32, half] {
                        let mut case = case.clone().with_dtype(dtype);
                        case.strategy = strategy;
                        match results(&context, &case) {
                            Err(Error::Strategy { .. }) if strategy.is_some() => {}
                            result => drop(result.unwrap()),
                        }
                    }
                }
            }
        });
}
