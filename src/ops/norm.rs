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

    /// Shape of weight and bias: `[C]`, or `normalized_shape`.
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
}
