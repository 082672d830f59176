//! Tensors larger than a binding, in slices that fit one.

use super::{Problem, Walk};
use crate::caps::Caps;
use crate::error::{Error, Result};

/// A stretch of the tensor that one binding holds: some samples, some points of one with channels last, or some channels of one sample or
/// point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Its first element.
    pub first: u32,
    /// Its number of elements.
    pub elements: u32,
    /// What of the groups lies in it.
    pub groups: Walk,
    /// What of the channels lies in it.
    pub channels: Walk,
}

impl Problem {
    /// The tensor in as few slices as the bindings of a device allow, in order: mostly one.
    ///
    /// # Errors
    /// [`Error::Limit`] if a group or, with one group per channel, a channel of one sample does not fit a binding, if each sample has
    /// weights of its own,
    /// or if there would be more than 1,024 slices.
    pub fn slices(&self, caps: &Caps) -> Result<Vec<Slice>> {
        if self.dtype.bytes(self.elements.into()) <= caps.max_binding_size {
            return Ok(vec![self.whole()]);
        }
        if self.per_sample {
            return Err(Error::Limit {
                what: "a tensor with weights of each sample".to_owned(),
                needed: self.dtype.bytes(self.elements.into()),
                limit: "max_storage_buffer_binding_size",
                allowed: caps.max_binding_size,
            });
        }
        // A binding begins at a multiple of the alignment, up to so many bytes before its slice.
        let bytes = caps.max_binding_size - u64::from(caps.offset_alignment);
        let size = self.dtype.size();
        let most = (bytes / size) as u32;
        let rows = self.channels.runs;
        let row = self.elements / rows;
        if row <= most {
            // Whole blocks, or all blocks in the same pieces, so that all groups have as many parts.
            let (step, block) = (most / row, self.rows_per_block());
            let (stretch, step) = match step / block {
                0 => (block, step),
                blocks => (rows, blocks * block),
            };
            few((rows / stretch).saturating_mul(stretch.div_ceil(step)))?;
            let pieces = move |begin| {
                let piece = move |at| (begin + at, step.min(stretch - at));
                (0..stretch).step_by(step as usize).map(piece)
            };
            let begins = (0..rows).step_by(stretch as usize);
            let slice = |rows| self.slice(rows, None);
            return Ok(begins.flat_map(pieces).map(slice).collect());
        }
        let unit = self.channels_per_group();
        let step = most / (unit * self.channels.run_length) * unit;
        if step == 0 {
            return Err(Error::Limit {
                what: "a group, or a channel of one sample".to_owned(),
                needed: size * u64::from(unit) * u64::from(self.channels.run_length),
                limit: "max_storage_buffer_binding_size",
                allowed: bytes,
            });
        }
        let channels = self.channels.items;
        few(rows.saturating_mul(channels.div_ceil(step)))?;
        let begins = (0..channels).step_by(step as usize);
        let parts = begins.map(|begin| (begin, step.min(channels - begin)));
        let slice = |row| move |part| self.slice((row, 1), Some(part));
        Ok((0..rows)
            .flat_map(|row| parts.clone().map(slice(row)))
            .collect())
    }

    const fn whole(&self) -> Slice {
        Slice {
            first: 0,
            elements: self.elements,
            groups: self.groups,
            channels: self.channels,
        }
    }

    /// Rows (runs of all channels: samples, or points of channels last) that share groups.
    const fn rows_per_block(&self) -> u32 {
        let p = &self.channels.partner;
        if p.per_run == 0 {
            self.channels.runs
        } else {
            p.runs_per_partner
        }
    }

    /// Whether a group has one element of each channel in a sample: layer norm over the channels.
    const fn is_across_channels(&self) -> bool {
        self.channels.partner.per_element != 0
    }

    /// Channels of which a group has all elements of a row.
    const fn channels_per_group(&self) -> u32 {
        if self.is_across_channels() {
            1
        } else {
            self.channels.partner.divisor
        }
    }

    /// The rows `(first, number)`, and of these all channels or `(first, number)`.
    fn slice(&self, (row, rows): (u32, u32), part: Option<(u32, u32)>) -> Slice {
        let whole = self.channels;
        let (channel, items) = part.unwrap_or((0, whole.items));
        let block = self.rows_per_block();
        let mut channels = Walk {
            items,
            first_item: channel,
            items_per_outer: items,
            runs: rows,
            ..whole
        };
        channels.partner.first = row / block * whole.partner.per_run;
        let groups = if self.groups == whole {
            channels
        } else {
            self.groups_of(
                (row / block, rows.div_ceil(block)),
                rows.min(block),
                &channels,
            )
        };
        let per_row = self.elements / whole.runs;
        Slice {
            first: row * per_row + channel * whole.run_length,
            elements: rows * items * whole.run_length,
            groups,
            channels,
        }
    }

