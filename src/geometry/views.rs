//! Both views of the tensors of all norms.

use super::{Partner, Walk};

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
