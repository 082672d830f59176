use crate::activation::Activation;
use crate::geometry::Residual;

use super::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RmsNorm};

/// Any of the normalizations, as plain data: what a [`Layer`](crate::Layer) or a [`Plan`](crate::Plan) is made from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Norm {
    /// Per channel over batch and space.
    Batch(BatchNorm),
    /// Per sample and channel over space.
    Instance(InstanceNorm),
    /// Per sample and group of channels.
    Group(GroupNorm),
    /// Per row of trailing dimensions.
    Layer(LayerNorm),
    /// Per row of trailing dimensions, without mean and bias.
    Rms(RmsNorm),
}

macro_rules! from_configuration {
    ($($variant:ident($norm:ident)),+) => {$(
        impl From<$norm> for Norm {
            fn from(norm: $norm) -> Self {
                Self::$variant(norm)
            }
        }
    )+};
}
from_configuration!(
    Batch(BatchNorm),
    Instance(InstanceNorm),
    Group(GroupNorm),
    Layer(LayerNorm),
    Rms(RmsNorm)
);

impl Norm {
    /// Its name in PyTorch's functional interface, such as "`batch_norm`".
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Batch(_) => "batch_norm",
            Self::Instance(_) => "instance_norm",
            Self::Group(_) => "group_norm",
            Self::Layer(_) => "layer_norm",
            Self::Rms(_) => "rms_norm",
        }
    }

    /// The number added to the variance.
    #[must_use]
    pub const fn eps(&self) -> f64 {
        match self {
            Self::Batch(n) => n.eps,
            Self::Instance(n) => n.eps,
            Self::Group(n) => n.eps,
            Self::Layer(n) => n.eps,
            Self::Rms(n) => n.eps,
        }
    }

    /// Whether there is a learned weight.
    #[must_use]
    pub const fn has_weight(&self) -> bool {
        match self {
            Self::Batch(n) => n.weight,
            Self::Instance(n) => n.weight,
            Self::Group(n) => n.weight,
            Self::Layer(n) => n.weight,
            Self::Rms(n) => n.weight,
        }
    }

    /// Whether there is a learned bias.
    #[must_use]
    pub const fn has_bias(&self) -> bool {
        match self {
            Self::Batch(n) => n.bias,
            Self::Instance(n) => n.bias,
            Self::Group(n) => n.bias,
            Self::Layer(n) => n.bias,
            Self::Rms(_) => false,
        }
    }

    /// Whether each sample has weight and bias of its own.
    #[must_use]
    pub const fn per_sample(&self) -> bool {
        match self {
            Self::Batch(n) => n.per_sample,
            Self::Instance(n) => n.per_sample,
            Self::Group(n) => n.per_sample,
            Self::Layer(n) => n.per_sample,
            Self::Rms(n) => n.per_sample,
        }
    }

    /// Whether the weight is stored as its distance from 1.
    #[must_use]
    pub const fn zero_centered_weight(&self) -> bool {
        match self {
            Self::Batch(n) => n.zero_centered_weight,
            Self::Instance(n) => n.zero_centered_weight,
            Self::Group(n) => n.zero_centered_weight,
            Self::Layer(n) => n.zero_centered_weight,
            Self::Rms(n) => n.zero_centered_weight,
        }
    }

    /// What is applied last.
    #[must_use]
    pub const fn activation(&self) -> Activation {
        match self {
            Self::Batch(n) => n.activation,
            Self::Instance(n) => n.activation,
            Self::Group(n) => n.activation,
            Self::Layer(n) => n.activation,
            Self::Rms(n) => n.activation,
        }
    }

    /// The same norm with another activation.
    #[must_use]
    pub fn with_activation(self, activation: Activation) -> Self {
        match self {
            Self::Batch(n) => n.activation(activation).into(),
            Self::Instance(n) => n.activation(activation).into(),
            Self::Group(n) => n.activation(activation).into(),
            Self::Layer(n) => n.activation(activation).into(),
            Self::Rms(n) => n.activation(activation).into(),
        }
    }

    /// The same norm with weights of each sample or not, and stored as their distance from 1 or not.
    #[must_use]
    pub fn with_weights(self, per_sample: bool, zero_centered: bool) -> Self {
        macro_rules! set {
            ($n:ident) => {
                $n.per_sample(per_sample)
                    .zero_centered_weight(zero_centered)
                    .into()
            };
        }
        match self {
            Self::Batch(n) => set!(n),
            Self::Instance(n) => set!(n),
            Self::Group(n) => set!(n),
            Self::Layer(n) => set!(n),
            Self::Rms(n) => set!(n),
        }
    }

    /// Where a residual is added: before layer and RMS norm, after the others.
    #[must_use]
    pub const fn residual_place(&self) -> Residual {
        match self {
            Self::Layer(_) | Self::Rms(_) => Residual::Before,
            _ => Residual::After,
        }
    }

    /// The momentum of the running statistics (`None` inside: cumulative average), or `None` where none are kept.
    #[must_use]
    pub const fn running_momentum(&self) -> Option<Option<f64>> {
        match self {
            Self::Batch(n) if n.track_running_stats => Some(n.momentum),
            Self::Instance(n) if n.track_running_stats => Some(n.momentum),
            _ => None,
        }
    }

    /// Whether running statistics are kept.
    #[must_use]
    pub const fn tracks_running_stats(&self) -> bool {
        self.running_momentum().is_some()
    }

    /// The dimension of the channels in an input of so many dimensions; `None` where there are none, in layer and RMS norm of rows.
    ///
    /// ```
    /// use wgpu_norm::{BatchNorm, LayerNorm, Norm};
    /// assert_eq!(Norm::from(BatchNorm::new(64)).channel_dimension(4), Some(1));
    /// assert_eq!(Norm::from(BatchNorm::new(64).channels_last(true)).channel_dimension(4), Some(3));
    /// assert_eq!(Norm::from(LayerNorm::new(&[64])).channel_dimension(4), None);
    /// assert_eq!(Norm::from(LayerNorm::new(&[64]).channels_first(true)).channel_dimension(4), Some(1));
    /// ```
    #[must_use]
    pub const fn channel_dimension(&self, rank: usize) -> Option<usize> {
        let last = match self {
            Self::Batch(n) => n.channels_last,
            Self::Instance(n) => n.channels_last,
            Self::Group(n) => n.channels_last,
            Self::Layer(n) if n.channels_first => false,
            Self::Rms(n) if n.channels_first => false,
            Self::Layer(_) | Self::Rms(_) => return None,
        };
        Some(if last { rank.saturating_sub(1) } else { 1 })
    }

    /// The dimension that lengths of samples are along, in an input of so many dimensions: the first one after N that is not that of the
    /// channels; `None` if there is none. In layer and RMS norm of rows that is dimension 1, which may lie within the rows.
    ///
    /// ```
    /// use wgpu_norm::{BatchNorm, LayerNorm, Norm};
    /// assert_eq!(Norm::from(BatchNorm::new(64)).length_dimension(3), Some(2)); // [N, C, L]
    /// assert_eq!(Norm::from(BatchNorm::new(64).channels_last(true)).length_dimension(3), Some(1)); // [N, L, C]
    /// assert_eq!(Norm::from(LayerNorm::new(&[64])).length_dimension(3), Some(1)); // [N, L, D]
    /// assert_eq!(Norm::from(BatchNorm::new(64)).length_dimension(2), None); // [N, C]
    /// ```
    #[must_use]
    pub const fn length_dimension(&self, rank: usize) -> Option<usize> {
        let dimension = match self.channel_dimension(rank) {
            Some(1) => 2,
            _ => 1,
        };
        let needed = match self.channel_dimension(rank) {
            Some(_) => 3,
            None => 2,
        };
        if rank < needed { None } else { Some(dimension) }
    }

    /// The samples that batch norm normalizes together, if not all of them.
    #[must_use]
    pub const fn virtual_batch_size(&self) -> Option<usize> {
        match self {
            Self::Batch(n) => n.virtual_batch_size,
            _ => None,
        }
    }

    /// Shape of the weight and bias of a layer and of running statistics: `[C]`, or `normalized_shape`.
    #[must_use]
    pub fn parameter_shape(&self) -> Vec<usize> {
        match self {
            Self::Batch(n) => vec![n.num_features],
            Self::Instance(n) => vec![n.num_features],
            Self::Group(n) => vec![n.num_channels],
            Self::Layer(n) => n.normalized_shape.clone(),
            Self::Rms(n) => n.normalized_shape.clone(),
        }
    }

    /// Shape of weight and bias for inputs of `shape`: [`Norm::parameter_shape`], after N where each sample has its own.
    #[must_use]
    pub fn affine_shape(&self, shape: &[usize]) -> Vec<usize> {
        let samples = shape.first().copied().filter(|_| self.per_sample());
        samples.into_iter().chain(self.parameter_shape()).collect()
    }
}
