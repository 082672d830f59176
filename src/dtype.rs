//! The types of elements.

use half::{bf16, f16};

use crate::error::{Error, Result};

/// The type of a tensor's elements.
///
/// Input, output, residual and their gradients may be of any of [`DType::DATA`], all of them of the same in one pass. Parameters, running
/// and saved statistics are always F32, and so is all arithmetic: a 16-bit result is rounded once, where it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit floating point: data, parameters and statistics.
    F32,
    /// 16-bit floating point of IEEE 754, [`half::f16`]: data. Numbers from 65,520 become infinity.
    F16,
    /// The upper half of a 32-bit floating point number, [`half::bf16`]: data.
    BF16,
    /// 32-bit unsigned integer: the number of batches tracked.
    U32,
}

impl DType {
    /// Those that data may have.
    pub const DATA: [Self; 3] = [Self::F32, Self::F16, Self::BF16];

    /// Bytes of an element.
    #[must_use]
    pub const fn size(self) -> u64 {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// Its name in Rust, such as "bf16".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::U32 => "u32",
        }
    }

    /// Bytes of so many elements in a buffer: a multiple of 4, as bindings and copies need.
    pub(crate) const fn bytes(self, elements: u64) -> u64 {
        (self.size() * elements).next_multiple_of(4)
    }

    /// Bits of a number's fraction and the least exponent, of the 16-bit types.
    const fn fraction(self) -> Option<(i32, i32)> {
        match self {
            Self::F16 => Some((10, -14)),
            Self::BF16 => Some((7, -126)),
            Self::F32 | Self::U32 => None,
        }
    }

    /// The distance of neighbouring 16-bit values around `at`; 0 for other types.
    pub(crate) fn ulp(self, at: f64) -> f64 {
        let exponent = ((at.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        self.fraction().map_or(0.0, |(bits, least)| {
            f64::from(exponent.max(least) - bits).exp2()
        })
    }

    /// Refuses what the data of a plan cannot be.
    pub(crate) fn expect_data(self) -> Result<()> {
        if Self::DATA.contains(&self) {
            return Ok(());
        }
        Err(Error::Value {
            name: "the type of a plan",
            expected: "F32, F16 or BF16",
            got: format!("{self:?}"),
        })
    }

    /// The most that rounding to 16 bits changes a number by, relative to it; 0 for other types.
    pub(crate) fn unit_roundoff(self) -> f64 {
        let fraction = self.fraction();
        fraction.map_or(0.0, |(bits, _)| f64::from(-1 - bits).exp2())
    }

    /// What infinity stands for in 16 bits: the first power of two that is too large.
    pub(crate) fn overflow(self) -> Option<f64> {
        let fraction = self.fraction();
        fraction.map(|(_, least)| f64::from(2 - least).exp2())
    }

    /// The nearest value of this type, ties to even; the same value for F32.
    pub(crate) fn nearest(self, value: f32) -> f32 {
        match self {
            Self::F32 | Self::U32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::BF16 => bf16::from_f32(value).to_f32(),
        }
    }
}

mod sealed {
    pub trait Sealed: bytemuck::Pod {}
}

/// A Rust type that tensors have elements of: `f32`, [`half::f16`], [`half::bf16`], and `u32` for counters.
pub trait Element: sealed::Sealed {
    /// The same type as a value.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($type:ty => $dtype:ident),+) => {$(
        impl sealed::Sealed for $type {}

        impl Element for $type {
            const DTYPE: DType = DType::$dtype;
        }
    )+};
}
elements!(f32 => F32, f16 => F16, bf16 => BF16, u32 => U32);
