/// What is applied to each element after weight, bias and residual. Names and definitions are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
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
}
