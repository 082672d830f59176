//! Choosing an adapter without a window, as the standard `WGPU_*` variables say.

use crate::error::{Error, Result};

/// Features that are used where the adapter has them.
fn useful_features() -> wgpu::Features {
    wgpu::Features::SUBGROUP
        | wgpu::Features::SUBGROUP_BARRIER
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SHADER_INT64
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::IMMEDIATES
        | wgpu::Features::PIPELINE_CACHE
}

/// A device with all that the adapter has and this crate can use.
pub(crate) async fn request_device() -> Result<(wgpu::Device, wgpu::Queue)> {
    let adapter = choose().await?;
    adapter
        .request_device(&wgpu::DeviceDescriptor {
            label: Some("wgpu-norm"),
            required_features: adapter.features() & useful_features(),
            required_limits: adapter.limits(),
            ..Default::default()
        })
        .await
        .map_err(|error| Error::NoDevice {
            adapter: adapter.get_info().name,
            reason: error.to_string(),
        })
}

async fn choose() -> Result<wgpu::Adapter> {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let backends = descriptor.backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = instance.enumerate_adapters(backends).await;
    if adapters.is_empty() {
        // Browsers do not enumerate.
        let options = wgpu::RequestAdapterOptions::default();
        adapters.extend(instance.request_adapter(&options).await.ok());
    }
    let found = describe(&adapters, backends);
    let name = std::env::var("WGPU_ADAPTER_NAME").map(|name| name.to_lowercase());
    adapters.retain(|adapter| {
        let named = |name: &String| adapter.get_info().name.to_lowercase().contains(name);
        computes(adapter) && name.as_ref().map_or(true, named)
    });
    let low_power = wgpu::PowerPreference::from_env() == Some(wgpu::PowerPreference::LowPower);
    adapters
        .into_iter()
        .min_by_key(|adapter| rank(&adapter.get_info(), low_power))
        .ok_or_else(|| match name {
            Ok(name) => Error::NoAdapter(format!("WGPU_ADAPTER_NAME={name:?}; {found}")),
            Err(_) => Error::NoAdapter(found),
        })
}

fn computes(adapter: &wgpu::Adapter) -> bool {
    let capabilities = adapter.get_downlevel_capabilities();
    capabilities
        .flags
        .contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
}

/// Real GPUs first, and of one GPU the explicit API before OpenGL.
fn rank(info: &wgpu::AdapterInfo, low_power: bool) -> (u8, bool) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 1,
        wgpu::DeviceType::IntegratedGpu if low_power => 0,
        wgpu::DeviceType::IntegratedGpu => 2,
        wgpu::DeviceType::VirtualGpu => 3,
        wgpu::DeviceType::Other => 4,
        wgpu::DeviceType::Cpu => 5,
    };
    (kind, info.backend == wgpu::Backend::Gl)
}

fn describe(adapters: &[wgpu::Adapter], backends: wgpu::Backends) -> String {
    let names: Vec<String> = adapters
        .iter()
        .map(|adapter| {
            let info = adapter.get_info();
            format!("{} on {}", info.name, info.backend)
        })
        .collect();
    format!("backends tried: {backends:?}; adapters there: {names:?}")
}
