//! Which norms on which shapes, and the passes of each.

use wgpu_norm::check::Case;
use wgpu_norm::{BatchNorm, DType, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm};

use crate::Result;

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
    pub(crate) fn bytes(self, problem: &Problem) -> u64 {
        let tensors = match self {
            Self::Forward | Self::Eval => 2,
            Self::Backward => 3,
        };
        tensors * problem.dtype.size() * problem.shape.iter().product::<usize>() as u64
    }
}

/// Such as `32x64x56x56`.
pub(crate) fn shape_name(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    sizes.join("x")
}

/// A shape and, if it is not F32, its type: such as `4096x768-bf16`.
pub(crate) fn size_name(shape: &[usize], dtype: DType) -> String {
    match dtype {
        DType::F32 => shape_name(shape),
        dtype => format!("{}-{}", shape_name(shape), dtype.name()),
    }
}

/// Of one tensor of F32.
pub(crate) fn tensor_bytes(shape: &[usize]) -> u64 {
    4 * shape.iter().product::<usize>() as u64
}

/// A norm on one shape.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) norm: Norm,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
}

impl Problem {
    fn new(norm: impl Into<Norm>, shape: &[usize]) -> Self {
        Self {
            norm: norm.into(),
            shape: shape.to_vec(),
            dtype: DType::F32,
        }
    }

    pub(crate) fn size_name(&self) -> String {
        size_name(&self.shape, self.dtype)
    }

    /// Such as `batch_norm/forward`.
    pub(crate) fn group(&self, pass: Pass) -> String {
        format!("{}/{}", self.norm.name(), pass.name())
    }

    /// Passes of the same mode stand next to each other.
    pub(crate) fn passes(&self) -> &'static [Pass] {
        if self.norm.tracks_running_stats() {
            &[Pass::Forward, Pass::Backward, Pass::Eval]
        } else {
            &[Pass::Forward, Pass::Backward]
        }
    }

    /// Never constant values: some implementations are fast on these, and gradients vanish.
    pub(crate) fn case(&self, mode: Mode) -> Result<Case> {
        Ok(Case::random(&self.norm, mode, &self.shape, 1)?.with_dtype(self.dtype))
    }
}

/// The problems that every device gets, the batch divided by `fraction`.
pub(crate) fn problems(fraction: usize) -> Vec<Problem> {
    let rows = [[4096, 768], [1024, 4096], [65_536, 64], [64, 65_536]];
    let mut problems = vec![
        batch([32, 64, 56, 56]),
        batch([64, 256, 14, 14]),
        Problem::new(BatchNorm::new(1024), &[256, 1024]),
        batch([8, 3, 224, 224]),
        instance([8, 64, 128, 128]),
        group([16, 128, 32, 32]),
    ];
    problems.extend(rows.map(layer));
    problems.extend(rows.map(rms));
    for dtype in [DType::F16, DType::BF16] {
        let halves = [batch([32, 64, 56, 56]), layer([4096, 768])];
        problems.extend(halves.map(|problem| Problem { dtype, ..problem }));
    }
    for problem in &mut problems {
        problem.shape[0] = (problem.shape[0] / fraction).max(2);
    }
    problems
}

/// Problems for a real GPU: most of them do not fit its caches.
pub(crate) fn large_problems() -> Vec<Problem> {
    let mut problems = vec![
        batch([128, 64, 112, 112]),
        batch([256, 256, 56, 56]),
        instance([32, 128, 128, 128]),
        group([16, 320, 64, 64]),
        group([64, 256, 128, 128]),
    ];
    let rows = [[32_768, 4096], [8192, 16_384], [1_048_576, 64]];
    problems.extend([[16_384, 1024], [64, 1_048_576]].map(layer));
    problems.extend(rows.map(layer));
    problems.extend(rows.map(rms));
    problems
}

fn batch(shape: [usize; 4]) -> Problem {
    Problem::new(BatchNorm::new(shape[1]), &shape)
}

fn instance(shape: [usize; 4]) -> Problem {
    Problem::new(InstanceNorm::new(shape[1]).affine(true), &shape)
}

fn group(shape: [usize; 4]) -> Problem {
    Problem::new(GroupNorm::new(32, shape[1]), &shape)
}

fn layer(shape: [usize; 2]) -> Problem {
    Problem::new(LayerNorm::new(&shape[1..]), &shape)
}

fn rms(shape: [usize; 2]) -> Problem {
    Problem::new(RmsNorm::new(&shape[1..]), &shape)
}
