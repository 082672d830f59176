//! What a case should give, in f64, and the sizes that rounding errors are relative to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::case::Case;
use super::double::{self, Scales};
use super::report::Bound;
use crate::activation::Activation;
use crate::dtype::DType;
use crate::error::Result;
use crate::geometry::Residual;
use crate::ops::Norm;
use crate::reference::{self, Block, Parameters};

/// 32 rounding errors of 2⁻²⁴: over the bound on the error of what an activation is applied to.
const NEAR: f64 = 32.0 * F32_ROUNDOFF;

/// 2⁻²⁴.
const F32_ROUNDOFF: f64 = 1.0 / 16_777_216.0;

/// The results in f64.
pub(super) struct Expected {
    pub(super) tensors: BTreeMap<&'static str, Vec<f64>>,
    /// About ‖rstd · weight · `grad_output`‖: what the input gradient is a difference of.
    grad_input: f64,
    /// ‖`grad_output`‖: the size of a sum of its terms whose signs are random.
    grad_output: f64,
    /// The same for its terms times x̂.
    grad_weight: f64,
    /// What the activation is applied to, times the slope that it has at most; 0 without one.
    before_activation: f64,
    /// ‖running mean before‖: it may cancel with the batch's.
    running_mean: f64,
    /// An eighth of the size of what the means are means of: they may cancel out, and their high parts alone are compared.
    mean: f64,
    /// Input and residual have one gradient.
    has_sum: bool,
    /// How data are stored.
    dtype: DType,
    /// The size of the sum of input and residual beside that of x̂, where it is stored between launches; else 0.
    stored_sum: f64,
    /// What storing it changes x̂ by.
    stored_x_hat: f64,
    /// ... and the gradient before the activation, relative to it.
    stored_gradient: f64,
    /// ‖output‖ where x̂ is 1 everywhere.
    unit_output: f64,
    /// Of the second derivative.
    double: Scales,
}

/// The inputs of a case in f64.
struct Wide<'a> {
    case: &'a Case,
    /// With a residual that is added before: f32 holds the sum, which is normalized as it is.
    input: Vec<f64>,
    grad_output: Vec<f64>,
    /// Added after weight and bias.
    residual: Option<Vec<f64>>,
    /// Gradient of the sum.
    grad_sum: Option<Vec<f64>>,
    grad_grad_input: Option<Vec<f64>>,
    /// Where there is no padding; all data are 0 where there is.
    valid: Option<Vec<bool>>,
    parameters: Parameters,
}

impl<'a> Wide<'a> {
    fn new(case: &'a Case) -> Result<Self> {
        let optional = |values: &Option<Vec<f32>>| values.as_deref().map(wide);
        let valid = case.valid()?;
        let masked = |mut values: Vec<f64>| {
            for (value, valid) in values.iter_mut().zip(valid.iter().flatten()) {
                *value = if *valid { *value } else { 0.0 };
            }
            values
        };
        let before = case.norm.residual_place() == Residual::Before;
        let input = match &case.residual {
            Some(residual) if before => {
                let sums = case.input.iter().zip(residual).map(|(x, r)| x + r);
                sums.map(f64::from).collect()
            }
            _ => wide(&case.input),
        };
        Ok(Self {
            case,
            input: masked(input),
            grad_output: masked(wide(&case.grad_output)),
            residual: optional(&case.residual).filter(|_| !before).map(masked),
            grad_sum: optional(&case.grad_residual_output).map(masked),
            grad_grad_input: optional(&case.grad_grad_input).map(masked),
            parameters: Parameters {
                weight: optional(&case.weight),
                bias: optional(&case.bias),
                running_mean: optional(&case.running_mean),
                running_var: optional(&case.running_var),
                num_batches_tracked: case.num_batches_tracked.into(),
            },
            valid,
        })
    }

    fn tensors<'b>(&'b self, parameters: &'b Parameters) -> reference::Tensors<'b> {
        reference::Tensors {
            residual: self.residual.as_deref(),
            valid: self.valid.as_deref(),
            ..reference::Tensors::new(&self.case.shape, &self.input, parameters)
        }
    }

    fn forward(&self, norm: &Norm, parameters: &Parameters) -> Result<reference::Forward> {
        Block::new(norm).forward(self.case.mode, &self.tensors(parameters))
    }

    fn double_backward(&self) -> Result<Option<reference::DoubleGradients>> {
        let Some(u) = &self.grad_grad_input else {
            return Ok(None);
        };
        let block = Block::new(&self.case.norm);
        let (tensors, grad_output) = (self.tensors(&self.parameters), &self.grad_output);
        block
            .double_backward(self.case.mode, &tensors, grad_output, u)
            .map(Some)
    }

