//! Which device the other tests ran on.

use wgpu_norm::Caps;

use crate::common::context;

/// Prints the line that `scripts/matrix` makes its table of.
#[test]
fn the_device_is_what_was_asked_for() {
    let (info, caps) = (context().adapter_info(), context().caps());
    let features = context().device().features();
    let subgroups = match caps.subgroups {
        None => "none".to_owned(),
        Some((min, max)) if min == max => min.to_string(),
        Some((min, max)) => format!("{min} to {max}"),
    };
    let f16 = features.contains(wgpu::Features::SHADER_F16);
    println!(
        "device: {} | {} | {} | {subgroups} | {}",
        info.name,
        info.driver_info,
        info.backend,
        if f16 { "yes" } else { "no" }
    );
    if std::env::var_os("WGPU_NORM_TEST_LIMITS").is_some() {
        let webgpu = Caps {
            cpu: caps.cpu,
            slow_loads: caps.slow_loads,
            cores: caps.cores,
            ..Caps::WEBGPU
        };
        assert_eq!(*caps, webgpu);
        assert!(!f16);
    }
}
