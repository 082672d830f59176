use crate::activation::Activation;

/// Root mean square normalization over the last dimensions of a tensor, a row being all elements that share the leading
/// dimensions; weight of shape `normalized_shape`, no bias, no mean.
///
/// `output = input / sqrt(mean(input²) + eps) * weight` (Zhang and Sennrich,
/// [arXiv:1910.07467](https://arxiv.org/abs/1910.07467); PyTorch's `torch.nn.RMSNorm`).
/// It does the same in training and evaluation.
///
/// ```
/// use wgpu_norm::RmsNorm;
/// let norm = RmsNorm::new(&[4096]).eps(1e-6);
/// assert_eq!(norm.normalized_shape, [4096]);
/// let nchw = RmsNorm::new(&[96]).channels_first(true); // takes [N, 96, H, W], as timm's RmsNorm2d
/// assert!(nchw.channels_first);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RmsNorm {
    /// The trailing dimensions that are normalized together; with `channels_first` `[C]`.
    pub normalized_shape: Vec<usize>,
    /// Added to the mean square. Default `f32::EPSILON` = 1.19e-7, PyTorch's default for f32.
    pub eps: f64,
    /// Multiply by a learned weight per element of a row. Default true.
    pub weight: bool,
    /// Take weight of each sample, `[N, normalized_shape...]`, as tensors of a pass rather than of a layer. Default false.
    pub per_sample: bool,
    /// The weight is stored as its distance from 1 and counts as 1 + weight. Default false.
    pub zero_centered_weight: bool,
    /// Applied last, in the same pass. Default none.
    pub activation: Activation,
    /// Normalize over the channels of `[N, C, ...]`, at each point of each sample, rather than over the last dimensions: the same as to move
    /// the channels to the end and back (`ConvNeXt`'s `data_format="channels_first"`). Default false.
    pub channels_first: bool,
}

impl RmsNorm {
    /// RMS normalization over trailing dimensions of shape `normalized_shape`, with PyTorch's defaults.
    #[must_use]
    pub fn new(normalized_shape: &[usize]) -> Self {
        Self {
            normalized_shape: normalized_shape.to_vec(),
            eps: f32::EPSILON as f64,
            weight: true,
            per_sample: false,
            zero_centered_weight: false,
            activation: Activation::None,
            channels_first: false,
        }
    }
}

super::setters!(RmsNorm: eps, weight, per_sample, zero_centered_weight, activation, channels_first);
