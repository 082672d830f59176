use crate::dtype::DType;
use crate::error::Result;
use crate::geometry::Residual;
use crate::ops::{Mode, Norm};
use crate::reference::valid_from_lengths;
use crate::strategy::Strategy;

/// One comparison: a norm, a mode, and the values of all tensors that go in.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The norm.
    pub norm: Norm,
    /// The mode.
    pub mode: Mode,
    /// Shape of the input.
    pub shape: Vec<usize>,
    /// How groups are reduced; `None` leaves it to the ladder.
    pub strategy: Option<Strategy>,
    /// How input, gradient of the output and residual are stored, and what is computed like them. [`run`](super::run) rounds the
    /// values to it first.
    pub dtype: DType,
    /// Input.
    pub input: Vec<f32>,
    /// Weight, if the norm has one.
    pub weight: Option<Vec<f32>>,
    /// Bias, if the norm has one.
    pub bias: Option<Vec<f32>>,
    /// Running mean, if the norm keeps one.
    pub running_mean: Option<Vec<f32>>,
    /// Running variance, if the norm keeps one.
    pub running_var: Option<Vec<f32>>,
    /// Batches tracked before this pass.
    pub num_batches_tracked: u32,
    /// Gradient of the output.
    pub grad_output: Vec<f32>,
    /// Added after weight and bias, or before layer and RMS norm; shape of the input.
    pub residual: Option<Vec<f32>>,
    /// Gradient of the `residual_output` of layer and RMS norm with a residual; `None` counts as 0.
    pub grad_residual_output: Option<Vec<f32>>,
    /// Lengths of the samples, along [`Norm::length_dimension`]; `None`: all are full.
    pub lengths: Option<Vec<u32>>,
    /// Gradient of `grad_input`, for the second derivative; `None`: that is left out.
    pub grad_grad_input: Option<Vec<f32>>,
    /// Samples of each rank of a synchronized batch norm; `None`: one tensor has all of them.
    pub ranks: Option<Vec<usize>>,
}

impl Case {
    /// Random values: input, weight, bias and gradient roughly normal, the input with mean 0.5, all of them repeatable by `seed`.
    ///
    /// The gradient is never constant: with a constant one the input gradient of batch norm is zero whatever the code does.
    ///
    /// # Errors
    /// Those of [`Norm::validate_shape`].
    pub fn random(norm: &Norm, mode: Mode, shape: &[usize], seed: u64) -> Result<Self> {
        let elements = norm.validate_shape(shape, mode)?;
        let channels = crate::ops::elements(&norm.parameter_shape())?;
        let parameters = crate::ops::elements(&norm.affine_shape(shape))?;
        let mut random = Random(seed);
        let mut parameter = |has: bool, count: usize, mean: f32, spread: f32| {
            has.then(|| random.values(count, mean, spread))
        };
        let tracks = norm.tracks_running_stats();
        Ok(Self {
            norm: norm.clone(),
            mode,
            shape: shape.to_vec(),
            strategy: None,
            dtype: DType::F32,
            weight: parameter(norm.has_weight(), parameters, 1.0, 0.5),
            bias: parameter(norm.has_bias(), parameters, 0.0, 0.5),
            running_mean: parameter(tracks, channels, 0.3, 0.5),
            running_var: parameter(tracks, channels, 0.0, 1.0).map(|values| {
                values
                    .into_iter()
                    .map(|value| 0.5 + value * value)
                    .collect()
            }),
            num_batches_tracked: if tracks { 2 } else { 0 },
            input: random.values(elements, 0.5, 1.0),
            grad_output: random.values(elements, 0.0, 1.0),
            residual: None,
            grad_residual_output: None,
            lengths: None,
            grad_grad_input: None,
            ranks: None,
        })
    }

    /// The same case with samples that end after so many positions of [`Norm::length_dimension`]: `lengths` again and again.
    #[must_use]
    pub fn with_lengths(mut self, lengths: &[u32]) -> Self {
        let samples = self.shape.first().copied().unwrap_or(0);
        self.lengths = Some(lengths.iter().copied().cycle().take(samples).collect());
        self
    }

    /// The same case with its second derivative, for a random gradient of `grad_input`.
    #[must_use]
    pub fn with_second_derivative(mut self) -> Self {
        let seed = self.grad_output.first().map_or(0, |x| x.to_bits().into());
        self.grad_grad_input = Some(Random(seed).values(self.input.len(), 0.0, 1.0));
        self
    }

    /// The same case as a synchronized batch norm over shards of so many samples.
    #[must_use]
    pub fn with_ranks(mut self, samples: &[usize]) -> Self {
        self.ranks = Some(samples.to_vec());
        self
    }

    /// Which elements are not padding, if there are lengths.
    pub(super) fn valid(&self) -> Result<Option<Vec<bool>>> {
        let Some(lengths) = &self.lengths else {
            return Ok(None);
        };
        let rank = self.shape.len();
        let axis = self.norm.length_dimension(rank).unwrap_or(rank);
        let most = self.shape.get(axis).copied().unwrap_or(0);
        let within = lengths.iter().map(|&length| most.min(length as usize));
        let lengths: Vec<usize> = within.collect();
        valid_from_lengths(&self.shape, axis, &lengths).map(Some)
    }

    /// The same case with a random residual and, in layer and RMS norm, a gradient of the sum.
    #[must_use]
    pub fn with_residual(mut self) -> Self {
        let mut random = Random(self.input.first().map_or(0, |x| x.to_bits().into()));
        let mut values = || random.values(self.input.len(), 0.0, 1.0);
        self.residual = Some(values());
        let before = self.norm.residual_place() == Residual::Before;
        self.grad_residual_output = before.then(values);
        self
    }

    /// The same case with input, gradient of the output and residual stored as `dtype`: rounded to the values that it has.
    #[must_use]
    pub fn with_dtype(mut self, dtype: DType) -> Self {
        let optional = [
            &mut self.residual,
            &mut self.grad_residual_output,
            &mut self.grad_grad_input,
        ];
        let data = [&mut self.input, &mut self.grad_output];
        for values in data.into_iter().chain(optional.into_iter().flatten()) {
            for value in values {
                *value = dtype.nearest(*value);
            }
        }
        self.dtype = dtype;
        self
    }

    /// The same case with `offset` added to the input: the mean in standard deviations.
    #[must_use]
    pub fn offset(mut self, offset: f32) -> Self {
        for value in &mut self.input {
            *value += offset;
        }
        self
    }
}

/// `SplitMix64` (Steele, Lea and Flood 2014): enough for test data, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Sums of four uniform numbers: bell-shaped, within 3.5 `spread` of `mean`.
    fn values(&mut self, count: usize, mean: f32, spread: f32) -> Vec<f32> {
        // Four 16-bit numbers have a mean of 2 and a variance of 1/3 in units of 2¹⁶.
        let unit = 3f32.sqrt() / 65_536.0;
        (0..count)
            .map(|_| {
                let bits = self.next();
                let sum: i32 = (0..4).map(|k| (bits >> (16 * k)) as u16 as i32).sum();
                mean + spread * unit * (sum - 131_070) as f32
            })
            .collect()
    }
}
