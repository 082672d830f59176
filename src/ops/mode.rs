/// Which statistics normalize, and whether the running statistics are updated: two independent switches.
///
/// The third switch of training, whether gradients are wanted, is the call of `backward` itself.
/// Layer, group and RMS norm do the same in every mode.
///
/// | mode | normalizes with | running statistics | PyTorch |
/// |---|---|---|---|
/// | [`Mode::TRAINING`] | the batch's statistics | updated, if kept | `module.train()` |
/// | [`Mode::EVAL`] | the running statistics, if kept, else the batch's | left alone | `module.eval()` |
/// | [`Mode::TRAINING`]`.update_running(false)` | the batch's statistics | left alone | `F.batch_norm(x, None, None, training=True)` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Normalize with the statistics of the batch (true) or with the running ones (false).
    pub batch_statistics: bool,
    /// Update the running statistics, if the layer keeps them, from the statistics of the batch.
    /// Without effect where the batch's statistics are not computed.
    pub update_running: bool,
}

impl Mode {
    /// Normalize with the batch's statistics and update the running ones.
    pub const TRAINING: Self = Self {
        batch_statistics: true,
        update_running: true,
    };

    /// Normalize with the running statistics, if the layer keeps them, and leave them alone.
    pub const EVAL: Self = Self {
        batch_statistics: false,
        update_running: false,
    };

    /// The same mode with [`Mode::update_running`] set.
    #[must_use]
    pub const fn update_running(mut self, update: bool) -> Self {
        self.update_running = update;
        self
    }
}
