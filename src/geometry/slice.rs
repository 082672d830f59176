//! Tensors larger than a binding, in slices that fit one.

use super::{Problem, Walk};
use crate::caps::Caps;
use crate::error::{Error, Result};

/// A stretch of the tensor that one binding holds: some samples, or some channels of one sample.
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
        if 4 * u64::from(self.elements) <= caps.max_binding_size {
            return Ok(vec![self.whole()]);
        }
        if self.per_sample {
            return Err(Error::Limit {
                what: "a tensor with weights of each sample".to_owned(),
                needed: 4 * u64::from(self.elements),
                limit: "max_storage_buffer_binding_size",
                allowed: caps.max_binding_size,
            });
        }
        // A binding begins at a multiple of the alignment, up to so many bytes before its slice.
        let bytes = caps.max_binding_size - u64::from(caps.offset_alignment);
        let most = (bytes / 4) as u32;
        let samples = self.channels.runs;
        let per_sample = self.elements / samples;
        if per_sample <= most {
            let step = most / per_sample;
            few(samples.div_ceil(step))?;
            let begins = (0..samples).step_by(step as usize);
            let slice = |begin| self.slice((begin, step.min(samples - begin)), None);
            return Ok(begins.map(slice).collect());
        }
        // Groups of one sample hold whole channels.
        let unit = self.channels.partner.divisor;
        let step = most / (unit * self.channels.run_length) * unit;
        if step == 0 {
            return Err(Error::Limit {
                what: "a group, or a channel of one sample".to_owned(),
                needed: 4 * u64::from(unit) * u64::from(self.channels.run_length),
                limit: "max_storage_buffer_binding_size",
                allowed: bytes,
            });
        }
        let channels = self.channels.items;
        few(samples.saturating_mul(channels.div_ceil(step)))?;
        let begins = (0..channels).step_by(step as usize);
        let parts = begins.map(|begin| (begin, step.min(channels - begin)));
        let slice = |sample| move |part| self.slice((sample, 1), Some(part));
        Ok((0..samples)
            .flat_map(|sample| parts.clone().map(slice(sample)))
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

    /// The samples `(first, number)`, and of these all channels or `(first, number)`.
    fn slice(&self, samples: (u32, u32), part: Option<(u32, u32)>) -> Slice {
        let whole = self.channels;
        let (channel, items) = part.unwrap_or((0, whole.items));
        let mut channels = Walk {
            items,
            first_item: channel,
            items_per_outer: items,
            runs: samples.1,
            ..whole
        };
        channels.partner.first = samples.0 * whole.partner.per_run;
        let groups = if self.groups == whole {
            channels
        } else {
            let (per_sample, width) = (whole.partner.per_run, whole.partner.divisor);
            let items = samples.1 * (items / width);
            Walk {
                items,
                first_item: samples.0 * per_sample + channel / width,
                items_per_outer: items,
                ..self.groups
            }
        };
        let per_sample = self.elements / whole.runs;
        Slice {
            first: samples.0 * per_sample + channel * whole.run_length,
            elements: samples.1 * items * whole.run_length,
            groups,
            channels,
        }
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
