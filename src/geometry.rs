//! Which elements of a tensor are reduced together, and which weight belongs to an element.
//!
//! Every normalization is two steps over *groups* of elements: reduce each group to (count, mean, m2), then map each of its
//! elements with (mean, rstd, weight, bias). Norms differ only in which elements form a group and which *channel* (weight and
//! bias) an element has. Both views of a tensor, by group and by channel, are a [`Walk`], and nothing that comes after
//! knows of norms.

mod slice;
mod views;

pub use slice::Slice;
pub(crate) use views::{Sizes, per_channel, per_point, per_sample, per_virtual_batch};

use crate::activation::Activation;
use crate::dtype::DType;

/// A tensor seen as `items` sets of elements; the elements of an item lie in `runs` runs of `run_length` neighbours,
/// `run_stride` apart, from
/// `base = (item / items_per_outer) * outer_stride + (item % items_per_outer) * item_stride`.
///
/// The items are either the groups or the channels; each element's [`Partner`] is its index in the other view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Walk {
    /// Number of groups, or of channels.
    pub items: u32,
    /// Number of the first of them: 0, but in a [`Slice`].
    pub first_item: u32,
    /// Items before the base jumps by `outer_stride`.
    pub items_per_outer: u32,
    /// Elements between such jumps.
    pub outer_stride: u32,
    /// Elements between the bases of neighbouring items.
    pub item_stride: u32,
    /// Runs per item.
    pub runs: u32,
    /// Neighbouring elements per run.
    pub run_length: u32,
    /// Elements between the beginnings of an item's runs.
    pub run_stride: u32,
    /// Where the other index of an element comes from.
    pub partner: Partner,
}

/// The other index of an element: its channel in a walk over groups, its group in a walk over channels:
/// `first + (item / divisor * multiplier) % modulus + run / runs_per_partner * per_run + within * per_element`, where `within` counts
/// along the run and `item` from the first of the whole tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Partner {
    /// Partner of the first run of item 0: 0, but in a [`Slice`].
    pub first: u32,
    /// Items that begin at the same partner.
    pub divisor: u32,
    /// Partners from there to where the next ones begin.
    pub multiplier: u32,
    /// Number of partners.
    pub modulus: u32,
    /// Partners from one run to the next, or to the one after so many.
    pub per_run: u32,
    /// Neighbouring runs of an item with the same partners.
    pub runs_per_partner: u32,
    /// Partners from one element of a run to the next.
    pub per_element: u32,
}

impl Partner {
    /// 0 for all elements.
    const NONE: Self = Self {
        first: 0,
        multiplier: 1,
        divisor: 1,
        modulus: 1,
        per_run: 0,
        runs_per_partner: 1,
        per_element: 0,
    };

    /// The same in units of `vector` neighbouring partners.
    #[must_use]
    pub const fn in_vectors(self, vector: u32) -> Self {
        Self {
            first: self.first / vector,
            multiplier: self.multiplier / vector,
            modulus: self.modulus / vector,
            ..self
        }
    }

    /// Whether all elements of an item have the same partner.
    #[must_use]
    pub const fn is_constant(&self) -> bool {
        self.per_run == 0 && self.per_element == 0
    }
}

impl Walk {
    /// Elements per item.
    #[must_use]
    pub const fn elements(&self) -> u32 {
        self.runs * self.run_length
    }

    /// Flat offset of element `element` of `item`, counted along the runs. `item` counts from 0 in every slice.
    #[must_use]
    pub const fn offset(&self, item: u32, element: u32) -> u32 {
        let base = item / self.items_per_outer * self.outer_stride
            + item % self.items_per_outer * self.item_stride;
        base + element / self.run_length * self.run_stride + element % self.run_length
    }

    /// Partner of element `element` of `item`.
    #[must_use]
    pub const fn partner(&self, item: u32, element: u32) -> u32 {
        let p = &self.partner;
        p.first
            + (self.first_item + item) / p.divisor * p.multiplier % p.modulus
            + element / self.run_length / p.runs_per_partner * p.per_run
            + element % self.run_length * p.per_element
    }

    /// The runs of all items as items of their own, if the items consist of them, one after the other, and each has one partner.
    #[must_use]
    pub const fn by_runs(&self) -> Option<Self> {
        let p = self.partner;
        let contiguous = self.runs > 1 && self.item_stride == self.runs * self.run_stride;
        let one_each = p.per_run == 1 && p.per_element == 0 && p.multiplier == self.runs;
        if !contiguous || !one_each || p.divisor != 1 || self.items_per_outer < self.items {
            return None;
        }
        Some(Self {
            items: self.items * self.runs,
            first_item: self.first_item * self.runs,
            items_per_outer: self.items * self.runs,
            item_stride: self.run_stride,
            runs: 1,
            partner: Partner {
                multiplier: 1,
                per_run: 0,
                ..p
            },
            ..*self
        })
    }

