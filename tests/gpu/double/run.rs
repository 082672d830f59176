//! One second derivative, on the device and in f64.

use std::collections::BTreeMap;

use wgpu_norm::check::{Case, Row};
use wgpu_norm::kernel::Slot;
use wgpu_norm::reference::{Block, Parameters, Tensors};
use wgpu_norm::{
    Context, DType, DoubleBackwardTensors, DoubleWanted, Error, ForwardTensors, Mode, Norm, Plan,
    Running, Tensor,
};

use crate::common::{TOLERANCE, encoder};

pub(super) type Results = BTreeMap<&'static str, Vec<f32>>;

/// What `grad_input` and `grad_grad_output` lie over.
pub(super) const OVER: [[Option<Slot>; 2]; 4] = [
    [Some(Slot::Input), Some(Slot::GradOutput)],
    [Some(Slot::GradOutput), Some(Slot::GradGradInput)],
    [Some(Slot::GradGradInput), Some(Slot::Input)],
    [None, Some(Slot::GradOutput)],
];

/// A case, and the gradient of its `grad_input`.
#[derive(Debug, Clone)]
pub(super) struct Double {
    pub(super) case: Case,
    pub(super) u: Vec<f32>,
}

/// In f64, with what errors of each are relative to.
pub(super) type Expected = BTreeMap<&'static str, (Vec<f64>, f64)>;

impl Double {
    pub(super) const ALL: DoubleWanted = DoubleWanted {
        input: true,
        weight: true,
        grad_output: true,
    };

    pub(super) fn random(norm: &Norm, mode: Mode, shape: &[usize], seed: u64) -> Self {
        let case = |seed| Case::random(norm, mode, shape, seed).unwrap();
        Self {
            case: case(seed),
            u: case(seed + 1000).grad_output,
        }
    }

    pub(super) fn with_dtype(self, dtype: DType) -> Self {
        let case = Case {
            grad_output: self.u,
            ..self.case.clone()
        };
        Self {
            u: case.with_dtype(dtype).grad_output,
            case: self.case.with_dtype(dtype),
        }
    }

    pub(super) fn results(&self, context: &Context, wanted: DoubleWanted) -> Results {
        self.try_results(context, wanted, None).unwrap()
    }

    pub(super) fn results_over(&self, context: &Context, over: [Option<Slot>; 2]) -> Results {
        self.try_results(context, Self::ALL, Some(over)).unwrap()
    }

    /// The gradients wanted, into tensors and by scratch memory that hold NaN.
    pub(super) fn try_results(
        &self,
        context: &Context,
        wanted: DoubleWanted,
        over: Option<[Option<Slot>; 2]>,
    ) -> Result<Results, Error> {
        let Case {
            norm,
            mode,
            shape,
            dtype,
            ..
        } = &self.case;
        let plan = Plan::of_dtype(context, *dtype, norm.clone(), shape, *mode)?;
        let data = |values: &[f32]| Tensor::from_f32(context, *dtype, values, shape);
        let poisoned = || data(&vec![f32::NAN; self.u.len()]);
        let input = data(&self.case.input)?;
        let (grad_output, u) = (data(&self.case.grad_output)?, data(&self.u)?);
        let affine = norm.affine_shape(shape);
        let weight = parameter(context, &self.case.weight, &affine)?;
        let statistics = self.statistics(context, &plan, &input, weight.as_ref())?;
        let place = |over: Option<Slot>| match over {
            Some(Slot::Input) => Ok(input.clone()),
            Some(Slot::GradOutput) => Ok(grad_output.clone()),
            Some(Slot::GradGradInput) => Ok(u.clone()),
            _ => poisoned(),
        };
        let [over_input, over_output] = over.unwrap_or_default();
        let grad_input = wanted.input.then(|| place(over_input)).transpose()?;
        let grad_grad_output = wanted.grad_output.then(|| place(over_output)).transpose()?;
        let grad_weight = weight.as_ref().filter(|_| wanted.weight);
        let grad_weight = grad_weight.map(|_| Tensor::full(context, &affine, f32::NAN));
        let grad_weight = grad_weight.transpose()?;
        let tensors = DoubleBackwardTensors {
            weight: weight.as_ref(),
            grad_input: grad_input.as_ref(),
            grad_weight: grad_weight.as_ref(),
            grad_grad_output: grad_grad_output.as_ref(),
            ..DoubleBackwardTensors::new(&input, &statistics, &grad_output, &u)
        };
        // Allocates scratch memory, and is not submitted.
        plan.double_backward(&mut encoder(context), &tensors)?;
        for scratch in plan.scratch() {
            let poison = vec![f32::NAN; scratch.size() as usize / 4];
            let bytes = bytemuck::cast_slice(&poison);
            context.queue().write_buffer(&scratch, 0, bytes);
        }
        let mut encoder = encoder(context);
        plan.double_backward(&mut encoder, &tensors)?;
        context.queue().submit([encoder.finish()]);
        let mut results = Results::new();
        for (name, tensor) in [
            ("double_grad_input", &grad_input),
            ("double_grad_weight", &grad_weight),
            ("grad_grad_output", &grad_grad_output),
        ] {
            if let Some(tensor) = tensor {
                results.insert(name, tensor.to_vec()?);
            }
        }
        Ok(results)
    }

