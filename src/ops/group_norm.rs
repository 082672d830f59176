use crate::activation::Activation;

/// Group normalization over `[N, C]`, `[N, C, L]`, `[N, C, H, W]` or `[N, C, D, H, W]`, or with `channels_last` over
/// `[N, C]` to `[N, D, H, W, C]`: one mean and variance per sample and group of neighbouring channels, over these channels and the spatial dimensions; weight and bias per channel.
///
/// Same formula as [`BatchNorm`](crate::BatchNorm) (Wu and He, [arXiv:1803.08494](https://arxiv.org/abs/1803.08494);
/// PyTorch's `torch.nn.GroupNorm`). It does the same in training and evaluation.
///
/// ```
/// use wgpu_norm::GroupNorm;
/// let norm = GroupNorm::new(32, 128).eps(1e-6);
/// assert_eq!((norm.num_groups, norm.num_channels), (32, 128));
/// let nhwc = norm.channels_last(true); // takes [N, H, W, 128]
/// assert!(nhwc.channels_last);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct GroupNorm {
    /// Number of groups; must divide `num_channels`.
    pub num_groups: usize,
    /// C, the size of dimension 1, or of the last one.
    pub num_channels: usize,
    /// Added to the variance. Default 1e-5.
    pub eps: f64,
    /// Multiply by a learned weight per channel. Default true.
    pub weight: bool,
    /// Add a learned bias per channel. Default true.
    pub bias: bool,
    /// Take weight and bias of each sample, `[N, C]`, as tensors of a pass rather than of a layer. Default false.
    pub per_sample: bool,
    /// The weight is stored as its distance from 1 and counts as 1 + weight. Default false.
    pub zero_centered_weight: bool,
    /// Applied last, in the same pass. Default none.
    pub activation: Activation,
    /// The channels are the last dimension, `[N, ..., C]`. Default false.
    pub channels_last: bool,
}

impl GroupNorm {
    /// Group normalization of `num_channels` channels in `num_groups` groups, with PyTorch's defaults.
    #[must_use]
    pub const fn new(num_groups: usize, num_channels: usize) -> Self {
        Self {
            num_groups,
            num_channels,
            eps: 1e-5,
            weight: true,
            bias: true,
            per_sample: false,
            zero_centered_weight: false,
            activation: Activation::None,
            channels_last: false,
        }
    }
}

super::setters!(GroupNorm: eps, weight, bias, affine, per_sample, zero_centered_weight, activation, channels_last);