    /// The groups of the blocks `(first, number)`, as far as they lie in so many rows of each and in `channels`.
    fn groups_of(&self, (block, blocks): (u32, u32), rows: u32, channels: &Walk) -> Walk {
        let rows_per_block = self.rows_per_block();
        let per_block = self.groups.items / (self.channels.runs / rows_per_block);
        let mut groups = self.groups;
        if self.is_across_channels() {
            groups.items = blocks * per_block;
            groups.first_item = block * per_block;
            groups.runs = channels.items;
            groups.partner.first = channels.first_item;
            return groups;
        }
        let width = self.channels_per_group();
        let of_block = channels.items / width;
        groups.items = blocks * of_block;
        groups.first_item = block * per_block + channels.first_item / width;
        groups.items_per_outer = match groups.outer_stride {
            0 => groups.items,
            _ => of_block,
        };
        if rows_per_block > 1 {
            groups.runs = rows;
        }
        groups
    }
}

/// Each slice is a launch of its own.
fn few(slices: u32) -> Result<()> {
    // 2³¹ elements in WebGPU's smallest bindings, 128 MiB, are 64.
    const MOST: u32 = 1024;
    if slices <= MOST {
        return Ok(());
    }
    Err(Error::Limit {
        what: "a tensor larger than max_storage_buffer_binding_size".to_owned(),
        needed: slices.into(),
        limit: "launches per pass over it",
        allowed: MOST.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm};

    /// The slices follow each other, fit the binding, and in each the walks find the items and partners of the whole.
    fn agree(norm: impl Into<Norm>, shape: &[usize], most: u32) -> usize {
        let problem = norm.into().lower(shape, Mode::TRAINING).unwrap().unwrap();
        let caps = Caps {
            max_binding_size: 4 * u64::from(most),
            offset_alignment: 0,
            ..Caps::WEBGPU
        };
        let owner = |walk: &Walk| {
            let mut owner = vec![(0, 0); problem.elements as usize];
            for item in 0..walk.items {
                for element in 0..walk.elements() {
                    owner[walk.offset(item, element) as usize] =
                        (walk.first_item + item, walk.partner(item, element));
                }
            }
            owner
        };
        let (groups, channels) = (owner(&problem.groups), owner(&problem.channels));
        let slices = problem.slices(&caps).unwrap();
        let mut next = 0;
        for slice in &slices {
            assert_eq!(slice.first, next);
            assert!(slice.elements <= most, "{slice:?}");
            next += slice.elements;
            let range = slice.first as usize..next as usize;
            for (walk, whole) in [(&slice.groups, &groups), (&slice.channels, &channels)] {
                assert_eq!(walk.items * walk.elements(), slice.elements, "{slice:?}");
                let own = owner(walk);
                assert_eq!(own[..range.len()], whole[range.clone()], "{slice:?}");
            }
        }
        assert_eq!(next, problem.elements);
        slices.len()
    }

    #[test]
    fn slices_cover_the_tensor_and_know_their_place() {
        assert_eq!(agree(BatchNorm::new(4), &[6, 4, 5], 120), 1);
        assert_eq!(agree(BatchNorm::new(4), &[6, 4, 5], 45), 3);
        assert_eq!(agree(BatchNorm::new(4), &[6, 4, 5], 16), 12);
        assert_eq!(agree(GroupNorm::new(3, 12), &[3, 12, 2], 50), 2);
        assert_eq!(agree(GroupNorm::new(3, 12), &[3, 12, 2], 17), 6);
        assert_eq!(agree(InstanceNorm::new(3), &[1, 3, 7], 10), 3);
        assert_eq!(agree(LayerNorm::new(&[10]), &[7, 10], 20), 4);
        let batch = BatchNorm::new(4).channels_last(true);
        assert_eq!(agree(batch, &[6, 5, 4], 45), 3);
        assert_eq!(agree(batch, &[2, 3, 4], 3), 12);
        let instance = InstanceNorm::new(4).channels_last(true);
        assert_eq!(agree(instance, &[5, 6, 4], 60), 3);
        assert_eq!(agree(instance, &[2, 7, 4], 13), 6);
        assert_eq!(agree(instance, &[2, 3, 4], 3), 12);
        let group = GroupNorm::new(3, 12).channels_last(true);
        assert_eq!(agree(group, &[3, 4, 12], 100), 2);
        assert_eq!(agree(group, &[3, 4, 12], 25), 6);
        assert_eq!(agree(group, &[3, 4, 12], 9), 24);
        let points = LayerNorm::new(&[6]).channels_first(true);
        assert_eq!(agree(points.clone(), &[5, 6, 4], 50), 3);
        assert_eq!(agree(points, &[5, 6, 4], 16), 10);
        let ghost = BatchNorm::new(4).virtual_batch_size(Some(3));
        assert_eq!(agree(ghost, &[12, 4, 5], 130), 2);
        assert_eq!(agree(ghost, &[12, 4, 5], 45), 8);
        assert_eq!(agree(ghost, &[6, 4, 5], 16), 12);
        assert_eq!(agree(ghost.channels_last(true), &[6, 5, 4], 30), 6);
    }

    #[test]
    fn a_row_that_fits_no_binding_is_an_error() {
        let norm: Norm = LayerNorm::new(&[10]).into();
        let problem = norm.lower(&[7, 10], Mode::TRAINING).unwrap().unwrap();
        let caps = Caps {
            max_binding_size: 36,
            offset_alignment: 0,
            ..Caps::WEBGPU
        };
        let error = problem.slices(&caps).unwrap_err();
        assert!(matches!(
            error,
            Error::Limit {
                needed: 40,
                allowed: 36,
                ..
            }
        ));
    }
}
