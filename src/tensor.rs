//! Tensors in GPU memory: a buffer, an offset and a shape.

use std::sync::Arc;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::ops;
use crate::readback;
use crate::scope::scoped;

/// The type of a tensor's elements, four bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit floating point: data, parameters and statistics.
    F32,
    /// 32-bit unsigned integer: the number of batches tracked.
    U32,
}

/// A contiguous tensor in a [`wgpu::Buffer`]: several may lie in one buffer.
///
/// Cheap to clone; clones are the same memory. Dimensions are ordered as in PyTorch: the last one is contiguous.
#[derive(Debug, Clone)]
pub struct Tensor {
    context: Context,
    buffer: wgpu::Buffer,
    offset: u64,
    shape: Arc<[usize]>,
    dtype: DType,
}

impl Tensor {
    /// A new tensor with the values of `data` in row-major order.
    ///
    /// # Errors
    /// [`Error::Length`] if `data` does not have as many elements as `shape`, [`Error::Limit`] if they are too many for
    /// the device, [`Error::OutOfMemory`] if it has no room.
    pub fn from_slice(context: &Context, data: &[f32], shape: &[usize]) -> Result<Self> {
        let tensor = Self::uninit(context, shape)?;
        tensor.write(data)?;
        Ok(tensor)
    }

    /// A new tensor whose values do not matter, because they will be written (they are zeros).
    ///
    /// # Errors
    /// [`Error::Limit`] if the elements are too many for the device, [`Error::OutOfMemory`] if it has no room.
    pub fn uninit(context: &Context, shape: &[usize]) -> Result<Self> {
        Self::with_dtype(context, shape, DType::F32)
    }

    /// A new tensor of `value`s.
    ///
    /// # Errors
    /// Those of [`Tensor::uninit`].
    pub fn full(context: &Context, shape: &[usize], value: f32) -> Result<Self> {
        let tensor = Self::uninit(context, shape)?;
        if value != 0.0 {
            tensor.write(&vec![value; tensor.len()])?;
        }
        Ok(tensor)
    }

    /// A counter of batches, at zero: what [`Running`](crate::Running) takes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the device has no room.
    pub fn counter(context: &Context) -> Result<Self> {
        Self::with_dtype(context, &[1], DType::U32)
    }

    fn with_dtype(context: &Context, shape: &[usize], dtype: DType) -> Result<Self> {
        context.check_lost()?;
        let bytes = 4 * ops::elements(shape)? as u64;
        fits(context, shape, bytes)?;
        let buffer = new_buffer(context, "wgpu-norm.tensor", bytes)?;
        Ok(Self {
            context: context.clone(),
            buffer,
            offset: 0,
            shape: shape.into(),
            dtype,
        })
    }

    /// The tensor of `shape` that begins `offset` bytes into the caller's `buffer`. The buffer stays the caller's:
    /// nothing is written but what is asked for.
    ///
    /// # Errors
    /// [`Error::BufferUsage`] if the buffer is not a storage buffer that can be copied from and to, [`Error::Alignment`] if the offset is not a
    /// multiple of the device's `min_storage_buffer_offset_alignment`, [`Error::BufferTooSmall`] if the tensor does not
    /// fit, [`Error::Limit`] if it is larger than a buffer may be.
    pub fn from_buffer(
        context: &Context,
        buffer: wgpu::Buffer,
        offset: u64,
        shape: &[usize],
    ) -> Result<Self> {
        Self::from_buffer_of(context, DType::F32, buffer, offset, shape)
    }

    /// [`Tensor::from_buffer`] for elements of type `dtype`.
    ///
    /// # Errors
    /// Those of [`Tensor::from_buffer`].
    pub fn from_buffer_of(
        context: &Context,
        dtype: DType,
        buffer: wgpu::Buffer,
        offset: u64,
        shape: &[usize],
    ) -> Result<Self> {
        if !buffer.usage().contains(USAGE) {
            return Err(Error::BufferUsage {
                needed: USAGE,
                got: buffer.usage(),
            });
        }
        let alignment = u64::from(context.caps().offset_alignment);
        if !offset.is_multiple_of(alignment) {
            return Err(Error::Alignment { offset, alignment });
        }
        let needed = 4 * ops::elements(shape)? as u64;
        fits(context, shape, needed)?;
        if offset
            .checked_add(needed)
            .is_none_or(|end| end > buffer.size())
        {
            return Err(Error::BufferTooSmall {
                needed,
                offset,
                size: buffer.size(),
            });
        }
        Ok(Self {
            context: context.clone(),
            buffer,
            offset,
            shape: shape.into(),
            dtype,
        })
    }

