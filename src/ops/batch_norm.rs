use crate::activation::Activation;

/// Batch normalization over `[N, C]`, `[N, C, L]`, `[N, C, H, W]` or `[N, C, D, H, W]`, or with `channels_last` over
/// `[N, C]` to `[N, D, H, W, C]`: one mean and variance per channel, over the batch and all spatial dimensions.
///
/// `output = (input - mean) / sqrt(var + eps) * weight + bias`, `var` the biased variance (Ioffe and Szegedy,
/// [arXiv:1502.03167](https://arxiv.org/abs/1502.03167), algorithm 1; PyTorch's `torch.nn.BatchNorm1d`, `2d`, `3d`).
/// The running statistics take the batch's mean and its *unbiased* variance:
/// `running = (1 - momentum) * running + momentum * batch`.
///
/// ```
/// use wgpu_norm::BatchNorm;
/// let norm = BatchNorm::new(64).eps(1e-3).momentum(Some(0.01));
/// assert_eq!(norm.num_features, 64);
/// let nhwc = BatchNorm::new(64).channels_last(true); // takes [N, H, W, 64]
/// assert!(nhwc.channels_last);
/// ```
///
/// # Ghost batch normalization
///
/// With a `virtual_batch_size` (Hoffer, Hubara and Soudry, [arXiv:1705.08741](https://arxiv.org/abs/1705.08741), algorithm 1) the
/// statistics of the batch are those of every so many samples, N being a multiple of it: the regularization of a small batch at the speed of a
/// large one. Evaluation is that of batch norm. The running statistics take the average over the virtual batches of the means and of the
/// unbiased variances, in one update; the paper (and a loop over the virtual batches) moves them once for each, so that there
/// `momentum` is that of a virtual batch.
///
/// ```
/// use wgpu_norm::BatchNorm;
/// let norm = BatchNorm::new(64).virtual_batch_size(Some(32)); // takes 32, 64, 96, ... samples
/// assert_eq!(norm.virtual_batch_size, Some(32));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchNorm {
    /// C, the size of dimension 1, or of the last one.
    pub num_features: usize,
    /// Added to the variance. Default 1e-5.
    pub eps: f64,
    /// Weight of the newest batch in the running statistics; `None` averages all batches equally
    /// (factor 1 / `num_batches_tracked`). Default 0.1.
    pub momentum: Option<f64>,
    /// Multiply by a learned weight per channel. Default true.
    pub weight: bool,
    /// Add a learned bias per channel. Default true.
    pub bias: bool,
    /// Keep running statistics, for evaluation. Default true.
    pub track_running_stats: bool,
    /// Take weight and bias of each sample, `[N, C]`, as tensors of a pass rather than of a layer. Default false.
    pub per_sample: bool,
    /// The weight is stored as its distance from 1 and counts as 1 + weight. Default false.
    pub zero_centered_weight: bool,
    /// Applied last, in the same pass. Default none.
    pub activation: Activation,
    /// The channels are the last dimension, `[N, ..., C]`. Default false.
    pub channels_last: bool,
    /// Samples that are normalized together where the statistics of the batch normalize, in order; `None` is all of them. Default `None`.
    pub virtual_batch_size: Option<usize>,
}

impl BatchNorm {
    /// Batch normalization of `num_features` channels, with PyTorch's defaults.
    #[must_use]
    pub const fn new(num_features: usize) -> Self {
        Self {
            num_features,
            eps: 1e-5,
            momentum: Some(0.1),
            weight: true,
            bias: true,
            track_running_stats: true,
            per_sample: false,
            zero_centered_weight: false,
            activation: Activation::None,
            channels_last: false,
            virtual_batch_size: None,
        }
    }

    /// Sets how many samples are normalized together in training; `None` is all of them. At least 1, and N a multiple of it.
    #[must_use]
    pub const fn virtual_batch_size(mut self, samples: Option<usize>) -> Self {
        self.virtual_batch_size = samples;
        self
    }
}

super::setters!(BatchNorm: eps, momentum, weight, bias, affine, track_running_stats, per_sample, zero_centered_weight, activation, channels_last);
