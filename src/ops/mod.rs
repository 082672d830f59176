//! The normalizations: configuration, validation and lowering to geometry.

mod batch_norm;
mod group_norm;
mod instance_norm;
mod layer_norm;
mod lower;
mod mode;
mod norm;
mod rms_norm;
mod validate;

pub use batch_norm::BatchNorm;
pub use group_norm::GroupNorm;
pub use instance_norm::InstanceNorm;
pub use layer_norm::LayerNorm;
pub use mode::Mode;
pub use norm::Norm;
pub use rms_norm::RmsNorm;

/// Consuming setters of a configuration, documented once for all norms.
macro_rules! setters {
    ($norm:ident: $($setter:ident),+) => {
        impl $norm { $(super::setter!($setter);)+ }
    };
}

macro_rules! setter {
    (eps) => {
        /// Sets the number added to the variance: 0 or more.
        #[must_use]
        pub const fn eps(mut self, eps: f64) -> Self {
            self.eps = eps;
            self
        }
    };
    (momentum) => {
        /// Sets the weight of the newest batch in the running statistics; `None` averages all batches equally.
        #[must_use]
        pub const fn momentum(mut self, momentum: Option<f64>) -> Self {
            self.momentum = momentum;
            self
        }
    };
    (weight) => {
        /// Sets whether there is a learned weight.
        #[must_use]
        pub const fn weight(mut self, weight: bool) -> Self {
            self.weight = weight;
            self
        }
    };
    (bias) => {
        /// Sets whether there is a learned bias.
        #[must_use]
        pub const fn bias(mut self, bias: bool) -> Self {
            self.bias = bias;
            self
        }
    };
    (affine) => {
        /// Sets whether there are a learned weight and bias: both or neither.
        #[must_use]
        pub const fn affine(mut self, affine: bool) -> Self {
            self.weight = affine;
            self.bias = affine;
            self
        }
    };
    (per_sample) => {
        /// Sets whether each sample has weight and bias of its own: shape `[N, C]`, or N and `normalized_shape`, N being dimension 0.
        ///
        /// For conditional and adaptive norms and `FiLM`, whose weight and bias another network computes ([arXiv:1707.00683](https://arxiv.org/abs/1707.00683),
        /// [arXiv:1703.06868](https://arxiv.org/abs/1703.06868), [arXiv:1709.07871](https://arxiv.org/abs/1709.07871)): they go into every pass, and
        /// their gradients come out of it.
        #[must_use]
        pub const fn per_sample(mut self, per_sample: bool) -> Self {
            self.per_sample = per_sample;
            self
        }
    };
    (zero_centered_weight) => {
        /// Sets whether the weight is stored as its distance from 1, `x̂ * (1 + weight) + bias`: weight decay then pulls towards 1
        /// (`zero_centered_gamma` of Transformer Engine; Gemma's RMS norm).
        #[must_use]
        pub const fn zero_centered_weight(mut self, zero_centered: bool) -> Self {
            self.zero_centered_weight = zero_centered;
            self
        }
    };
    (activation) => {
        /// Sets what is applied last, in the same pass: `output = activation(... * weight + bias)`.
        #[must_use]
        pub const fn activation(mut self, activation: crate::Activation) -> Self {
            self.activation = activation;
            self
        }
    };
    (channels_last) => {
        /// Sets whether the channels are the last dimension, `[N, ..., C]`, rather than the second.
        #[must_use]
        pub const fn channels_last(mut self, last: bool) -> Self {
            self.channels_last = last;
            self
        }
    };
    (channels_first) => {
        /// Sets whether to normalize over the channels of `[N, C, ...]` rather than over the last dimensions.
        #[must_use]
        pub const fn channels_first(mut self, first: bool) -> Self {
            self.channels_first = first;
            self
        }
    };
    (track_running_stats) => {
        /// Sets whether running statistics are kept.
        #[must_use]
        pub const fn track_running_stats(mut self, track: bool) -> Self {
            self.track_running_stats = track;
            self
        }
    };
}

pub(crate) use validate::elements;
use {setter, setters};