    /// Replaces the values, before all work that is submitted later.
    ///
    /// # Errors
    /// [`Error::Length`] if `data` does not have as many elements as the tensor.
    pub fn write(&self, data: &[f32]) -> Result<()> {
        self.write_pod(DType::F32, data)
    }

    /// [`Tensor::write`] for a tensor of [`DType::U32`].
    ///
    /// # Errors
    /// [`Error::Length`] if `data` does not have as many elements as the tensor.
    pub fn write_u32(&self, data: &[u32]) -> Result<()> {
        self.write_pod(DType::U32, data)
    }

    fn write_pod<T: bytemuck::Pod>(&self, dtype: DType, data: &[T]) -> Result<()> {
        self.context.check_lost()?;
        self.expect_dtype(dtype)?;
        if data.len() != self.len() {
            return Err(Error::Length {
                shape: self.shape.to_vec(),
                expected: self.len(),
                got: data.len(),
            });
        }
        let bytes: &[u8] = bytemuck::cast_slice(data);
        scoped(self.context.device(), "a write", bytes.len() as u64, || {
            self.context
                .queue()
                .write_buffer(&self.buffer, self.offset, bytes);
        })
    }

    /// Waits for all work submitted so far and copies the values to the CPU. Blocks; in browsers use [`Tensor::to_vec_async`].
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device is lost, [`Error::OutOfMemory`] if there is no room for the copy.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.expect_dtype(DType::F32)?;
        readback::blocking(self)
    }

    /// [`Tensor::to_vec`] without blocking.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub async fn to_vec_async(&self) -> Result<Vec<f32>> {
        self.expect_dtype(DType::F32)?;
        readback::cooperative(self).await
    }

    /// [`Tensor::to_vec`] for a tensor of [`DType::U32`].
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub fn to_vec_u32(&self) -> Result<Vec<u32>> {
        self.expect_dtype(DType::U32)?;
        readback::blocking(self)
    }

    /// [`Tensor::to_vec_u32`] without blocking.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub async fn to_vec_u32_async(&self) -> Result<Vec<u32>> {
        self.expect_dtype(DType::U32)?;
        readback::cooperative(self).await
    }

    pub(crate) fn expect_dtype(&self, dtype: DType) -> Result<()> {
        if self.dtype == dtype {
            return Ok(());
        }
        Err(Error::Value {
            name: "the element type",
            expected: match dtype {
                DType::F32 => "F32",
                DType::U32 => "U32",
            },
            got: format!("{:?}", self.dtype),
        })
    }

    /// The sizes of its dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of its elements.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Its number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        // The sizes before a 0 may overflow when multiplied.
        if self.shape.contains(&0) {
            return 0;
        }
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer that it lies in.
    #[must_use]
    pub const fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Where it begins in the buffer, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The context that it belongs to.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Its size in bytes.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        4 * self.len() as u64
    }
}

const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// A storage buffer of at least four bytes: a binding cannot be empty.
pub(crate) fn new_buffer(context: &Context, label: &str, bytes: u64) -> Result<wgpu::Buffer> {
    scoped(context.device(), label, bytes, || {
        context.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(4),
            usage: USAGE,
            mapped_at_creation: false,
        })
    })
}

fn fits(context: &Context, shape: &[usize], needed: u64) -> Result<()> {
    let allowed = context.caps().max_buffer_size;
    if needed <= allowed {
        return Ok(());
    }
    Err(Error::Limit {
        what: format!("a tensor of shape {shape:?}"),
        needed,
        limit: "max_buffer_size",
        allowed,
    })
}
