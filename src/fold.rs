//! Batch norm at test time, folded into the layer before it.
//!
//! With running statistics a batch norm is one multiplication and one addition per channel, of numbers that no longer
//! change, and so is part of the dense or convolution layer whose output it takes:
//!
//! ```text
//! batch norm  output  = (input - running_mean) / sqrt(running_var + eps) * weight + bias = input * scale + shift
//!             scale   = weight / sqrt(running_var + eps)           0 where running_var + eps = 0
//!             shift   = bias - running_mean * scale
//! the layer   weight' = weight * scale of the output channel
//!             bias'   = bias * scale + shift
//! ```
//!
//! Ioffe and Szegedy, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167), algorithm 2, steps 9 to 11; PyTorch's
//! `torch.nn.utils.fusion.fuse_conv_bn_eval` and `fuse_linear_bn_eval`. All of it is computed in f64 and rounded to f32 once.
//!
//! It holds only where nothing stands between the two: no activation, no dropout, no padding of the layer's output.
//!
//! ```
//! use wgpu_norm::fold::{Layout, ScaleShift};
//! # fn main() -> wgpu_norm::Result<()> {
//! // Two channels, eps 0; weight [3, 1], no bias. Of a layer on the device: `layer.scale_shift()?`.
//! let norm = ScaleShift::new(&[1.0, 2.0], &[4.0, 1.0], 0.0, Some(&[3.0, 1.0]), None)?;
//! assert_eq!((norm.scale(), norm.shift()), (vec![1.5, 1.0], vec![-1.5, -2.0]));
//!
//! // A dense layer from three inputs, PyTorch's [out, in], without a bias of its own.
//! let weight = norm.fold_weight(&[2.0, 4.0, 6.0, 1.0, 2.0, 3.0], &Layout::new(&[2, 3], 0))?;
//! assert_eq!(weight, [3.0, 6.0, 9.0, 1.0, 2.0, 3.0]);
//! assert_eq!(norm.fold_bias(None)?, [-1.5, -2.0]);
//! # Ok(())
//! # }
//! ```

mod layout;

pub use layout::Layout;

use crate::error::{Error, Result, same_length};
use crate::layer::Layer;
use crate::ops::Norm;
use crate::state::State;

