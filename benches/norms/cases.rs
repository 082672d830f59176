//! Which norms on which shapes, and the passes of each.

use wgpu_norm::check::Case;
use wgpu_norm::geometry::Residual;
use wgpu_norm::{
    Activation, BatchNorm, DType, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm,
};

use crate::Result;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    Backward,
    /// The forward pass with running statistics.
    Eval,
    /// The second derivative: gradients of input, weight and `grad_output`.
    DoubleBackward,
}

impl Pass {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Eval => "eval",
            Self::DoubleBackward => "double_backward",
        }
    }

    pub(crate) const fn mode(self) -> Mode {
        match self {
            Self::Forward | Self::Backward | Self::DoubleBackward => Mode::TRAINING,
            Self::Eval => Mode::EVAL,
        }
    }

    /// The bytes that must be moved at least: the input in and the output out; backward also the gradient in; the second derivative reads
    /// three tensors and writes two. Before layer and RMS norm a residual comes in and the sum goes out, whose gradient comes in as well;
    /// after the others it comes in, and in again to find the derivative of the activation, and its gradient goes out.
    pub(crate) fn bytes(self, problem: &Problem) -> u64 {
        let residual = problem.residual.then(|| problem.norm.residual_place());
        let activated = problem.norm.activation() != Activation::None;
        let tensors = match (self, residual) {
            (Self::Forward | Self::Eval, None) => 2,
            (Self::Forward | Self::Eval, Some(Residual::After)) => 3,
            (Self::Forward | Self::Eval, Some(Residual::Before)) => 4,
            (Self::Backward, None) => 3,
            (Self::Backward, Some(Residual::After)) if activated => 5,
            (Self::Backward, Some(_)) => 4,
            (Self::DoubleBackward, _) => 5,
        };
        tensors * problem.dtype.size() * problem.shape.iter().product::<usize>() as u64
    }
}

/// Such as `32x64x56x56`.
pub(crate) fn shape_name(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    sizes.join("x")
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
    /// With a residual.
    pub(crate) residual: bool,
    /// With samples of 1, 3/4, 1/2 and 1/4 of the longest length by turns.
    pub(crate) lengths: bool,
    /// The second derivative alone.
    pub(crate) double: bool,
    /// As one rank of synchronized batch norm.
    pub(crate) sync: bool,
    /// The same groups where the elements of each are neighbours, to run beside this.
    pub(crate) twin: Option<Box<Self>>,
}

impl Problem {
    fn new(norm: impl Into<Norm>, shape: &[usize]) -> Self {
        Self {
            norm: norm.into(),
            shape: shape.to_vec(),
            dtype: DType::F32,
            residual: false,
            lengths: false,
            double: false,
            sync: false,
            twin: None,
        }
    }

    fn beside(self, twin: Self) -> Self {
        Self {
            twin: Some(Box::new(twin)),
            ..self
        }
    }

    /// What is left of a batch, to run once, has no twin: time does not matter then.
    fn divide_batch(&mut self, fraction: usize) {
        if fraction == 1 {
            return;
        }
        let least = match &self.norm {
            Norm::Instance(_) => 1,
            norm => 2 * norm.virtual_batch_size().unwrap_or(1),
        };
        self.shape[0] = (self.shape[0] / fraction).max(least);
        self.twin = None;
    }

    /// The shape and what else it is called by, such as `4096x768-bf16`.
    pub(crate) fn size_name(&self) -> String {
        let mut name = shape_name(&self.shape);
        for feature in self.features() {
            name.push('-');
            name.push_str(&feature);
        }
        name
    }

    /// What is not the plain norm of f32 tensors with neighbouring elements.
    fn features(&self) -> Vec<String> {
        let dtype = (self.dtype != DType::F32).then(|| self.dtype.name().to_owned());
        let ghost = self.norm.virtual_batch_size();
        let activation = self.norm.activation();
        let activation = (activation != Activation::None).then(|| activation.name().to_owned());
        let named = |has: bool, name: &str| has.then(|| name.to_owned());
        let layer = matches!(self.norm, Norm::Layer(_) | Norm::Rms(_));
        let dimension = self.norm.channel_dimension(self.shape.len());
        let last = dimension == Some(self.shape.len() - 1) && self.shape.len() > 2;
        let features = [
            dtype,
            named(last && !layer, "channels_last"),
            named(layer && dimension.is_some(), "channels_first"),
            ghost.map(|samples| format!("ghost{samples}")),
            named(self.norm.per_sample(), "per_sample"),
            named(self.residual, "residual"),
            activation,
            named(self.lengths, "lengths"),
            named(self.sync, "sync"),
        ];
        features.into_iter().flatten().collect()
    }

