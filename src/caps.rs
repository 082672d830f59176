//! What a device can do, as plain data: all that the strategy ladder knows of it.

/// Capabilities and limits of a device that decide how a problem is split.
///
/// Derived from the device by [`Caps::of`]; a context can be told to use less than its device has
/// ([`Context::with_caps`](crate::Context::with_caps)), to test what other devices will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caps {
    /// The "GPU" is a CPU (lavapipe, SwiftShader): its lanes are vector lanes, its workgroups run one after the other.
    pub cpu: bool,
    /// To load a vector takes a CPU as long as a dozen operations, be it in the cache or not. Software drivers put its numbers together one by
    /// one, which without AVX-512 goes through the stack: a number is stored and the vector read back, for which the processor has to wait.
    pub slow_loads: bool,
    /// Cores of the processor that is the device, to which it deals out workgroups; 1 of a GPU, whose number is not known.
    pub cores: u32,
    /// Shaders may use the type `u64`: software drivers, which load number by number, fetch two at once then.
    pub shader_int64: bool,
    /// Smallest and largest subgroup, if the device has subgroup operations.
    pub subgroups: Option<(u32, u32)>,
    /// Shaders may use the type `f16`.
    pub shader_f16: bool,
    /// Most invocations per workgroup, in x and in total.
    pub max_workgroup_size: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_storage: u32,
    /// Most workgroups per dimension of a dispatch.
    pub max_workgroups_per_dimension: u32,
    /// Storage buffers per shader stage.
    pub max_storage_buffers: u32,
    /// Bytes of one storage binding.
    pub max_binding_size: u64,
    /// Bytes of one buffer.
    pub max_buffer_size: u64,
    /// Alignment of the offset of a storage binding, in bytes.
    pub offset_alignment: u32,
    /// Alignment of the offset of a uniform binding, in bytes.
    pub uniform_alignment: u32,
}

impl Caps {
    /// The capabilities of `device` as it was requested: features and limits that it was not asked for do not count.
    #[must_use]
    pub fn of(device: &wgpu::Device) -> Self {
        let (limits, info) = (device.limits(), device.adapter_info());
        let (min, max) = (info.subgroup_min_size, info.subgroup_max_size);
        let usable = device.features().contains(wgpu::Features::SUBGROUP)
            && min.is_power_of_two()
            && max.is_power_of_two()
            && min <= max;
        Self {
            cpu: info.device_type == wgpu::DeviceType::Cpu,
            slow_loads: info.device_type == wgpu::DeviceType::Cpu && !has_avx512(),
            cores: match info.device_type {
                wgpu::DeviceType::Cpu => cores(),
                _ => 1,
            },
            shader_int64: device.features().contains(wgpu::Features::SHADER_INT64),
            subgroups: usable.then_some((min, max)),
            shader_f16: device.features().contains(wgpu::Features::SHADER_F16),
            max_workgroup_size: limits
                .max_compute_workgroup_size_x
                .min(limits.max_compute_invocations_per_workgroup),
            max_workgroup_storage: limits.max_compute_workgroup_storage_size,
            max_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
            max_binding_size: limits.max_storage_buffer_binding_size,
            max_buffer_size: limits.max_buffer_size,
            offset_alignment: limits.min_storage_buffer_offset_alignment,
            uniform_alignment: limits.min_uniform_buffer_offset_alignment,
        }
    }

    /// Whether vectors are loaded in words of 64 bits: half as many loads. With AVX-512 they have not been timed beside those of 32, but the code that
    /// LLVM 15 makes for them runs 0.67 of the instructions for a copy and the forward pass of layer norm of 4096x768, and 0.74 for its backward pass.
    pub(crate) const fn long_words(&self) -> bool {
        self.cpu && self.shader_int64
    }

    /// The least that every WebGPU implementation has, without features: the defaults of the specification.
    pub const WEBGPU: Self = Self {
        cpu: false,
        slow_loads: false,
        cores: 1,
        shader_int64: false,
        subgroups: None,
        shader_f16: false,
        max_workgroup_size: 256,
        max_workgroup_storage: 16_384,
        max_workgroups_per_dimension: 65_535,
        max_storage_buffers: 8,
        max_binding_size: 128 << 20,
        max_buffer_size: 256 << 20,
        offset_alignment: 256,
        uniform_alignment: 256,
    };
}

/// Those that this process may use, as software drivers count them.
fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// Whether the processor puts a number into a vector of registers at any place.
fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}
