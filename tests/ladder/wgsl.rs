//! Every shader text that the ladder can ask for, validated by naga.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use rayon::prelude::*;
use wgpu_norm::kernel::Kernel;
use wgpu_norm::source::{Dialect, Storage, Team, Variant, wgsl};

use crate::variants;

#[test]
fn every_variant_is_valid_under_the_default_limits_of_webgpu() {
    let all = variants::all();
    let validate = |(kernel, variant, shared): &_| validate(*kernel, variant, *shared);
    all.par_iter().for_each(validate);
    println!("{} variants", all.len());
}

fn validate(kernel: Kernel, variant: &Variant, shared: bool) {
    let text = wgsl(kernel, variant, shared, Dialect::Naga);
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{kernel:?}: {}", error.emit_to_string(&text)));
    let mut capabilities = Capabilities::empty();
    if matches!(variant.tile.team, Team::Subgroup { .. }) {
        capabilities |= Capabilities::SUBGROUP;
    }
    if variant.storage == Storage::F16 {
        capabilities |= Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
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
