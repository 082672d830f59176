//! The table of kernels: the WGSL files that each is made of, and its slots.
//!
//! A *slot* is a storage buffer that a kernel reads or writes. From this one table come the bindings in WGSL with their
//! accessors ([`crate::source`]), the bind group layouts and the bind groups of plans.

mod table;

pub(crate) use table::slots;

use crate::dtype::DType;

/// A storage buffer of a kernel, by the name that it has in WGSL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the tensors")]
pub enum Slot {
    Input,
    Output,
    Weight,
    Bias,
    Statistics,
    GradOutput,
    GradInput,
    GradWeight,
    GradBias,
    RunningMean,
    RunningVar,
    NumBatchesTracked,
    Partials,
    Sums,
    Merged,
    Averages,
    Affine,
    Residual,
    ResidualOutput,
    GradResidual,
    GradResidualOutput,
    GradGradInput,
    GradGradOutput,
    Exported,
    Edges,
    Counts,
    Lengths,
}

/// How a kernel uses a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    ReadWrite,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// Vectors of the tensor.
    Data,
    /// One number per channel, loaded as a vector: neighbouring channels, or one channel for all elements of the vector.
    Channel,
    /// A number per group, channel or run.
    Item,
    /// Single numbers.
    F32,
    /// Partial statistics.
    Partial,
    /// A counter.
    U32,
    /// A counter that all lanes add to.
    Count,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotUse {
    pub(crate) slot: Slot,
    pub(crate) access: Access,
    pub(crate) element: Element,
    /// What a load gives where the slot is absent, for slots that may be; stores then do nothing.
    pub(crate) absent: Option<&'static str>,
}

/// The kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Statistics and normalization of whole groups.
    NormalizeGroups,
    /// Partial statistics.
    Statistics,
    /// Partial statistics merged.
    MergeStatistics,
    /// Normalization with saved statistics.
    Normalize,
    /// The running statistics take in a batch.
    UpdateRunning,
    /// Sums and input gradient of whole groups.
    GradInputGroups,
    /// The same for groups of several channels, with the sums of each.
    GradInputChannels,
    /// Input gradient, and the sums over groups for those of weight and bias.
    GradColumns,
    /// The same for rows that the subgroups of a workgroup share, several at once.
    GradRows,
    /// Partial sums for the gradients.
    GradientSums,
    /// Partial sums merged.
    MergeSums,
    /// Input gradient with given sums.
    GradInput,
    /// Weight and bias in one binding.
    PackAffine,
    /// Numbers of values between edges.
    Histogram,
    /// Partial sums for the second derivative: five of each group, where [`Kernel::GradientSums`] takes two.
    DoubleSums,
    /// The second derivative in the weight: as the sums of its terms need sums of the groups, it cannot come with these.
    DoubleGradWeight,
    /// The second derivative in input and `grad_output`, element by element: both read the same.
    DoubleGradInput,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::NormalizeGroups,
        Self::Statistics,
        Self::MergeStatistics,
        Self::Normalize,
        Self::UpdateRunning,
        Self::GradInputGroups,
        Self::GradInputChannels,
        Self::GradColumns,
        Self::GradRows,
        Self::GradientSums,
        Self::MergeSums,
        Self::GradInput,
        Self::PackAffine,
        Self::Histogram,
        Self::DoubleSums,
        Self::DoubleGradWeight,
        Self::DoubleGradInput,
    ];

    /// The name of its entry file, without `.wgsl`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NormalizeGroups => "normalize_groups",
            Self::Statistics => "statistics",
            Self::MergeStatistics => "merge_statistics",
            Self::Normalize => "normalize",
            Self::UpdateRunning => "update_running",
            Self::GradInputGroups => "grad_input_groups",
            Self::GradInputChannels => "grad_input_channels",
            Self::GradColumns => "grad_columns",
            Self::GradRows => "grad_rows",
            Self::GradientSums => "gradient_sums",
            Self::MergeSums => "merge_sums",
            Self::GradInput => "grad_input",
            Self::PackAffine => "pack_affine",
            Self::Histogram => "histogram",
            Self::DoubleSums => "double_sums",
            Self::DoubleGradWeight => "double_grad_weight",
            Self::DoubleGradInput => "double_grad_input",
        }
    }
}

impl Slot {
    /// Number of slots.
    pub(crate) const COUNT: usize = Self::Lengths as usize + 1;

    /// The type of a tensor that stands here, in a pass over `data`.
    pub(crate) const fn dtype(self, data: DType) -> DType {
        match self {
            Self::Input
            | Self::Output
            | Self::GradOutput
            | Self::GradInput
            | Self::Residual
            | Self::ResidualOutput
            | Self::GradResidual
            | Self::GradResidualOutput
            | Self::GradGradInput
            | Self::GradGradOutput => data,
            Self::NumBatchesTracked | Self::Edges | Self::Counts | Self::Lengths => DType::U32,
            _ => DType::F32,
        }
    }

    /// Its name in WGSL.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Statistics => "statistics",
            Self::GradOutput => "grad_output",
            Self::GradInput => "grad_input",
            Self::GradWeight => "grad_weight",
            Self::GradBias => "grad_bias",
            Self::RunningMean => "running_mean",
            Self::RunningVar => "running_var",
            Self::NumBatchesTracked => "num_batches_tracked",
            Self::Partials => "partials",
            Self::Sums => "sums",
            Self::Merged => "merged",
            Self::Averages => "averages",
            Self::Affine => "affine",
            Self::Residual => "residual",
            Self::ResidualOutput => "residual_output",
            Self::GradResidual => "grad_residual",
            Self::GradResidualOutput => "grad_residual_output",
            Self::GradGradInput => "grad_grad_input",
            Self::GradGradOutput => "grad_grad_output",
            Self::Exported => "exported",
            Self::Edges => "edges",
            Self::Counts => "counts",
            Self::Lengths => "lengths",
        }
    }

    /// The running statistics.
    pub(crate) const RUNNING: [Self; 3] =
        [Self::RunningMean, Self::RunningVar, Self::NumBatchesTracked];

    /// Those that are there for an activation or a residual alone: the text of a norm alone knows nothing of them.
    pub(crate) const SURROUNDING: [Self; 5] = [
        Self::Affine,
        Self::Residual,
        Self::ResidualOutput,
        Self::GradResidual,
        Self::GradResidualOutput,
    ];
}

/// Storage buffers that a launch binds at most: WebGPU's default limit. All of a table's optional slots are never there at once, and
/// where nine would be, [`Kernel::PackAffine`] makes eight of them: it reads and writes a number per channel, where to compute the gradients
/// in more launches would go over the tensor once more.
pub(crate) const MOST_SLOTS: u32 = 8;
