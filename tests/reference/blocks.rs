//! Norms with what surrounds them: the cases of tests/cases/surrounded and tests/cases/reference.

use std::collections::BTreeMap;

use safetensors::Dtype;
use wgpu_norm::reference::{Block, Parameters, Tensors, valid_from_lengths};
use wgpu_norm::{Mode, Norm};

use crate::cases::{File, Loaded, files};
use crate::{TOLERANCE, relative_error};

/// As many as `scripts/generate_cases.py` makes.
const CASES: [(&str, usize); 2] = [("surrounded", 41), ("reference", 20)];

#[test]
fn agree_with_pytorch() {
    for (folder, count) in CASES {
        let mut worst = (0.0, String::new());
        let files = files(folder);
        assert_eq!(files.len(), count, "{folder}");
        for path in &files {
            let bytes = std::fs::read(path).unwrap();
            let file = File::new(&bytes).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy();
            let got = results(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
            let want = file.expected().unwrap();
            let keys =
                |results: &BTreeMap<String, Vec<f64>>| results.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&got), keys(&want), "{name}");
            for (key, want) in &want {
                let error = relative_error(&got[key], want);
                assert!(error <= TOLERANCE, "{name} {key}: {error:e}");
                if error > worst.0 {
                    worst = (error, format!("{name} {key}"));
                }
            }
        }
        println!(
            "{folder}: {count} cases, largest difference {:e} ({})",
            worst.0, worst.1
        );
    }
}

/// What the reference makes of a case, by the names of the expectations.
fn results(file: &File<'_>) -> Loaded<BTreeMap<String, Vec<f64>>> {
    let shape = file.tensors.tensor("input")?.shape().to_vec();
    let block = block(file, &shape)?;
    let mode = match file.setting("training")? {
        Some(false) => Mode::EVAL,
        _ => Mode::TRAINING,
    };
    let tensor = |name: &str| wide(file, name);
    let parameters = Parameters {
        weight: tensor("weight")?,
        bias: tensor("bias")?,
        running_mean: tensor("running_mean")?,
        running_var: tensor("running_var")?,
        num_batches_tracked: file.num_batches_tracked()?,
    };
    let (input, residual) = (tensor("input")?.ok_or("no input")?, tensor("residual")?);
    let valid = match file.setting("length_axis")? {
        Some(axis) => Some(valid_from_lengths(&shape, axis, &file.lengths()?)?),
        None => None,
    };
    let tensors = Tensors {
        residual: residual.as_deref(),
        valid: valid.as_deref(),
        ..Tensors::new(&shape, &input, &parameters)
    };
    let forward = block.forward(mode, &tensors)?;
    let mut results = vec![
        ("output", Some(forward.output)),
        ("residual_output", forward.residual_output),
        ("running_mean", forward.running_mean),
        ("running_var", forward.running_var),
    ];
    if let Some(grad_output) = tensor("grad_output")? {
        let more = tensor("grad_residual_output")?;
        let gradients = block.backward(mode, &tensors, &grad_output, more.as_deref())?;
        results.extend([
            ("grad_input", Some(gradients.grad_input)),
            ("grad_residual", gradients.grad_residual),
            ("grad_weight", gradients.grad_weight),
            ("grad_bias", gradients.grad_bias),
        ]);
        if let Some(u) = tensor("grad_grad_input")? {
            let double = block.double_backward(mode, &tensors, &grad_output, &u)?;
            results.extend([
                ("double_grad_input", Some(double.grad_input)),
                ("double_grad_weight", double.grad_weight),
                ("grad_grad_output", Some(double.grad_grad_output)),
            ]);
        }
    }
    Ok((results.into_iter())
        .filter_map(|(key, values)| Some((key.to_owned(), values?)))
        .collect())
}

fn block(file: &File<'_>, shape: &[usize]) -> Loaded<Block> {
    let is = |key| -> Loaded<bool> { Ok(file.setting(key)?.unwrap_or(false)) };
    let norm: Norm = file.norm(shape)?;
    let norm = norm.with_activation(file.activation()?);
    Ok(Block::new(&norm.with_weights(
        is("per_sample")?,
        is("zero_centered_weight")?,
    )))
}

/// A tensor of any of the three types, in f64.
fn wide(file: &File<'_>, name: &str) -> Loaded<Option<Vec<f64>>> {
    let Ok(tensor) = file.tensors.tensor(name) else {
        return Ok(None);
    };
    let dtype = tensor.dtype();
    match dtype {
        Dtype::F16 => file.values(name, dtype, |bytes| half(u16::from_le_bytes(bytes))),
        Dtype::BF16 => file.values(name, dtype, |bytes| {
            f64::from(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
        }),
        _ => file.values(name, Dtype::F32, |bytes| {
            f64::from(f32::from_le_bytes(bytes))
        }),
    }
}

/// IEEE 754's binary16: sign, 5 bits of exponent, 10 bits of fraction. Finite numbers alone.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}
