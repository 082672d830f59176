//! Which slots each kernel has.

use super::{Access, Element, Kernel, Slot, SlotUse};

const fn slot(slot: Slot, access: Access, element: Element) -> SlotUse {
    SlotUse {
        slot,
        access,
        element,
        absent: None,
    }
}

const fn optional(slot: Slot, access: Access, element: Element, absent: &'static str) -> SlotUse {
    SlotUse {
        slot,
        access,
        element,
        absent: Some(absent),
    }
}

const INPUT: SlotUse = slot(Slot::Input, Access::Read, Element::Data);
const OUTPUT: SlotUse = slot(Slot::Output, Access::Write, Element::Data);
const WEIGHT: SlotUse = optional(Slot::Weight, Access::Read, Element::Channel, "1.0");
const BIAS: SlotUse = optional(Slot::Bias, Access::Read, Element::Channel, "0.0");
const STATISTICS_IN: SlotUse = slot(Slot::Statistics, Access::Read, Element::Item);
const STATISTICS_OUT: SlotUse = slot(Slot::Statistics, Access::Write, Element::Item);
const GRAD_OUTPUT: SlotUse = slot(Slot::GradOutput, Access::Read, Element::Data);
const GRAD_INPUT: SlotUse = slot(Slot::GradInput, Access::Write, Element::Data);
const GRAD_GRAD_INPUT: SlotUse = slot(Slot::GradGradInput, Access::Read, Element::Data);

// The running statistics of a channel where a launch that has its statistics takes these in.
const RUNNING_MEAN: SlotUse = optional(Slot::RunningMean, Access::ReadWrite, Element::Item, "");
const RUNNING_VAR: SlotUse = optional(Slot::RunningVar, Access::ReadWrite, Element::Item, "");
const NUM_BATCHES_TRACKED: SlotUse =
    optional(Slot::NumBatchesTracked, Access::ReadWrite, Element::U32, "");

// The gradients of a channel where a launch that has its sums writes them.
const GRAD_WEIGHT: SlotUse = optional(Slot::GradWeight, Access::Write, Element::Item, "");
const GRAD_BIAS: SlotUse = optional(Slot::GradBias, Access::Write, Element::Item, "");

// Partial sums, or, where a slice has one pair of each channel, the gradients with those of the slices before.
const PARTIAL_SUMS: SlotUse = optional(Slot::Partials, Access::Write, Element::Item, "");
const fn gradient_so_far(slot: Slot, element: Element) -> SlotUse {
    optional(slot, Access::ReadWrite, element, "0.0")
}

/// In the place of weight and bias, where the two would be one binding too many.
const AFFINE: SlotUse = optional(Slot::Affine, Access::Read, Element::Channel, "1.0");

// What surrounds a norm. A launch reads what it wrote itself, which may lie over what it read before.
const RESIDUAL: SlotUse = optional(Slot::Residual, Access::Read, Element::Data, "0.0");
const RESIDUAL_OUTPUT: SlotUse = optional(
    Slot::ResidualOutput,
    Access::ReadWrite,
    Element::Data,
    "0.0",
);
const GRAD_RESIDUAL: SlotUse =
    optional(Slot::GradResidual, Access::ReadWrite, Element::Data, "0.0");
const GRAD_RESIDUAL_OUTPUT: SlotUse =
    optional(Slot::GradResidualOutput, Access::Read, Element::Data, "0.0");

/// Where each sample ends: what lies behind is read and written as 0.
const LENGTHS: SlotUse = optional(Slot::Lengths, Access::Read, Element::U32, "");

