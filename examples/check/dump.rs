//! Writes the computed tensors of a case.

use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize_to_file};
use wgpu_norm::DType;
use wgpu_norm::check::Results;
use wgpu_norm::half::{bf16, f16};

use crate::reader::{FileCase, Result};

/// Names as in the case without `expected.`, and whether a tensor has the shape of the input (or that of the weight),
/// and whether it is of the backward pass.
const TENSORS: [(&str, bool, bool); 11] = [
    ("output", true, false),
    ("running_mean", false, false),
    ("running_var", false, false),
    ("grad_input", true, true),
    ("grad_weight", false, true),
    ("grad_bias", false, true),
    ("residual_output", true, false),
    ("grad_residual", true, true),
    ("double_grad_input", true, true),
    ("double_grad_weight", false, true),
    ("grad_grad_output", true, true),
];

/// Writes `results` to `folder`, under the name of the case's own file.
pub(crate) fn write(folder: &Path, source: &Path, file: &FileCase, got: &Results) -> Result<()> {
    let name = source.file_name().ok_or("a file without a name")?;
    let path = folder.join(name);
    let failed =
        |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    if let (Ok(a), Ok(b)) = (source.canonicalize(), path.canonicalize())
        && a == b
    {
        return Err(failed(&"that is the case itself"));
    }
    let case = &file.case;
    let (affine, channels) = (
        case.norm.affine_shape(&case.shape),
        case.norm.parameter_shape(),
    );
    let mut tensors = Vec::new();
    for (name, like_input, backward) in TENSORS {
        let Some(values) = got.get(name).filter(|_| file.has_backward || !backward) else {
            continue;
        };
        let shape = match name {
            _ if like_input => &case.shape,
            "grad_weight" | "grad_bias" | "double_grad_weight" => &affine,
            _ => &channels,
        };
        let dtype = if like_input {
            file.case.dtype
        } else {
            DType::F32
        };
        let (dtype, bytes) = stored(dtype, values);
        tensors.push((name, dtype, shape.clone(), bytes));
    }
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes)?;
        Ok((*name, view))
    });
    let views = views.collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
    let views = views.map_err(|error| failed(&error))?;
    serialize_to_file(views, None, &path).map_err(|error| failed(&error))
}

/// The values in little-endian bytes of their type; they are numbers that it has.
fn stored(dtype: DType, values: &[f32]) -> (Dtype, Vec<u8>) {
    let values = values.iter();
    match dtype {
        DType::F16 => {
            let bytes = values.flat_map(|&value| f16::from_f32(value).to_le_bytes());
            (Dtype::F16, bytes.collect())
        }
        DType::BF16 => {
            let bytes = values.flat_map(|&value| bf16::from_f32(value).to_le_bytes());
            (Dtype::BF16, bytes.collect())
        }
        _ => {
            let bytes = values.flat_map(|value| value.to_le_bytes());
            (Dtype::F32, bytes.collect())
        }
    }
}
