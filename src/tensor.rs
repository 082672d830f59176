//! Tensors in GPU memory: a buffer, an offset and a shape.

use std::sync::Arc;

use half::{bf16, f16};

use crate::context::Context;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::ops;
use crate::readback;
use crate::scope::scoped;

/// A contiguous tensor in a [`wgpu::Buffer`]: several may lie in one buffer.
///
/// Its elements are of one [`DType`]. Cheap to clone; clones are the same memory. Dimensions are ordered as in PyTorch: the last one is contiguous.
#[derive(Debug, Clone)]
pub struct Tensor {
    context: Context,
    buffer: wgpu::Buffer,
    offset: u64,
    shape: Arc<[usize]>,
    dtype: DType,
}

impl Tensor {
    /// A new tensor with the values of `data` in row-major order, and their type.
    ///
    /// ```no_run
    /// use wgpu_norm::half::bf16;
    /// use wgpu_norm::{Context, LayerNorm, Layer, Mode, Tensor};
    /// # fn main() -> wgpu_norm::Result<()> {
    /// let context = Context::new()?;
    /// let values: Vec<bf16> = (0..21).map(|i| bf16::from_f32(0.5 * i as f32)).collect();
    /// let input = Tensor::from_slice(&context, &values, &[3, 7])?;
    /// let layer = Layer::new(&context, LayerNorm::new(&[7]))?;
    /// let output = layer.forward(&input, Mode::EVAL)?.output; // bf16 as well
    /// let bits: Vec<bf16> = output.to_vec_of()?;
    /// let values: Vec<f32> = output.to_vec()?; // the same values
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] if `data` does not have as many elements as `shape`, [`Error::Limit`] if they are too many for
    /// the device, [`Error::OutOfMemory`] if it has no room.
    pub fn from_slice<T: Element>(context: &Context, data: &[T], shape: &[usize]) -> Result<Self> {
        let tensor = Self::uninit_of(context, T::DTYPE, shape)?;
        tensor.write(data)?;
        Ok(tensor)
    }

    /// A new tensor with the values of `data` in row-major order, rounded to `dtype` on the CPU.
    ///
    /// # Errors
    /// Those of [`Tensor::from_slice`], and [`Error::DType`] if `dtype` is U32.
    pub fn from_f32(
        context: &Context,
        dtype: DType,
        data: &[f32],
        shape: &[usize],
    ) -> Result<Self> {
        match dtype {
            DType::F16 => {
                let data: Vec<f16> = data.iter().map(|&value| f16::from_f32(value)).collect();
                Self::from_slice(context, &data, shape)
            }
            DType::BF16 => {
                let data: Vec<bf16> = data.iter().map(|&value| bf16::from_f32(value)).collect();
                Self::from_slice(context, &data, shape)
            }
            dtype => {
                expect("the new tensor", DType::F32, dtype)?;
                Self::from_slice(context, data, shape)
            }
        }
    }

    /// A new tensor of F32 whose values do not matter, because they will be written (they are zeros).
    ///
    /// # Errors
    /// [`Error::Limit`] if the elements are too many for the device, [`Error::OutOfMemory`] if it has no room.
    pub fn uninit(context: &Context, shape: &[usize]) -> Result<Self> {
        Self::uninit_of(context, DType::F32, shape)
    }

    /// A new tensor of `value`s, of their type.
    ///
    /// # Errors
    /// Those of [`Tensor::uninit`].
    pub fn full<T: Element>(context: &Context, shape: &[usize], value: T) -> Result<Self> {
        let tensor = Self::uninit_of(context, T::DTYPE, shape)?;
        if bytemuck::bytes_of(&value).iter().any(|&byte| byte != 0) {
            tensor.write(&vec![value; tensor.len()])?;
        }
        Ok(tensor)
    }

    /// A counter of batches, at zero: what [`Running`](crate::Running) takes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the device has no room.
    pub fn counter(context: &Context) -> Result<Self> {
        Self::uninit_of(context, DType::U32, &[1])
    }

    /// [`Tensor::uninit`] for elements of type `dtype`.
    ///
    /// # Errors
    /// Those of [`Tensor::uninit`].
    pub fn uninit_of(context: &Context, dtype: DType, shape: &[usize]) -> Result<Self> {
        context.check_lost()?;
        let bytes = dtype.bytes(ops::elements(shape)? as u64);
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
    /// An odd number of 16-bit elements takes two bytes more, [`Tensor::byte_len`]: no pass changes these.
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
        let needed = dtype.bytes(ops::elements(shape)? as u64);
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
    /// Of an odd number of 16-bit elements the two bytes behind the last one become zeros: buffers are written in words.
    ///
    /// # Errors
    /// [`Error::Length`] if `data` does not have as many elements as the tensor, [`Error::DType`] if they are of another type.
    pub fn write<T: Element>(&self, data: &[T]) -> Result<()> {
        self.context.check_lost()?;
        self.expect_dtype(T::DTYPE)?;
        if data.len() != self.len() {
            return Err(Error::Length {
                shape: self.shape.to_vec(),
                expected: self.len(),
                got: data.len(),
            });
        }
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let (words, rest) = bytes.split_at(bytes.len() - bytes.len() % 4);
        let (queue, end) = (self.context.queue(), self.offset + words.len() as u64);
        scoped(self.context.device(), "a write", bytes.len() as u64, || {
            queue.write_buffer(&self.buffer, self.offset, words);
            if let &[low, high] = rest {
                queue.write_buffer(&self.buffer, end, &[low, high, 0, 0]);
            }
        })
    }

    /// Waits for all work submitted so far and copies the values to the CPU, those of 16 bits as the same numbers in f32. Blocks; in
    /// browsers use [`Tensor::to_vec_async`].
    ///
    /// # Errors
    /// [`Error::DType`] if they are of type U32, [`Error::DeviceLost`] if the device is lost, [`Error::OutOfMemory`] if there is no room for
    /// the copy.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        match self.dtype {
            DType::F16 => Ok(wide(self.to_vec_of::<f16>()?)),
            DType::BF16 => Ok(wide(self.to_vec_of::<bf16>()?)),
            _ => self.to_vec_of(),
        }
    }

    /// [`Tensor::to_vec`] without blocking.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub async fn to_vec_async(&self) -> Result<Vec<f32>> {
        match self.dtype {
            DType::F16 => Ok(wide(self.to_vec_of_async::<f16>().await?)),
            DType::BF16 => Ok(wide(self.to_vec_of_async::<bf16>().await?)),
            _ => self.to_vec_of_async().await,
        }
    }

    /// [`Tensor::to_vec`] for elements of type `T`, which must be the tensor's.
    ///
    /// # Errors
    /// [`Error::DType`] if it is not, and those of [`Tensor::to_vec`].
    pub fn to_vec_of<T: Element>(&self) -> Result<Vec<T>> {
        self.expect_dtype(T::DTYPE)?;
        readback::blocking(self)
    }

    /// [`Tensor::to_vec_of`] without blocking.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec_of`].
    pub async fn to_vec_of_async<T: Element>(&self) -> Result<Vec<T>> {
        self.expect_dtype(T::DTYPE)?;
        readback::cooperative(self).await
    }

    fn expect_dtype(&self, dtype: DType) -> Result<()> {
        expect("the tensor", dtype, self.dtype)
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

    /// The bytes that it takes in its buffer: those of its elements, rounded up to a multiple of 4.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        self.dtype.bytes(self.len() as u64)
    }
}

fn wide<T: Into<f32>>(values: Vec<T>) -> Vec<f32> {
    values.into_iter().map(Into::into).collect()
}

pub(crate) fn expect(tensor: &'static str, expected: DType, got: DType) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::DType {
        tensor,
        expected,
        got,
    })
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