    /// The gradients, with that of the sum of input and residual added.
    fn backward(&self) -> Result<reference::Gradients> {
        let tensors = self.tensors(&self.parameters);
        let block = Block::new(&self.case.norm);
        let mut gradients = block.backward(self.case.mode, &tensors, &self.grad_output, None)?;
        if let Some(more) = &self.grad_sum {
            for (sum, more) in gradients.grad_input.iter_mut().zip(more) {
                *sum += more;
            }
        }
        if self.case.residual.is_some() && self.residual.is_none() {
            gradients.grad_residual = Some(gradients.grad_input.clone());
        }
        Ok(gradients)
    }

    /// What x̂ is multiplied with.
    fn weight(&self) -> Option<Vec<f64>> {
        let center = if self.case.norm.zero_centered_weight() {
            1.0
        } else {
            0.0
        };
        let weight = self.parameters.weight.as_ref()?;
        Some(weight.iter().map(|weight| center + weight).collect())
    }

    /// Where the sum of input and residual is read again, x̂ comes from what was stored: about ‖sum · rstd‖ / ‖x̂‖.
    fn stored_sum(&self, rstd: &[f64]) -> f64 {
        if self.case.residual.is_none() || self.residual.is_some() {
            return 0.0;
        }
        mean_square(&self.input).sqrt() * mean_square(rstd).sqrt()
    }

    /// What the activation is applied to.
    fn before_activation(&self) -> Result<Vec<f64>> {
        let alone = self.case.norm.clone().with_activation(Activation::None);
        Ok(self.forward(&alone, &self.parameters)?.output)
    }
}

impl Expected {
    pub(super) fn new(case: &Case) -> Result<Self> {
        let wide = Wide::new(case)?;
        let forward = wide.forward(&case.norm, &wide.parameters)?;
        let backward = wide.backward()?;
        let rstd = rstd(case, &forward.var);
        // Groups without elements, of rows that are padding, have no part in the size of anything.
        let pairs = forward.mean.iter().zip(&forward.var).zip(&rstd);
        let sizes = pairs.map(|((mean, var), rstd)| match *mean == 0.0 && *var == 0.0 {
            true if wide.valid.is_some() => 0.0,
            _ => *rstd,
        });
        let sizes: Vec<f64> = sizes.collect();
        let stored_sum = wide.stored_sum(&sizes);
        let most = case.norm.activation().lipschitz();
        let weight = wide.weight().map_or(1.0, |weight| mean_square(&weight));
        let u = wide.grad_grad_input.as_deref();
        let scales = u.map(|u| Scales::new(case, &sizes, weight.sqrt(), &wide.grad_output, u));
        let double = wide.double_backward()?.map(double::named);
        let squares = mean_square(&sizes) * weight * mean_square(&wide.grad_output);
        let before_activation = match case.norm.activation() {
            Activation::None => 0.0,
            _ => most * length(&wide.before_activation()?),
        };
        let groups = forward.mean.len();
        let batches = forward.running_mean.as_ref();
        let batches = batches.map(|_| vec![forward.num_batches_tracked as f64]);
        let has_sum = case.residual.is_some() && wide.residual.is_none();
        // Nothing is computed for an input without elements.
        let statistics = |values| (!case.input.is_empty()).then_some(values);
        let tensors = [
            ("mean", statistics(forward.mean)),
            ("rstd", statistics(rstd)),
            ("var", statistics(forward.var)),
            ("output", Some(forward.output)),
            ("residual_output", has_sum.then(|| wide.input.clone())),
            ("running_mean", forward.running_mean),
            ("running_var", forward.running_var),
            ("num_batches_tracked", batches),
            ("grad_input", Some(backward.grad_input)),
            ("grad_residual", backward.grad_residual),
            ("grad_weight", backward.grad_weight),
            ("grad_bias", backward.grad_bias),
        ];
        Ok(Self {
            tensors: tensors
                .into_iter()
                .chain(double.into_iter().flatten())
                .filter_map(|(name, values)| Some((name, values?)))
                .collect(),
            grad_input: most * (squares * case.input.len() as f64).sqrt(),
            grad_output: most * length(&wide.grad_output),
            grad_weight: most * grad_weight_size(&wide)?,
            before_activation,
            mean: mean_square(&wide.input).sqrt() * (groups as f64).sqrt() / 8.0,
            running_mean: wide.parameters.running_mean.as_deref().map_or(0.0, length),
            has_sum,
            dtype: case.dtype,
            stored_sum,
            stored_x_hat: case.dtype.unit_roundoff() * stored_sum,
            stored_gradient: if wide.residual.is_some() {
                case.dtype.unit_roundoff()
            } else {
                0.0
            },
            unit_output: most * weight.sqrt() * (case.input.len() as f64).sqrt(),
            double: scales.unwrap_or_default(),
        })
    }