/// The slots of a kernel, in binding order. Binding 0 is the parameter block, so slot i is binding i + 1, absent ones left out.
pub(crate) const fn slots(kernel: Kernel) -> &'static [SlotUse] {
    use Access::{Read, ReadWrite, Write};
    use Element::{Channel, Count, Data, F32, Item, Partial, U32};
    match kernel {
        Kernel::NormalizeGroups => {
            const {
                &[
                    INPUT,
                    WEIGHT,
                    BIAS,
                    OUTPUT,
                    STATISTICS_OUT,
                    RESIDUAL,
                    RESIDUAL_OUTPUT,
                    RUNNING_MEAN,
                    RUNNING_VAR,
                    NUM_BATCHES_TRACKED,
                ]
            }
        }
        Kernel::Statistics => {
            const {
                &[
                    INPUT,
                    slot(Slot::Partials, Write, Partial),
                    RESIDUAL,
                    RESIDUAL_OUTPUT,
                    LENGTHS,
                ]
            }
        }
        Kernel::MergeStatistics => {
            const {
                &[
                    slot(Slot::Partials, Read, Partial),
                    optional(Slot::Merged, Write, Partial, ""),
                    optional(Slot::Statistics, Write, Item, ""),
                    optional(Slot::Exported, Write, Item, ""),
                    RUNNING_MEAN,
                    RUNNING_VAR,
                    NUM_BATCHES_TRACKED,
                ]
            }
        }
        Kernel::Normalize => {
            const {
                &[
                    INPUT,
                    // Written in evaluation, for a backward pass.
                    slot(Slot::Statistics, ReadWrite, Item),
                    optional(Slot::RunningMean, Read, Item, ""),
                    optional(Slot::RunningVar, Read, Item, ""),
                    WEIGHT,
                    BIAS,
                    AFFINE,
                    OUTPUT,
                    RESIDUAL,
                    RESIDUAL_OUTPUT,
                    LENGTHS,
                ]
            }
        }
        Kernel::UpdateRunning => {
            const {
                &[
                    slot(Slot::Averages, Read, F32),
                    slot(Slot::RunningMean, ReadWrite, F32),
                    slot(Slot::RunningVar, ReadWrite, F32),
                    slot(Slot::NumBatchesTracked, ReadWrite, U32),
                    LENGTHS,
                ]
            }
        }
        Kernel::GradInputGroups => {
            const {
                &[
                    INPUT,
                    STATISTICS_IN,
                    WEIGHT,
                    GRAD_OUTPUT,
                    PARTIAL_SUMS,
                    GRAD_INPUT,
                    GRAD_WEIGHT,
                    GRAD_BIAS,
                    BIAS,
                    AFFINE,
                    RESIDUAL,
                    GRAD_RESIDUAL,
                    GRAD_RESIDUAL_OUTPUT,
                ]
            }
        }
        Kernel::GradInputChannels => {
            const {
                &[
                    INPUT,
                    STATISTICS_IN,
                    WEIGHT,
                    GRAD_OUTPUT,
                    PARTIAL_SUMS,
                    GRAD_INPUT,
                    BIAS,
                    AFFINE,
                    RESIDUAL,
                    GRAD_RESIDUAL,
                    GRAD_RESIDUAL_OUTPUT,
                ]
            }
        }
        Kernel::GradColumns => {
            const {
                &[
                    INPUT,
                    STATISTICS_IN,
                    WEIGHT,
                    GRAD_OUTPUT,
                    optional(Slot::Sums, Read, Item, "0.0"),
                    optional(Slot::Partials, Write, Channel, ""),
                    GRAD_INPUT,
                    gradient_so_far(Slot::GradWeight, Channel),
                    gradient_so_far(Slot::GradBias, Channel),
                    BIAS,
                    AFFINE,
                    RESIDUAL,
                    GRAD_RESIDUAL,
                    GRAD_RESIDUAL_OUTPUT,
                ]
            }
        }
        Kernel::GradRows => {
            const {
                &[
                    INPUT,
                    STATISTICS_IN,
                    WEIGHT,
                    GRAD_OUTPUT,
                    slot(Slot::Partials, ReadWrite, Channel),
                    GRAD_INPUT,
                    BIAS,
                    AFFINE,
                    RESIDUAL,
                    GRAD_RESIDUAL,
                    GRAD_RESIDUAL_OUTPUT,
                ]
            }
        }
        Kernel::GradientSums => {
            const {
                &[
                    INPUT,
                    STATISTICS_IN,
                    WEIGHT,
                    GRAD_OUTPUT,
                    PARTIAL_SUMS,
                    gradient_so_far(Slot::GradWeight, Item),
                    gradient_so_far(Slot::GradBias, Item),
                    BIAS,
                    AFFINE,
                    RESIDUAL,
                    GRAD_RESIDUAL,
                    GRAD_RESIDUAL_OUTPUT,
                    LENGTHS,
                ]
            }
        }
        Kernel::MergeSums => {
            const {
                &[
                    slot(Slot::Partials, Read, Item),
                    WEIGHT,
                    optional(Slot::Sums, Write, Item, ""),
                    GRAD_WEIGHT,
                    GRAD_BIAS,
                    LENGTHS,
                ]
            }
        }
        Kernel::GradInput => {
            const {
                &[
                    optional(Slot::Input, Read, Data, "0.0"),
                    STATISTICS_IN,
                    WEIGHT,
                    GRAD_OUTPUT,
                    optional(Slot::Sums, Read, Item, "0.0"),
                    GRAD_INPUT,
                    BIAS,
                    AFFINE,
                    RESIDUAL,
                    GRAD_RESIDUAL,
                    GRAD_RESIDUAL_OUTPUT,
                    LENGTHS,
                ]
            }
        }
        Kernel::PackAffine => {
            const {
                &[
                    slot(Slot::Weight, Read, F32),
                    slot(Slot::Bias, Read, F32),
                    slot(Slot::Affine, Write, F32),
                ]
            }
        }
        Kernel::Histogram => {
            const {
                &[
                    INPUT,
                    slot(Slot::Edges, Read, U32),
                    slot(Slot::Counts, Write, Count),
                ]
            }
        }
        Kernel::DoubleSums => {
            const {
                &[
                    INPUT,
                    STATISTICS_IN,
                    WEIGHT,
                    optional(Slot::GradOutput, Read, Data, "0.0"),
                    GRAD_GRAD_INPUT,
                    slot(Slot::Partials, Write, Item),
                ]
            }
        }
        Kernel::DoubleGradWeight => {
            const {
                &[
                    optional(Slot::Input, Read, Data, "0.0"),
                    STATISTICS_IN,
                    GRAD_OUTPUT,
                    GRAD_GRAD_INPUT,
                    optional(Slot::Sums, Read, Item, "0.0"),
                    slot(Slot::Partials, Write, Item),
                ]
            }
        }
        Kernel::DoubleGradInput => {
            const {
                &[
                    optional(Slot::Input, Read, Data, "0.0"),
                    STATISTICS_IN,
                    WEIGHT,
                    optional(Slot::GradOutput, Read, Data, "0.0"),
                    GRAD_GRAD_INPUT,
                    optional(Slot::Sums, Read, Item, "0.0"),
                    optional(Slot::GradInput, Write, Data, ""),
                    optional(Slot::GradGradOutput, Write, Data, ""),
                ]
            }
        }
    }
}
