use crate::activation::Activation;

/// Layer normalization over the last dimensions of a tensor: one mean and variance per row, a row being all elements
/// that share the leading dimensions; weight and bias of shape `normalized_shape`.
///
/// Same formula as [`BatchNorm`](crate::BatchNorm) (Ba, Kiros and Hinton,
/// [arXiv:1607.06450](https://arxiv.org/abs/1607.06450); PyTorch's `torch.nn.LayerNorm`).
/// It does the same in training and evaluation.
///
/// ```
/// use wgpu_norm::LayerNorm;
/// let norm = LayerNorm::new(&[768]).bias(false); // takes [.., 768]
/// assert_eq!(norm.normalized_shape, [768]);
/// let nchw = LayerNorm::new(&[96]).channels_first(true); // takes [N, 96, H, W], as timm's LayerNorm2d
/// assert!(nchw.channels_first);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerNorm {
    /// The trailing dimensions that are normalized together; with `channels_first` `[C]`.
    pub normalized_shape: Vec<usize>,
    /// Added to the variance. Default 1e-5.
    pub eps: f64,
    /// Multiply by a learned weight per element of a row. Default true.
    pub weight: bool,
    /// Add a learned bias per element of a row. Default true.
    pub bias: bool,
    /// Take weight and bias of each sample, `[N, normalized_shape...]`, as tensors of a pass rather than of a layer. Default false.
    pub per_sample: bool,
    /// The weight is stored as its distance from 1 and counts as 1 + weight. Default false.
    pub zero_centered_weight: bool,
    /// Applied last, in the same pass. Default none.
    pub activation: Activation,
    /// Normalize over the channels of `[N, C, ...]`, at each point of each sample, rather than over the last dimensions: the same as to move
    /// the channels to the end and back (`ConvNeXt`'s `data_format="channels_first"`). Default false.
    pub channels_first: bool,
}

impl LayerNorm {
    /// Layer normalization over trailing dimensions of shape `normalized_shape`, with PyTorch's defaults.
    #[must_use]
    pub fn new(normalized_shape: &[usize]) -> Self {
        Self {
            normalized_shape: normalized_shape.to_vec(),
            eps: 1e-5,
            weight: true,
            bias: true,
            per_sample: false,
            zero_centered_weight: false,
            activation: Activation::None,
            channels_first: false,
        }
    }
}

super::setters!(LayerNorm: eps, weight, bias, affine, per_sample, zero_centered_weight, activation, channels_first);
