//! What a maintainer needs to know of the device, and the devices that it can stand in for.

use std::io::{self, Write};

use wgpu_norm::wgpu::{AdapterInfo, Features};
use wgpu_norm::{Caps, Context};

/// Features that kernels use or could use.
const FEATURES: [(&str, Features); 7] = [
    ("SUBGROUP", Features::SUBGROUP),
    ("SUBGROUP_BARRIER", Features::SUBGROUP_BARRIER),
    ("SHADER_F16", Features::SHADER_F16),
    ("TIMESTAMP_QUERY", Features::TIMESTAMP_QUERY),
    ("IMMEDIATES", Features::IMMEDIATES),
    ("SHADER_INT64", Features::SHADER_INT64),
    ("PIPELINE_CACHE", Features::PIPELINE_CACHE),
];

pub(crate) fn describe(context: &Context, out: &mut impl Write) -> io::Result<()> {
    let (info, caps): (&AdapterInfo, &Caps) = (context.adapter_info(), context.caps());
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    writeln!(out, "wgpu-norm  {version}, {os} {arch}")?;
    writeln!(out, "adapter    {} ({:?})", info.name, info.device_type)?;
    writeln!(out, "ids        {:#06x}:{:#06x}", info.vendor, info.device)?;
    writeln!(out, "driver     {} {}", info.driver, info.driver_info)?;
    writeln!(out, "backend    {}", info.backend)?;
    let has = |feature: Features| context.device().features().contains(feature);
    let names = |wanted: bool| {
        let names = FEATURES
            .iter()
            .filter(|(_, feature)| has(*feature) == wanted);
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        names.join(" ")
    };
    writeln!(
        out,
        "features   {} (missing: {})",
        names(true),
        names(false)
    )?;
    match caps.subgroups {
        Some((min, max)) => writeln!(out, "subgroups  {min} to {max}")?,
        None => writeln!(out, "subgroups  none")?,
    }
    for (name, value) in [
        ("workgroup size", caps.max_workgroup_size.into()),
        ("workgroup bytes", caps.max_workgroup_storage.into()),
        ("workgroups", caps.max_workgroups_per_dimension.into()),
        ("storage buffers", caps.max_storage_buffers.into()),
        ("binding bytes", caps.max_binding_size),
        ("buffer bytes", caps.max_buffer_size),
        ("storage alignment", caps.offset_alignment.into()),
        ("uniform alignment", caps.uniform_alignment.into()),
    ] {
        writeln!(out, "limit      {name:18} {value}")?;
    }
    Ok(())
}

/// The rungs for GPUs and for CPUs, with and without subgroups: the device's own is one of them.
pub(crate) fn ladders(context: &Context) -> Vec<(String, wgpu_norm::Result<Context>)> {
    let own = *context.caps();
    let mut ladders = Vec::new();
    for (cpu, kind) in [(false, "gpu"), (true, "cpu")] {
        for (subgroups, suffix) in [(own.subgroups, ""), (None, ", no subgroups")] {
            let caps = Caps {
                cpu,
                subgroups,
                ..own
            };
            // A device without subgroups has the same ladder twice.
            if own.subgroups.is_none() && suffix.is_empty() {
                continue;
            }
            let mark = if caps == own { "*" } else { "" };
            ladders.push((format!("{kind}{suffix}{mark}"), context.with_caps(caps)));
        }
    }
    ladders
}
