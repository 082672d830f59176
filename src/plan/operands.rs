//! The tensors of one pass, checked against the plan and against each other.

use std::ops::Range;

use crate::context::Context;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::Slot;
use crate::tensor::{self, Tensor};

/// Which tensors a written one may lie over, element on element.
#[derive(Debug, Clone, Copy)]
pub(super) enum InPlace {
    Never,
    /// These, in words as well.
    Over(&'static [Slot], &'static str),
}

/// A piece of a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) buffer: &'a wgpu::Buffer,
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Piece<'_> {
    /// The bytes `window` of this piece.
    pub(super) const fn part(self, window: &Range<u64>) -> Self {
        Self {
            offset: self.offset + window.start,
            size: window.end - window.start,
            ..self
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Operand<'a> {
    slot: Slot,
    piece: Piece<'a>,
    written: Option<InPlace>,
}

/// The tensors of one pass by slot.
#[derive(Debug)]
pub(super) struct Operands<'a> {
    context: &'a Context,
    /// The type of input, output, residual and their gradients.
    dtype: DType,
    operands: [Option<Operand<'a>>; Slot::COUNT],
}

impl<'a> Operands<'a> {
    pub(super) fn new<'c: 'a>(context: &'c Context, dtype: DType) -> Self {
        Self {
            context,
            dtype,
            operands: [None; Slot::COUNT],
        }
    }

    pub(super) fn read(&mut self, slot: Slot, tensor: &'a Tensor, shape: &[usize]) -> Result<()> {
        self.insert(slot, tensor, shape, None)
    }

    pub(super) fn write(
        &mut self,
        slot: Slot,
        tensor: &'a Tensor,
        shape: &[usize],
        in_place: InPlace,
    ) -> Result<()> {
        self.insert(slot, tensor, shape, Some(in_place))
    }

    fn insert(
        &mut self,
        slot: Slot,
        tensor: &'a Tensor,
        shape: &[usize],
        written: Option<InPlace>,
    ) -> Result<()> {
        if !tensor.context().is_same_device(self.context) {
            return Err(Error::OtherContext(slot.name()));
        }
        if tensor.shape() != shape {
            return Err(Error::Shape {
                tensor: slot.name(),
                expected: shape.to_vec(),
                got: tensor.shape().to_vec(),
            });
        }
        tensor::expect(slot.name(), slot.dtype(self.dtype), tensor.dtype())?;
        let piece = Piece {
            buffer: tensor.buffer(),
            offset: tensor.offset(),
            size: tensor.byte_len(),
        };
        self.operands[slot as usize] = Some(Operand {
            slot,
            piece,
            written,
        });
        Ok(())
    }

    pub(super) fn get(&self, slot: Slot) -> Option<Piece<'a>> {
        self.operands[slot as usize].map(|operand| operand.piece)
    }

    /// A written tensor may share memory with another only where the pass allows it, and then with all of it.
    pub(super) fn check_overlaps(&self) -> Result<()> {
        for written in self.operands.iter().flatten() {
            let Some(in_place) = written.written else {
                continue;
            };
            for other in self.operands.iter().flatten() {
                if other.slot == written.slot || !overlap(&written.piece, &other.piece) {
                    continue;
                }
                let (over, allowed): (&[Slot], _) = match in_place {
                    InPlace::Never => (&[], "nothing here"),
                    InPlace::Over(slots, allowed) => (slots, allowed),
                };
                let same = written.piece.offset == other.piece.offset
                    && written.piece.size == other.piece.size;
                // Two written tensors see each other twice; the one that may lie over the other decides.
                if !(same && over.contains(&other.slot)) {
                    return Err(Error::Overlap {
                        written: written.slot.name(),
                        other: other.slot.name(),
                        allowed,
                    });
                }
            }
        }
        Ok(())
    }
}

fn overlap(a: &Piece<'_>, b: &Piece<'_>) -> bool {
    a.buffer == b.buffer && a.offset < b.offset + b.size && b.offset < a.offset + a.size
}
