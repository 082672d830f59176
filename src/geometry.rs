//! Which elements of a tensor are reduced together, and which weight belongs to an element.
//!
//! Every normalization is two steps over *groups* of elements: reduce each group to (count, mean, m2), then map each of its
//! elements with (mean, rstd, weight, bias). Norms differ only in which elements form a group and which *channel* (weight and
//! bias) an element has. Both views of a tensor, by group and by channel, are a [`Walk`], and nothing that comes after
//! knows of norms.

mod slice;

pub use slice::Slice;

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
        let neighbours = self.run_length == self.item_stride
            && (self.run_length == 1 || self.partner.per_element == 1);
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

/// The sizes that a lowering needs, of `[N, C, S]` or `[N, S, C]`: S is the product of the spatial dimensions, and of layer and RMS
/// norm over rows C is a row and S is 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) n: u32,
    pub(crate) c: u32,
    pub(crate) s: u32,
    pub(crate) channels_last: bool,
}

impl Sizes {
    /// Whether the channels of one point lie beside each other, and those of another point elsewhere.
    const fn has_neighbouring_channels(self) -> bool {
        self.channels_last && self.c > 1 && self.s > 1
    }
}

/// Both views of one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Views {
    pub(crate) groups: Walk,
    pub(crate) channels: Walk,
}

/// Batch norm, or any norm with one group per channel: groups and channels are the same sets.
pub(crate) const fn per_channel(sizes: Sizes) -> Views {
    let walk = channels_of(sizes, 1, 0);
    Views {
        groups: walk,
        channels: walk,
    }
}

/// Batch norm with the statistics of every `samples` samples; N is a multiple of that.
pub(crate) const fn per_virtual_batch(sizes: Sizes, samples: u32) -> Views {
    let Sizes { n, c, s, .. } = sizes;
    if samples == n {
        return per_channel(sizes);
    }
    // The channels of a virtual batch are a run each, or lie beside each other.
    let channels_last = s == 1 || sizes.has_neighbouring_channels();
    if channels_last || samples == 1 {
        // As instance norm of longer samples.
        let longer = Sizes {
            n: n / samples,
            s: s * samples,
            channels_last,
            ..sizes
        };
        return per_sample(longer, c);
    }
    let channels = channels_of(sizes, 1, c);
    Views {
        groups: Walk {
            items: n / samples * c,
            items_per_outer: c,
            outer_stride: samples * c * s,
            runs: samples,
            partner: Partner {
                modulus: c,
                per_run: 0,
                ..channels.partner
            },
            ..channels
        },
        channels: Walk {
            partner: Partner {
                runs_per_partner: samples,
                ..channels.partner
            },
            ..channels
        },
    }
}

/// Group norm with `num_groups` groups; instance norm is `num_groups == c`.
pub(crate) const fn per_sample(sizes: Sizes, num_groups: u32) -> Views {
    let Sizes { n, c, s, .. } = sizes;
    let width = c / num_groups;
    let channels = channels_of(sizes, width, num_groups);
    if sizes.has_neighbouring_channels() {
        // A run is what a group has at one point.
        let groups = Walk {
            items: n * num_groups,
            first_item: 0,
            items_per_outer: num_groups,
            outer_stride: s * c,
            item_stride: width,
            runs: s,
            run_length: width,
            run_stride: c,
            partner: Partner {
                multiplier: width,
                modulus: c,
                per_element: if width == 1 { 0 } else { 1 },
                ..Partner::NONE
            },
        };
        return Views { groups, channels };
    }
    // Runs end where the channel changes, so that the channel is a function of the run; without spatial dimensions
    // a run is the whole group and the channel a function of the place in it. Both are contiguous.
    let (runs, run_length, per_run, per_element) = match (width, s) {
        (1, s) => (1, s, 0, 0),
        (width, 1) => (1, width, 0, 1),
        (width, s) => (width, s, 1, 0),
    };
    let groups = Walk {
        items: n * num_groups,
        first_item: 0,
        items_per_outer: n * num_groups,
        outer_stride: 0,
        item_stride: width * s,
        runs,
        run_length,
        run_stride: s,
        partner: Partner {
            multiplier: width,
            modulus: c,
            per_run,
            per_element,
            ..Partner::NONE
        },
    };
    Views { groups, channels }
}