    /// For expectations from the exact sum of input and residual: that of [`Expected::new`] is rounded to f32, as the device's.
    pub(super) fn of_exact_sum(mut self) -> Self {
        self.stored_x_hat += self.stored_sum * F32_ROUNDOFF;
        self
    }

    /// How far a result may be off.
    pub(super) fn bound(&self, tensor: &str) -> Bound {
        let scale = self.scale(tensor);
        let dtype = match tensor {
            "output" | "grad_input" | "residual_output" | "grad_residual" | "double_grad_input"
            | "grad_grad_output" => self.dtype,
            _ => DType::F32,
        };
        let slack = match tensor {
            "output" => self.stored_x_hat * self.unit_output,
            // Through x̂ itself and through the slope of the activation; twice through x̂ where it is multiplied with its mean product.
            "grad_input" | "grad_weight" | "grad_bias" | "grad_residual" => {
                let of_x_hat = self.stored_x_hat + self.stored_x_hat.powi(2);
                (4.0 * of_x_hat + self.stored_gradient) * scale
            }
            _ => 0.0,
        };
        Bound {
            scale,
            dtype,
            slack,
        }
    }

    /// What rounding errors of a tensor are relative to, where it is small beside what it is made from.
    fn scale(&self, tensor: &str) -> f64 {
        match tensor {
            "output" => self.before_activation,
            "grad_input" => self.grad_input,
            "grad_residual" if self.has_sum => self.grad_input,
            "grad_weight" => self.grad_weight,
            "mean" => self.mean,
            "running_mean" => self.running_mean,
            "grad_bias" | "grad_residual" => self.grad_output,
            "double_grad_input" => self.double.grad_input,
            "double_grad_weight" => self.double.grad_weight,
            "grad_grad_output" => self.double.grad_grad_output,
            _ => 0.0,
        }
    }

    /// The case with a gradient of 0 where the slope of the activation is not known.
    pub(super) fn away_from_jumps(case: &Case) -> Result<Cow<'_, Case>> {
        if !matches!(
            case.norm.activation(),
            Activation::Relu | Activation::LeakyRelu(_)
        ) {
            return Ok(Cow::Borrowed(case));
        }
        let wide = Wide::new(case)?;
        let largest = |values: &[f64]| values.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let weight = wide.weight().map_or(1.0, |weight| largest(&weight));
        let bias = wide.parameters.bias.as_deref().map_or(0.0, largest);
        let forward = wide.forward(&case.norm, &wide.parameters)?;
        // Of a single element, not of all together.
        let stored = 8.0 * wide.stored_sum(&rstd(case, &forward.var));
        let near = NEAR + stored * case.dtype.unit_roundoff();
        let mut case = case.clone();
        for (k, x) in wide.before_activation()?.into_iter().enumerate() {
            let residual = wide.residual.as_ref().map_or(0.0, |r| r[k].abs());
            // Near 0 weight * x̂ is as large as what it cancels with.
            if x.abs() <= near * (weight + 2.0 * (bias + residual)) {
                case.grad_output[k] = 0.0;
            }
        }
        Ok(Cow::Owned(case))
    }
}

/// 1 / sqrt(var + eps), or 0.
fn rstd(case: &Case, var: &[f64]) -> Vec<f64> {
    let eps = case.norm.eps();
    let of = |var: &f64| match var + eps {
        0.0 => 0.0,
        sum => sum.sqrt().recip(),
    };
    var.iter().map(of).collect()
}

/// ‖`grad_output` · x̂‖.
fn grad_weight_size(wide: &Wide<'_>) -> Result<f64> {
    let case = wide.case;
    if case.norm.uses_batch_statistics(case.mode) {
        // The mean square of x̂ is 1.
        return Ok(length(&wide.grad_output));
    }
    let parameters = &wide.parameters;
    let one = if case.norm.zero_centered_weight() {
        0.0
    } else {
        1.0
    };
    let plain = Parameters {
        weight: parameters.weight.as_ref().map(|w| vec![one; w.len()]),
        bias: parameters.bias.as_ref().map(|b| vec![0.0; b.len()]),
        ..parameters.clone()
    };
    let alone = case.norm.clone().with_activation(Activation::None);
    let x_hat = reference::forward(&alone, case.mode, &case.shape, &wide.input, &plain)?.output;
    let terms = x_hat.iter().zip(&wide.grad_output).map(|(x, g)| x * g);
    Ok(length(&terms.collect::<Vec<f64>>()))
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

pub(super) fn length(values: &[f64]) -> f64 {
    (mean_square(values) * values.len() as f64).sqrt()
}

pub(super) fn mean_square(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|value| value * value).sum();
    if values.is_empty() {
        0.0
    } else {
        sum / values.len() as f64
    }
}
