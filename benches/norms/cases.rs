//! Which norms on which shapes, and the passes of each.

use wgpu_norm::check::Case;
use wgpu_norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, Result, RmsNorm};

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    Backward,
    /// The forward pass with running statistics.
    Eval,
}

impl Pass {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Eval => "eval",
        }
    }

    pub(crate) const fn mode(self) -> Mode {
        match self {
            Self::Forward | Self::Backward => Mode::TRAINING,
            Self::Eval => Mode::EVAL,
        }
    }

    /// The bytes that must be moved at least: the input in and the output out; backward also the gradient in.
    pub(crate) fn bytes(self, shape: &[usize]) -> u64 {
        let tensors = match self {
            Self::Forward | Self::Eval => 2,
            Self::Backward => 3,
        };
        tensors * 4 * shape.iter().product::<usize>() as u64
    }
}

/// A norm on one shape.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) norm: Norm,
    pub(crate) shape: Vec<usize>,
}

impl Problem {
    /// Passes of the same mode stand next to each other.
    pub(crate) fn passes(&self) -> &'static [Pass] {
        if self.norm.tracks_running_stats() {
            &[Pass::Forward, Pass::Backward, Pass::Eval]
        } else {
            &[Pass::Forward, Pass::Backward]
        }
    }

    /// Such as `32x64x56x56`.
    pub(crate) fn shape_name(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        sizes.join("x")
    }

    /// Never constant values: some implementations are fast on these, and gradients vanish.
    pub(crate) fn case(&self, mode: Mode) -> Result<Case> {
        Case::random(&self.norm, mode, &self.shape, 1)
    }
}

/// All problems, the batch divided by `fraction`.
pub(crate) fn problems(fraction: usize) -> Vec<Problem> {
    let channels: [(Norm, &[usize]); 6] = [
        (BatchNorm::new(64).into(), &[32, 64, 56, 56]),
        (BatchNorm::new(256).into(), &[64, 256, 14, 14]),
        (BatchNorm::new(1024).into(), &[256, 1024]),
        (BatchNorm::new(3).into(), &[8, 3, 224, 224]),
        (
            InstanceNorm::new(64).affine(true).into(),
            &[8, 64, 128, 128],
        ),
        (GroupNorm::new(32, 128).into(), &[16, 128, 32, 32]),
    ];
    let rows = [[4096, 768], [1024, 4096], [65_536, 64], [64, 65_536]];
    let problem = |norm: Norm, shape: &[usize]| {
        let mut shape = shape.to_vec();
        shape[0] = (shape[0] / fraction).max(2);
        Problem { norm, shape }
    };
    let channels = channels.map(|(norm, shape)| problem(norm, shape));
    let layer = rows.map(|shape| problem(LayerNorm::new(&shape[1..]).into(), &shape));
    let rms = rows.map(|shape| problem(RmsNorm::new(&shape[1..]).into(), &shape));
    channels.into_iter().chain(layer).chain(rms).collect()
}