/// A norm with running statistics as a scale and a shift per channel: `output = input * scale + shift`.
///
/// Numbers that are not finite pass through as they would through the norm, but for variances, which must be 0 or more.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleShift {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl ScaleShift {
    /// From the parameters of a batch norm, each `[C]`, in the order of PyTorch's `fuse_conv_bn_weights`.
    /// Without a weight it is 1, without a bias 0.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ; [`Error::Value`] if `eps` or a variance is below 0 or NaN.
    pub fn new(
        running_mean: &[f32],
        running_var: &[f32],
        eps: f64,
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let channels = running_mean.len();
        for (name, values) in [
            ("running_var", Some(running_var)),
            ("weight", weight),
            ("bias", bias),
        ] {
            if let Some(values) = values {
                same_length(name, channels, values.len())?;
            }
        }
        not_negative("eps", eps)?;
        let at = |values: Option<&[f32]>, channel: usize, default: f64| {
            values.map_or(default, |values| f64::from(values[channel]))
        };
        let (mut scale, mut shift) = (Vec::new(), Vec::new());
        for channel in 0..channels {
            let var = not_negative("running_var", f64::from(running_var[channel]))?;
            let rstd = match var + eps {
                0.0 => 0.0,
                sum => 1.0 / sum.sqrt(),
            };
            let factor = at(weight, channel, 1.0) * rstd;
            scale.push(factor);
            shift.push(at(bias, channel, 0.0) - f64::from(running_mean[channel]) * factor);
        }
        Ok(Self { scale, shift })
    }

    /// From a checkpoint of a batch norm, or of an instance norm with running statistics, which in evaluation is the same.
    ///
    /// # Errors
    /// [`Error::Missing`] if `norm` keeps no running statistics or has weights of each sample, or `state` lacks a part that `norm` has;
    /// those of [`ScaleShift::new`] and [`Norm::validate`].
    pub fn from_state(norm: &Norm, state: &State) -> Result<Self> {
        norm.validate()?;
        if norm.per_sample() {
            let reason = "weights of each sample are not known beforehand";
            return Err(Error::Missing("weight", reason));
        }
        if !norm.tracks_running_stats() {
            let reason =
                "a norm without running statistics takes those of its input, and cannot be folded";
            return Err(Error::Missing("running_mean", reason));
        }
        let part = |name, has: bool, values: &Option<Vec<f32>>| match values {
            Some(values) if has => {
                same_length(name, norm.parameter_shape()[0], values.len())?;
                Ok(Some(values.clone()))
            }
            None if has => Err(Error::Missing(name, "the norm has it")),
            Some(_) => Err(Error::Unexpected(name, "the norm has none")),
            None => Ok(None),
        };
        let mut weight = part("weight", norm.has_weight(), &state.weight)?;
        let bias = part("bias", norm.has_bias(), &state.bias)?;
        let mean = part("running_mean", true, &state.running_mean)?.unwrap_or_default();
        let var = part("running_var", true, &state.running_var)?.unwrap_or_default();
        if norm.zero_centered_weight() {
            weight
                .iter_mut()
                .flatten()
                .for_each(|weight| *weight += 1.0);
        }
        Self::new(&mean, &var, norm.eps(), weight.as_deref(), bias.as_deref())
    }

    /// C.
    #[must_use]
    pub const fn num_features(&self) -> usize {
        self.scale.len()
    }

    /// `weight / sqrt(running_var + eps)`, `[C]`.
    #[must_use]
    pub fn scale(&self) -> Vec<f32> {
        self.scale.iter().map(|&value| value as f32).collect()
    }

    /// `bias - running_mean * scale`, `[C]`.
    #[must_use]
    pub fn shift(&self) -> Vec<f32> {
        self.shift.iter().map(|&value| value as f32).collect()
    }

    /// The weight of the layer before, folded: every element times the scale of its output channel.
    ///
    /// The result is as long as `weight`; what `layout` leaves out stays as it is.
    ///
    /// # Errors
    /// [`Error::Channels`] if the layout does not have C output channels; [`Error::Length`], [`Error::Strides`],
    /// [`Error::Axis`] or [`Error::Groups`] if it does not fit `weight` or itself;
    /// [`Error::Value`] if a finite element becomes too large for f32.
    pub fn fold_weight(&self, weight: &[f32], layout: &Layout) -> Result<Vec<f32>> {
        self.fold("the folded weight", weight, layout, |value, channel| {
            value * self.scale[channel]
        })
    }

    /// The bias of the layer before, folded, `[C]`; `None` for a layer without a bias, which has one from now on.
    ///
    /// # Errors
    /// [`Error::Length`] if it does not have C elements; [`Error::Value`] as in [`ScaleShift::fold_weight`].
    pub fn fold_bias(&self, bias: Option<&[f32]>) -> Result<Vec<f32>> {
        let channels = self.num_features();
        let zeros = vec![0.0; if bias.is_none() { channels } else { 0 }];
        self.fold_bias_in(bias.unwrap_or(&zeros), &Layout::new(&[channels], 0))
    }

    /// The same for a bias that has more than one element per channel: that of a dense layer whose output is
    /// then seen as `[N, C, H, W]` has the layout `Layout::new(&[C, H * W], 0)`.
    ///
    /// # Errors
    /// Those of [`ScaleShift::fold_weight`].
    pub fn fold_bias_in(&self, bias: &[f32], layout: &Layout) -> Result<Vec<f32>> {
        self.fold("the folded bias", bias, layout, |value, channel| {
            value * self.scale[channel] + self.shift[channel]
        })
    }

    fn fold(
        &self,
        name: &'static str,
        values: &[f32],
        layout: &Layout,
        folded: impl Fn(f64, usize) -> f64,
    ) -> Result<Vec<f32>> {
        layout.validate(self.num_features(), values.len())?;
        let mut results = values.to_vec();
        let mut too_large = None;
        layout.visit(|at, channel| {
            let value = folded(f64::from(values[at]), channel);
            results[at] = value as f32;
            if value.is_finite() && !results[at].is_finite() {
                too_large = Some(value);
            }
        });
        match too_large {
            None => Ok(results),
            Some(value) => Err(Error::Value {
                name,
                expected: "within f32",
                got: value.to_string(),
            }),
        }
    }
}

impl Layer {
    /// What the layer computes in evaluation, to be folded into the layer before it. Waits for the device;
    /// in browsers use [`Layer::state_async`] and [`ScaleShift::from_state`].
    ///
    /// # Errors
    /// Those of [`Layer::state`] and [`ScaleShift::from_state`].
    pub fn scale_shift(&self) -> Result<ScaleShift> {
        ScaleShift::from_state(self.norm(), &self.state()?)
    }
}

fn not_negative(name: &'static str, value: f64) -> Result<f64> {
    if value >= 0.0 {
        return Ok(value);
    }
    Err(Error::Value {
        name,
        expected: "at least 0",
        got: value.to_string(),
    })
}
