use crate::activation::Activation;

/// Instance normalization over `[N, C, L]`, `[N, C, H, W]` or `[N, C, D, H, W]`, or with `channels_last` over `[N, L, C]`
/// to `[N, D, H, W, C]`: one mean and variance per sample and channel, over the spatial dimensions.
///
/// Same formula as [`BatchNorm`](crate::BatchNorm) (Ulyanov, Vedaldi and Lempitsky,
/// [arXiv:1607.08022](https://arxiv.org/abs/1607.08022); PyTorch's `torch.nn.InstanceNorm1d`, `2d`, `3d`).
/// Running statistics, where kept, take the average over the batch of the means and of the unbiased variances.
///
/// Like PyTorch's, it has by default neither weight nor bias nor running statistics.
///
/// ```
/// use wgpu_norm::InstanceNorm;
/// let norm = InstanceNorm::new(64).affine(true);
/// assert!(norm.weight && norm.bias && !norm.track_running_stats);
/// let nhwc = norm.channels_last(true); // takes [N, H, W, 64]
/// assert!(nhwc.channels_last);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct InstanceNorm {
    /// C, the size of dimension 1, or of the last one.
    pub num_features: usize,
    /// Added to the variance. Default 1e-5.
    pub eps: f64,
    /// Weight of the newest batch in the running statistics; `None` averages all batches equally
    /// (factor 1 / `num_batches_tracked`). Default 0.1.
    pub momentum: Option<f64>,
    /// Multiply by a learned weight per channel. Default false.
    pub weight: bool,
    /// Add a learned bias per channel. Default false.
    pub bias: bool,
    /// Keep running statistics, for evaluation. Default false.
    pub track_running_stats: bool,
    /// Take weight and bias of each sample, `[N, C]`, as tensors of a pass rather than of a layer. Default false.
    pub per_sample: bool,
    /// The weight is stored as its distance from 1 and counts as 1 + weight. Default false.
    pub zero_centered_weight: bool,
    /// Applied last, in the same pass. Default none.
    pub activation: Activation,
    /// The channels are the last dimension, `[N, ..., C]`. Default false.
    pub channels_last: bool,
}

impl InstanceNorm {
    /// Instance normalization of `num_features` channels, with PyTorch's defaults.
    #[must_use]
    pub const fn new(num_features: usize) -> Self {
        Self {
            num_features,
            eps: 1e-5,
            momentum: Some(0.1),
            weight: false,
            bias: false,
            track_running_stats: false,
            per_sample: false,
            zero_centered_weight: false,
            activation: Activation::None,
            channels_last: false,
        }
    }
}

super::setters!(InstanceNorm: eps, momentum, weight, bias, affine, track_running_stats, per_sample, zero_centered_weight, activation, channels_last);