    /// Whether it stands in the chart.
    pub(crate) fn is_plain(&self) -> bool {
        !self.double && self.features().is_empty()
    }

    /// Such as `batch_norm/forward`.
    pub(crate) fn group(&self, pass: Pass) -> String {
        format!("{}/{}", self.norm.name(), pass.name())
    }

    /// Passes of the same mode stand next to each other.
    pub(crate) fn passes(&self) -> &'static [Pass] {
        if self.double {
            &[Pass::DoubleBackward]
        } else if self.norm.tracks_running_stats() && self.is_plain() {
            &[Pass::Forward, Pass::Backward, Pass::Eval]
        } else {
            &[Pass::Forward, Pass::Backward]
        }
    }

    /// Never constant values: some implementations are fast on these, and gradients vanish.
    pub(crate) fn case(&self, mode: Mode) -> Result<Case> {
        let mut case = Case::random(&self.norm, mode, &self.shape, 1)?;
        if self.double {
            case = case.with_second_derivative();
        }
        if self.sync {
            case = case.with_ranks(&self.shape[..1]);
        }
        if self.residual {
            case = case.with_residual();
        }
        if let Some(dimension) = self.norm.length_dimension(self.shape.len())
            && self.lengths
        {
            let longest = self.shape[dimension] as u32;
            case = case.with_lengths(&[4, 3, 2, 1].map(|quarters| longest * quarters / 4));
        }
        Ok(case.with_dtype(self.dtype))
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
    problems.extend(features());
    for problem in &mut problems {
        problem.divide_batch(fraction);
    }
    problems
}

/// What else norms can do, mostly on the shapes from above.
fn features() -> Vec<Problem> {
    let with = |problem: Problem, activation| Problem {
        norm: problem.norm.with_activation(activation),
        ..problem
    };
    let residual = |problem| Problem {
        residual: true,
        ..problem
    };
    let per_sample = |problem: Problem| Problem {
        norm: problem.norm.with_weights(true, false),
        ..problem
    };
    let double = |problem| Problem {
        double: true,
        ..problem
    };
    let lengths = |problem| Problem {
        lengths: true,
        ..problem
    };
    let images = || batch([32, 64, 56, 56]);
    let sentences = || Problem::new(LayerNorm::new(&[768]), &[16, 256, 768]);
    vec![
        Problem::new(BatchNorm::new(64).channels_last(true), &[32, 56, 56, 64]).beside(images()),
        Problem::new(
            InstanceNorm::new(64).affine(true).channels_last(true),
            &[8, 128, 128, 64],
        )
        .beside(instance([8, 64, 128, 128])),
        Problem::new(
            GroupNorm::new(32, 128).channels_last(true),
            &[16, 32, 32, 128],
        )
        .beside(group([16, 128, 32, 32])),
        layer([50_176, 96]),
        Problem::new(
            LayerNorm::new(&[96]).channels_first(true),
            &[16, 96, 56, 56],
        )
        .beside(layer([50_176, 96])),
        Problem::new(
            BatchNorm::new(64).virtual_batch_size(Some(8)),
            &[32, 64, 56, 56],
        ),
        with(images(), Activation::Relu),
        with(residual(images()), Activation::Relu),
        with(group([16, 128, 32, 32]), Activation::Silu),
        residual(layer([4096, 768])),
        residual(rms([4096, 768])),
        per_sample(instance([8, 64, 128, 128])),
        per_sample(sentences()),
        lengths(Problem::new(BatchNorm::new(64), &[32, 64, 3136])),
        lengths(sentences()),
        Problem {
            sync: true,
            ..images()
        },
        double(images()),
        double(layer([4096, 768])),
        double(rms([4096, 768])),
    ]
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
