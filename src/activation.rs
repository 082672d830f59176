use std::hash::{Hash, Hasher};

/// What is applied to each element after weight, bias and residual. Names and definitions are PyTorch's.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`; its derivative at 0 is 0.
    Relu,
    /// `x` above 0, the slope times `x` elsewhere, the slope being its derivative at 0 too. PyTorch's default is 0.01.
    LeakyRelu(f64),
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `x * Φ(x)`, with the distribution function of the normal distribution: `x / 2 * erfc(-x / sqrt(2))`.
    Gelu,
    /// Its approximation `x / 2 * (1 + tanh(sqrt(2 / π) * (x + 0.044715 x³)))`.
    GeluTanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// All of them; the slope is PyTorch's default.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Relu,
        Self::LeakyRelu(0.01),
        Self::Silu,
        Self::Gelu,
        Self::GeluTanh,
        Self::Sigmoid,
        Self::Tanh,
    ];

    /// Its name in PyTorch's functional interface; `gelu_tanh` for `F.gelu(x, approximate="tanh")`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
        }
    }

    /// A bound on its slope: how much it enlarges an error of what it is applied to, at most. The slope of `silu` is at most 1.0998,
    /// that of `gelu` 1.1290 in either form.
    #[must_use]
    pub const fn lipschitz(self) -> f64 {
        match self {
            Self::LeakyRelu(slope) => slope.abs().max(1.0),
            Self::Silu => 1.1,
            Self::Gelu | Self::GeluTanh => 1.13,
            Self::Sigmoid => 0.25,
            Self::None | Self::Relu | Self::Tanh => 1.0,
        }
    }

    /// All that distinguishes two of them.
    const fn key(self) -> (&'static str, u64) {
        let slope = match self {
            Self::LeakyRelu(slope) => slope.to_bits(),
            _ => 0,
        };
        (self.name(), slope)
    }
}

// By the bits of a slope, so that an activation can be part of the key of a pipeline.
impl PartialEq for Activation {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Activation {}

impl Hash for Activation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