    /// The tensor by rows, if the items are one column of it or several: all that have the same runs lie beside each other in each, and
    /// these are rows without gaps, a block of them, and all elements of a column have one partner or all of a row. Partners are columns of
    /// the block.
    #[must_use]
    pub const fn by_rows(&self) -> Option<Self> {
        let columns = self.columns_per_block();
        let blocks = self.items * self.run_length / columns;
        let p = self.partner;
        let partners = self.run_length == 1
            || p.per_element == 1
            || p.is_constant() && p.multiplier == 1 && p.divisor == 1;
        let neighbours = self.run_length == self.item_stride && partners;
        let without_gaps = columns == self.run_stride
            && (blocks == 1 || self.outer_stride == self.runs * self.run_stride);
        if !neighbours || !without_gaps {
            return None;
        }
        Some(Self {
            items: blocks * self.runs,
            first_item: 0,
            items_per_outer: blocks * self.runs,
            outer_stride: 0,
            item_stride: columns,
            runs: 1,
            run_length: columns,
            run_stride: columns,
            partner: Partner {
                multiplier: 0,
                modulus: columns,
                per_element: 1,
                ..Partner::NONE
            },
        })
    }

    /// The items four at a time, if they are columns of the tensor: a run of the walk is then one element of each of the four.
    /// All elements of a column have one partner, and neighbouring columns neighbouring ones; or all elements of a row have one.
    #[must_use]
    pub const fn in_fours(&self) -> Option<Self> {
        let p = self.partner;
        let columns = self.run_length == 1 && self.runs > 1 && self.item_stride == 1;
        let fours = self.items.is_multiple_of(4)
            && self.first_item.is_multiple_of(4)
            && self.items_per_outer.is_multiple_of(4)
            && self.outer_stride.is_multiple_of(4)
            && self.run_stride.is_multiple_of(4);
        let neighbours = p.multiplier == 1
            && p.divisor == 1
            && p.first.is_multiple_of(4)
            && p.modulus.is_multiple_of(4);
        let partners = if p.per_run == 0 {
            neighbours
        } else {
            p.multiplier == 0
        };
        if !columns || !fours || !partners {
            return None;
        }
        Some(Self {
            items: self.items / 4,
            first_item: self.first_item / 4,
            items_per_outer: self.items_per_outer / 4,
            item_stride: 4,
            run_length: 4,
            partner: Partner {
                multiplier: 4 * p.multiplier,
                per_element: if p.per_run == 0 { 1 } else { 0 },
                ..p
            },
            ..*self
        })
    }

    /// Elements of the runs of neighbouring items until the base jumps.
    #[must_use]
    pub const fn columns_per_block(&self) -> u32 {
        let items = if self.items < self.items_per_outer {
            self.items
        } else {
            self.items_per_outer
        };
        items * self.run_length
    }

    /// Whether each element of an item has a partner of its own, the same one in every item.
    #[must_use]
    pub const fn same_partners(&self) -> bool {
        self.runs == 1
            && self.partner.per_element == 1
            && self.partner.multiplier.is_multiple_of(self.partner.modulus)
    }

    /// Whether vectors of four never straddle two runs and always begin at a multiple of four.
    #[must_use]
    pub const fn is_vectorizable(&self) -> bool {
        self.run_length.is_multiple_of(4)
            && (self.runs == 1 || self.run_stride.is_multiple_of(4))
            && self.item_stride.is_multiple_of(4)
            && self.outer_stride.is_multiple_of(4)
    }
}

/// What is to be computed, independent of norm and of device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Problem {
    /// Elements of the tensor.
    pub elements: u32,
    /// Their type in input, output, residual and their gradients.
    pub dtype: DType,
    /// The tensor by groups that share mean and rstd; partners are channels.
    pub groups: Walk,
    /// The tensor by channels that share weight and bias; partners are groups.
    pub channels: Walk,
    /// Subtract the mean (all but RMS norm).
    pub centered: bool,
    /// Added to the variance.
    pub eps: f64,
    /// Normalize with the statistics of the batch, or with running ones (then there is one group per channel).
    pub batch_statistics: bool,
    /// How the running statistics take in this batch's, if they do.
    pub running: Option<RunningUpdate>,
    /// There is a weight.
    pub weight: bool,
    /// There is a bias.
    pub bias: bool,
    /// Each sample has weight and bias of its own: the channels are those of one sample.
    pub per_sample: bool,
    /// The weight is stored as its distance from 1.
    pub zero_centered_weight: bool,
    /// What is applied after weight, bias and residual.
    pub activation: Activation,
    /// Where a residual is added, if there is one; in a backward pass, where its gradient comes in or what its values do.
    pub residual: Option<Residual>,
    /// Where samples end, if they have lengths of their own.
    pub lengths: Option<Lengths>,
}

/// Which position of its sample an element is at, and how many elements groups have before their samples end. A sample's valid elements
/// are those at the first positions of one dimension, as many as its length; the rest is padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lengths {
    /// Elements per sample.
    pub sample_elements: u32,
    /// Elements from one position to the next.
    pub position_stride: u32,
    /// Number of positions: the longest length.
    pub positions: u32,
    /// Neighbouring groups with elements of the same samples: all that have.
    pub groups_per_block: u32,
    /// Samples that a group has elements of.
    pub samples_per_group: u32,
    /// Groups from one position to the next, where all elements of a group are at one position; else 0.
    pub groups_per_position: u32,
    /// Elements of a group at one position of one sample.
    pub group_elements: u32,
}

/// Where a residual is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Residual {
    /// To the input: `s = input + residual; output = activation(norm(s))`, with `s` written out.
    /// Backward, the gradient of `s` is added to that of the input.
    Before,
    /// After weight and bias: `output = activation(norm(input) + residual)`.
    After,
}

/// `running = (1 - factor) * running + factor * batch`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunningUpdate {
    /// The factor; `None` is 1 / (number of batches, this one included).
    pub momentum: Option<f32>,
    /// Number of means and variances.
    pub channels: u32,
}
