//! The one error type.

use crate::dtype::DType;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. User mistakes, device limits and faults alike: nothing in this crate panics on them.
///
/// After an `Err` the layer, its parameters and its running statistics are what they were before the call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter was found, or none that the `WGPU_*` variables allow.
    #[error(
        "no GPU adapter found ({0}); install a GPU driver with Vulkan, Metal, DirectX 12 or OpenGL ES 3.1 support, \
         or a software one (on Debian and Ubuntu: apt-get install libvulkan1 mesa-vulkan-drivers)"
    )]
    NoAdapter(String),

    /// The adapter refused to create a device.
    #[error("the adapter {adapter:?} refused to create a device: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// The adapter's answer.
        reason: String,
    },

    /// The tensor's rank is not one that this normalization is defined for.
    #[error("{norm} takes tensors of rank {min} to {max}, got rank {rank} (shape {shape:?})")]
    Rank {
        /// Name of the normalization.
        norm: &'static str,
        /// Smallest rank allowed.
        min: usize,
        /// Largest rank allowed.
        max: usize,
        /// Rank of the tensor.
        rank: usize,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },

    /// Two shapes that must agree do not.
    #[error("{tensor}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// Which tensor.
        tensor: &'static str,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },

    /// A tensor's elements are of another type than needed, or than those of the other tensors of the pass.
    #[error("{tensor}: expected elements of type {expected:?}, got {got:?}")]
    DType {
        /// Which tensor.
        tensor: &'static str,
        /// The type it must have.
        expected: DType,
        /// The type it has.
        got: DType,
    },

    /// The tensor does not have the channels of the layer.
    #[error("expected {expected} channels in dimension {dimension}, got {got} (shape {shape:?})")]
    Channels {
        /// Channels of the layer.
        expected: usize,
        /// Channels of the tensor.
        got: usize,
        /// The dimension that they are counted in.
        dimension: usize,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },

    /// The trailing dimensions are not `normalized_shape`.
    #[error("expected a shape that ends in normalized_shape {normalized_shape:?}, got {shape:?}")]
    NormalizedShape {
        /// The dimensions to normalize over.
        normalized_shape: Vec<usize>,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },

    /// The number of channels is not a multiple of the number of groups.
    #[error("{num_channels} channels cannot be divided into {num_groups} groups")]
    Groups {
        /// Number of groups asked for.
        num_groups: usize,
        /// Number of channels.
        num_channels: usize,
    },

    /// The number of samples is not a multiple of the virtual batch size of ghost batch norm.
    #[error("{samples} samples cannot be divided into virtual batches of {virtual_batch_size}")]
    VirtualBatches {
        /// N, the size of dimension 0.
        samples: usize,
        /// Samples of a virtual batch.
        virtual_batch_size: usize,
    },

    /// A variance over one value is asked for: batch norm in training with one value per channel,
    /// or instance norm with one spatial element.
    #[error(
        "{norm} with batch statistics needs more than one value per {unit}, got shape {shape:?}"
    )]
    OneValue {
        /// Name of the normalization.
        norm: &'static str,
        /// What has a single value: "channel", "channel and virtual batch" or "channel and sample".
        unit: &'static str,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },

    /// A number of the configuration is outside its range.
    #[error("{name} must be {expected}, got {got}")]
    Value {
        /// Name of the setting.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is, as text, since it may be NaN.
        got: String,
    },

    /// The number of values does not match the shape.
    #[error("shape {shape:?} has {expected} elements, got {got}")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// The number of values given.
        got: usize,
    },

    /// There is no such dimension.
    #[error("{name} is {axis}, but the rank is {rank}")]
    Axis {
        /// Which axis.
        name: &'static str,
        /// The index given.
        axis: usize,
        /// Number of dimensions.
        rank: usize,
    },

    /// Strides lead out of the values, or to the same one twice.
    #[error("shape {shape:?} with strides {strides:?}: {reason}")]
    Strides {
        /// The shape.
        shape: Vec<usize>,
        /// The strides, in elements.
        strides: Vec<usize>,
        /// What is wrong.
        reason: String,
    },

    /// A size does not fit a limit of the device, or 32-bit indices.
    #[error("{what} needs {needed}, over the limit {limit} = {allowed}")]
    Limit {
        /// What is too large.
        what: String,
        /// The size needed.
        needed: u64,
        /// Name of the limit (of [`wgpu::Limits`] where it is one of these).
        limit: &'static str,
        /// Its value.
        allowed: u64,
    },

    /// A byte offset into a buffer is not aligned as the device needs it.
    #[error(
        "offset {offset} is not a multiple of {alignment} (min_storage_buffer_offset_alignment)"
    )]
    Alignment {
        /// The offset in bytes.
        offset: u64,
        /// The device's alignment.
        alignment: u64,
    },

    /// The buffer ends before the tensor does.
    #[error("a tensor of {needed} bytes at offset {offset} does not fit a buffer of {size} bytes")]
    BufferTooSmall {
        /// Bytes of the tensor.
        needed: u64,
        /// Offset in bytes.
        offset: u64,
        /// Bytes of the buffer.
        size: u64,
    },

    /// The buffer lacks a usage flag.
    #[error("the buffer needs the usage {needed:?}, it has {got:?}")]
    BufferUsage {
        /// Flags needed.
        needed: wgpu::BufferUsages,
        /// Flags that the buffer has.
        got: wgpu::BufferUsages,
    },

    /// A tensor that is written shares memory with another one of the same pass in a way that the pass does not allow.
    #[error("{written} overlaps {other}: only exactly the same memory, and only {allowed}")]
    Overlap {
        /// The tensor that is written.
        written: &'static str,
        /// The tensor that it overlaps.
        other: &'static str,
        /// What the pass allows.
        allowed: &'static str,
    },

    /// A tensor that the pass needs was not given.
    #[error("{0} is missing: {1}")]
    Missing(&'static str, &'static str),

    /// A tensor was given that the pass has no use for.
    #[error("{0} was given, but {1}")]
    Unexpected(&'static str, &'static str),

    /// The tensor belongs to another context (another device).
    #[error("{0} belongs to another context")]
    OtherContext(&'static str),

    /// The strategy cannot carry this shape on this device.
    #[error("strategy {strategy} cannot carry this shape here: {reason}")]
    Strategy {
        /// Name of the strategy.
        strategy: &'static str,
        /// Why.
        reason: &'static str,
    },

    /// The device has no memory left for a buffer of this size.
    #[error("the device is out of memory (asked for {bytes} bytes)")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },

    /// The device was lost or destroyed.
    #[error("the device is lost: {0}")]
    DeviceLost(String),

    /// The driver or wgpu rejected something that this crate built: a bug here or there, please report it.
    #[error("wgpu rejected {what}: {reason}")]
    Rejected {
        /// What was rejected.
        what: String,
        /// The message of wgpu.
        reason: String,
    },

    /// Tunings were measured with something else: another device, driver or version of this crate.
    #[error("the tunings are for {what} {got:?}, here it is {expected:?}")]
    ForeignTunings {
        /// What differs.
        what: &'static str,
        /// What it is here.
        expected: String,
        /// What it was there.
        got: String,
    },

    /// A text is not what [`Context::export_tunings`](crate::Context::export_tunings) writes.
    #[error("tunings, line {line}: {reason}")]
    Tunings {
        /// Which line, from 1; 0 for the text as a whole.
        line: usize,
        /// What is wrong.
        reason: String,
    },

    /// Data of a pipeline cache are not used.
    #[error("the pipeline cache is not used: {0}")]
    PipelineCache(String),

    /// A state to be loaded lacks a part that the layer has, or has one that it lacks.
    #[error("state: {0}")]
    State(String),
}

/// Refuses a tensor of one dimension that has another length than another one.
pub(crate) fn same_length(tensor: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::Shape {
        tensor,
        expected: vec![expected],
        got: vec![got],
    })
}
