//! Every shader text that the ladder can ask for, validated by naga.

use std::collections::HashSet;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgpu_norm::kernel::Kernel;
use wgpu_norm::source::{Team, Variant, wgsl};
use wgpu_norm::{BatchNorm, Caps, GroupNorm, InstanceNorm, LayerNorm, Norm, RmsNorm};

use crate::problems::recipes;

fn devices() -> Vec<Caps> {
    let mut devices = Vec::new();
    for cpu in [false, true] {
        for subgroups in [
            None,
            Some((4, 4)),
            Some((8, 8)),
            Some((32, 32)),
            Some((4, 128)),
        ] {
            devices.push(Caps {
                cpu,
                subgroups,
                ..Caps::WEBGPU
            });
        }
    }
    devices
}

/// Shapes on all rungs: across and along, vectors or not, kept, looped and split, channels by group, run and element.
fn norms() -> Vec<(Norm, Vec<usize>)> {
    let mut norms: Vec<(Norm, Vec<usize>)> = Vec::new();
    for (weight, bias) in [(false, false), (true, false), (false, true), (true, true)] {
        for momentum in [None, Some(0.1)] {
            for shape in [&[70, 6][..], &[4, 3, 7], &[4, 3, 8], &[2, 3, 300, 300]] {
                let batch = BatchNorm::new(shape[1]).weight(weight).bias(bias);
                norms.push((batch.momentum(momentum).into(), shape.to_vec()));
                if shape.len() > 2 {
                    let instance = InstanceNorm::new(shape[1]).weight(weight).bias(bias);
                    let instance = instance.momentum(momentum).track_running_stats(true);
                    norms.push((instance.into(), shape.to_vec()));
                }
            }
        }
        for shape in [
            &[7, 6][..],
            &[7, 8],
            &[3, 6, 7],
            &[3, 6, 8],
            &[3, 6, 100, 100],
        ] {
            let group = GroupNorm::new(2, shape[1]).weight(weight).bias(bias);
            norms.push((group.into(), shape.to_vec()));
        }
        for d in [3, 64, 65, 1000, 4099, 20_000, 100_000] {
            let layer = LayerNorm::new(&[d]).weight(weight).bias(bias);
            norms.push((layer.into(), vec![3, d]));
            norms.push((RmsNorm::new(&[d]).weight(weight).into(), vec![3, d]));
        }
    }
    norms
}

#[test]
fn every_variant_is_valid_under_the_default_limits_of_webgpu() {
    let mut seen: HashSet<(Kernel, Variant)> = HashSet::new();
    for caps in devices() {
        for (norm, shape) in norms() {
            for recipe in recipes(&norm, &shape, &caps) {
                seen.extend(recipe.steps.iter().map(|step| (step.kernel, step.variant)));
            }
        }
    }
    let kernels: HashSet<Kernel> = seen.iter().map(|(kernel, _)| *kernel).collect();
    assert_eq!(
        kernels.len(),
        Kernel::ALL.len(),
        "a kernel that nothing asks for"
    );
    for (kernel, variant) in &seen {
        for shared in [false, true] {
            validate(*kernel, variant, shared);
        }
    }
    println!(
        "{} variants, each with separate and with shared buffers",
        seen.len()
    );
}

fn validate(kernel: Kernel, variant: &Variant, shared: bool) {
    let text = wgsl(kernel, variant, shared);
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{kernel:?}: {}", error.emit_to_string(&text)));
    let mut capabilities = Capabilities::empty();
    if matches!(variant.tile.team, Team::Subgroup { .. }) {
        capabilities |= Capabilities::SUBGROUP;
    }
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
    let info = validator
        .validate(&module)
        .unwrap_or_else(|error| panic!("{kernel:?}: {}", error.emit_to_string(&text)));
    let [entry] = module.entry_points.as_slice() else {
        panic!("{kernel:?}: {} entry points", module.entry_points.len());
    };
    let invocations: u32 = entry.workgroup_size.iter().product();
    assert!(invocations <= 256, "{kernel:?}: {invocations} invocations");
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let (mut storage, mut workgroup) = (0, 0);
    for (handle, variable) in module.global_variables.iter() {
        let used = !info.get_entry_point(0)[handle].is_empty();
        match variable.space {
            naga::AddressSpace::Storage { .. } => storage += 1,
            naga::AddressSpace::WorkGroup if used => workgroup += layouter[variable.ty].size,
            _ => {}
        }
    }
    assert!(storage <= 8, "{kernel:?}: {storage} storage buffers");
    assert!(
        workgroup <= 16_384,
        "{kernel:?}: {workgroup} bytes of workgroup memory"
    );
}