/// Layer and RMS norm: over the channels at each point, which without spatial dimensions are rows.
pub(crate) const fn per_point(sizes: Sizes) -> Views {
    let Sizes { n, c, s, .. } = sizes;
    if s == 1 || c == 1 {
        return per_row(n * s, c);
    }
    let groups = Walk {
        items: n * s,
        first_item: 0,
        items_per_outer: s,
        outer_stride: c * s,
        item_stride: 1,
        runs: c,
        run_length: 1,
        run_stride: s,
        partner: Partner {
            multiplier: 0,
            modulus: c,
            per_run: 1,
            ..Partner::NONE
        },
    };
    let channels = channels_of(sizes, 1, s);
    let partner = Partner {
        multiplier: 0,
        modulus: n * s,
        per_element: 1,
        ..channels.partner
    };
    Views {
        groups,
        channels: Walk {
            partner,
            ..channels
        },
    }
}

/// Layer and RMS norm over rows of `d` elements.
const fn per_row(rows: u32, d: u32) -> Views {
    let sizes = Sizes {
        n: rows,
        c: d,
        s: 1,
        channels_last: false,
    };
    let groups = Walk {
        items: rows,
        first_item: 0,
        items_per_outer: rows,
        outer_stride: 0,
        item_stride: d,
        runs: 1,
        run_length: d,
        run_stride: d,
        partner: Partner {
            multiplier: d,
            modulus: d,
            per_element: 1,
            ..Partner::NONE
        },
    };
    Views {
        groups,
        channels: channels_of(sizes, d, 1),
    }
}

impl Views {
    /// The same groups where each of `n` samples has weights of its own: a channel is one of one sample.
    pub(crate) fn per_sample(self, n: u32) -> Self {
        let Self { groups, channels } = self;
        let weights = n * channels.items;
        let (runs, elements) = (channels.runs / n, channels.items * channels.elements());
        // Layer norm: the weights of a sample are the same in all its rows.
        let same = (groups.partner.multiplier).is_multiple_of(groups.partner.modulus);
        let (of_groups, of_channels) = if groups == channels {
            // Batch norm: groups go through all samples.
            let of_groups = Partner {
                per_run: channels.items,
                runs_per_partner: runs,
                ..groups.partner
            };
            (of_groups, channels.partner)
        } else if same {
            let of_groups = Partner {
                divisor: groups.items / n,
                multiplier: channels.items,
                ..groups.partner
            };
            let p = channels.partner;
            let of_channels = Partner {
                divisor: channels.items,
                multiplier: runs / p.runs_per_partner * p.per_run,
                ..p
            };
            (of_groups, of_channels)
        } else {
            let of_channels = Partner {
                per_run: 0,
                ..channels.partner
            };
            (groups.partner, of_channels)
        };
        Self {
            groups: Walk {
                partner: Partner {
                    modulus: weights,
                    ..of_groups
                },
                ..groups
            },
            channels: Walk {
                items: weights,
                items_per_outer: channels.items,
                outer_stride: elements / n,
                runs,
                partner: Partner {
                    modulus: groups.items,
                    ..of_channels
                },
                ..channels
            },
        }
    }
}