    /// What the forward pass leaves.
    fn statistics(
        &self,
        context: &Context,
        plan: &Plan,
        input: &Tensor,
        weight: Option<&Tensor>,
    ) -> Result<Tensor, Error> {
        let (norm, shape) = (&self.case.norm, &self.case.shape);
        let bias = parameter(context, &self.case.bias, &norm.affine_shape(shape))?;
        let running = |values| parameter(context, values, &norm.parameter_shape());
        let mean = running(&self.case.running_mean)?;
        let var = running(&self.case.running_var)?;
        let num_batches_tracked = &Tensor::counter(context)?;
        let running = match (&mean, &var) {
            (Some(mean), Some(var)) => Some(Running {
                mean,
                var,
                num_batches_tracked,
            }),
            _ => None,
        };
        let statistics = Tensor::uninit(context, &plan.statistics_shape())?;
        let output = Tensor::uninit_of(context, self.case.dtype, shape)?;
        let mut encoder = encoder(context);
        let forward = ForwardTensors {
            weight,
            bias: bias.as_ref(),
            statistics: Some(&statistics),
            running,
            ..ForwardTensors::new(input, &output)
        };
        plan.forward(&mut encoder, &forward)?;
        context.queue().submit([encoder.finish()]);
        Ok(statistics)
    }

    /// Compares all gradients with the reference's; the worst error.
    pub(super) fn check(&self, device: &str, context: &Context) -> f64 {
        self.compare(device, &self.results(context, Self::ALL), &self.expected())
    }

    pub(super) fn compare(&self, device: &str, got: &Results, want: &Expected) -> f64 {
        let mut worst: f64 = 0.0;
        let Case {
            norm,
            mode,
            shape,
            dtype,
            ..
        } = &self.case;
        assert_eq!(got.len(), want.len(), "{norm:?}");
        for (name, (values, scale)) in want {
            let row = Row::new(String::new(), name, &got[name], values, *scale);
            // Half a unit in the last place, where results are rounded.
            let stored = match dtype {
                _ if *name == "double_grad_weight" => 0.0,
                DType::F16 => 0.5f64.powi(11),
                DType::BF16 => 0.5f64.powi(8),
                _ => 0.0,
            };
            assert!(
                row.error <= TOLERANCE + stored,
                "{device}: {norm:?} {shape:?} {mode:?} {dtype:?}: {name}: {:e}",
                row.error
            );
            worst = worst.max(row.error);
        }
        worst
    }

    pub(super) fn expected(&self) -> Expected {
        let case = &self.case;
        let wide = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let optional = |values: &Option<Vec<f32>>| values.as_deref().map(wide);
        let parameters = Parameters {
            weight: optional(&case.weight),
            bias: optional(&case.bias),
            running_mean: optional(&case.running_mean),
            running_var: optional(&case.running_var),
            num_batches_tracked: 0,
        };
        let (input, u) = (wide(&case.input), wide(&self.u));
        let grad_output = wide(&case.grad_output);
        let tensors = Tensors::new(&case.shape, &input, &parameters);
        let block = Block::new(&case.norm);
        let want = block.double_backward(case.mode, &tensors, &grad_output, &u);
        let want = want.unwrap();
        let var = block.forward(case.mode, &tensors).unwrap().var;
        let rstd = var.iter().map(|var| match var + case.norm.eps() {
            0.0 => 0.0,
            sum => sum.sqrt().recip(),
        });
        let rstd: Vec<f64> = rstd.collect();
        let one = f64::from(u8::from(case.norm.zero_centered_weight()));
        let weight: Vec<f64> = match &parameters.weight {
            Some(weight) => weight.iter().map(|w| one + w).collect(),
            None => vec![1.0],
        };
        let squares: Vec<f64> = rstd.iter().map(|x| x * x).collect();
        let products: Vec<f64> = grad_output.iter().zip(&u).map(|(g, u)| g * u).collect();
        // What the result is a difference of.
        let of_grad_output = size(&rstd) * size(&weight) * length(&u);
        // The size of a sum of terms whose signs are random.
        let of_weight = size(&rstd) * length(&products);
        // Averages of such products over a group, times one of the factors; with running statistics 0.
        let elements = (input.len() / rstd.len().max(1)) as f64;
        let of_input = match case.norm.uses_batch_statistics(case.mode) {
            true => {
                size(&squares) * size(&weight) * size(&grad_output) * length(&u) / elements.sqrt()
            }
            false => 0.0,
        };
        let tensors = [
            ("double_grad_input", Some(want.grad_input), of_input),
            ("double_grad_weight", want.grad_weight, of_weight),
            (
                "grad_grad_output",
                Some(want.grad_grad_output),
                of_grad_output,
            ),
        ];
        let present = tensors.into_iter();
        present
            .filter_map(|(name, values, scale)| Some((name, (values?, scale))))
            .collect()
    }
}

fn parameter(
    context: &Context,
    values: &Option<Vec<f32>>,
    shape: &[usize],
) -> Result<Option<Tensor>, Error> {
    let values = values.as_ref();
    values
        .map(|values| Tensor::from_slice(context, values, shape))
        .transpose()
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The root of the mean square.
fn size(values: &[f64]) -> f64 {
    length(values) / (values.len().max(1) as f64).sqrt()
}