/// The channels of a tensor: a run of each per sample, or per point where they are neighbours. Partner (group) of channel `i` in sample
/// `n`: `i / width + n * groups_per_sample`.
const fn channels_of(sizes: Sizes, width: u32, groups_per_sample: u32) -> Walk {
    let Sizes { n, c, s, .. } = sizes;
    let (runs, run_length, runs_per_partner) = if sizes.has_neighbouring_channels() {
        (n * s, 1, s)
    } else {
        (n, s, 1)
    };
    Walk {
        items: c,
        first_item: 0,
        items_per_outer: c,
        outer_stride: 0,
        item_stride: run_length,
        runs,
        run_length,
        run_stride: c * run_length,
        partner: Partner {
            divisor: width,
            modulus: if groups_per_sample == 0 {
                c
            } else {
                n * groups_per_sample
            },
            per_run: groups_per_sample,
            runs_per_partner: if groups_per_sample == 0 {
                1
            } else {
                runs_per_partner
            },
            ..Partner::NONE
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every element stands exactly once in both views, and each view's partner is the other view's item.
    fn views_agree(views: Views, elements: u32) {
        let mut group_of = vec![u32::MAX; elements as usize];
        let mut channel_of = group_of.clone();
        let walk = |walk: Walk, item_of: &mut [u32]| {
            for item in 0..walk.items {
                for element in 0..walk.elements() {
                    let offset = walk.offset(item, element) as usize;
                    assert_eq!(item_of[offset], u32::MAX, "{walk:?} visits {offset} twice");
                    item_of[offset] = item;
                }
            }
            assert!(!item_of.contains(&u32::MAX), "{walk:?} leaves some out");
        };
        walk(views.groups, &mut group_of);
        walk(views.channels, &mut channel_of);
        let partners = |walk: Walk, other: &[u32]| {
            for item in 0..walk.items {
                for element in 0..walk.elements() {
                    let offset = walk.offset(item, element) as usize;
                    assert_eq!(walk.partner(item, element), other[offset], "{walk:?}");
                }
            }
        };
        partners(views.groups, &channel_of);
        partners(views.channels, &group_of);
    }

    #[test]
    fn both_views_cover_the_tensor_once_and_name_each_other() {
        for (n, c, s) in [
            (1, 1, 1),
            (3, 4, 1),
            (2, 6, 5),
            (5, 12, 4),
            (1, 7, 3),
            (4, 8, 16),
            (6, 1, 5),
        ] {
            let elements = n * c * s;
            for channels_last in [false, true] {
                let sizes = Sizes {
                    n,
                    c,
                    s,
                    channels_last,
                };
                views_agree(per_channel(sizes), elements);
                views_agree(per_channel(sizes).per_sample(n), elements);
                for num_groups in (1..=c).filter(|g| c % g == 0) {
                    views_agree(per_sample(sizes, num_groups), elements);
                    views_agree(per_sample(sizes, num_groups).per_sample(n), elements);
                }
                for samples in (1..=n).filter(|v| n % v == 0) {
                    views_agree(per_virtual_batch(sizes, samples), elements);
                }
            }
            let sizes = Sizes {
                n,
                c,
                s,
                channels_last: false,
            };
            views_agree(per_point(sizes), elements);
            views_agree(per_point(sizes).per_sample(n), elements);
            views_agree(per_row(n * c, s), elements);
            views_agree(per_row(n, c * s), elements);
        }
    }

    /// The groups by the norms' own definitions, which a pair of views that agree may still miss.
    #[test]
    fn groups_are_those_of_the_definitions() {
        let (n, c, s) = (6, 12, 5);
        let group_of = |views: Views| {
            let mut groups = vec![0; (n * c * s) as usize];
            for item in 0..views.groups.items {
                for element in 0..views.groups.elements() {
                    groups[views.groups.offset(item, element) as usize] = item;
                }
            }
            groups
        };
        let sizes = |channels_last| Sizes {
            n,
            c,
            s,
            channels_last,
        };
        let (first, last) = (sizes(false), sizes(true));
        let want = |channels_last, group: &dyn Fn(u32, u32, u32) -> u32| {
            let place = |k: u32| match channels_last {
                false => (k / (c * s), k / s % c, k % s),
                true => (k / (c * s), k % c, k / c % s),
            };
            let groups = (0..n * c * s).map(|k| {
                let (n, c, s) = place(k);
                group(n, c, s)
            });
            groups.collect::<Vec<u32>>()
        };
        for sizes in [first, last] {
            let last = sizes.channels_last;
            assert_eq!(group_of(per_channel(sizes)), want(last, &|_, c, _| c));
            let instance = group_of(per_sample(sizes, c));
            assert_eq!(instance, want(last, &|n, k, _| n * c + k));
            let group = group_of(per_sample(sizes, 3));
            assert_eq!(group, want(last, &|n, c, _| n * 3 + c / 4));
            let ghost = group_of(per_virtual_batch(sizes, 2));
            assert_eq!(ghost, want(last, &|n, k, _| n / 2 * c + k));
        }
        let point = group_of(per_point(first));
        assert_eq!(point, want(false, &|n, _, k| n * s + k));
    }
}
