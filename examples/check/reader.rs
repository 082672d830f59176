//! Reads a case from a safetensors file that may be broken or hostile: whatever is in it, the answer is a case,
//! the reason why this version cannot run it, or an error that says what is wrong.

mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use wgpu_norm::check::Case;
use wgpu_norm::half::{bf16, f16};
use wgpu_norm::{Activation, DType};

use settings::Settings;

/// An error is a sentence for the reader of a terminal.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// A file is held in memory as a whole.
const MAX_FILE: u64 = 4 << 30;

/// As in the crate safetensors.
const MAX_HEADER: u64 = 100_000_000;

/// Digits of a number in the header, at most: the crate safetensors adds up offsets unchecked, and
/// 10¹⁵ is far over any file.
const MAX_DIGITS: usize = 15;

/// What a file holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// A case that can be run.
    Case(Box<FileCase>),
    /// A valid case that this version of the crate cannot run, and why.
    Beyond(String),
}

/// A case with its expectations.
#[derive(Debug)]
pub(crate) struct FileCase {
    pub(crate) case: Case,
    /// Whether there is a `grad_output`; if not, that of `case` is zeros.
    pub(crate) has_backward: bool,
    pub(crate) expected: BTreeMap<&'static str, Vec<f64>>,
}

pub(crate) fn read(path: &Path) -> Result<Content> {
    // The kind first: opening a named pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(text)?;
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    let length = metadata.len();
    if length > MAX_FILE {
        return Err(format!("{length} bytes, over the {MAX_FILE} that are read"));
    }
    let mut file = File::open(path).map_err(text)?.take(length);
    let mut bytes = Vec::new();
    file.by_ref()
        .take(8)
        .read_to_end(&mut bytes)
        .map_err(text)?;
    // A bad header shows before the rest is read.
    let header = header_length(&bytes, length)?;
    file.by_ref()
        .take(header)
        .read_to_end(&mut bytes)
        .map_err(text)?;
    check_numbers(bytes.get(8..).unwrap_or_default())?;
    file.read_to_end(&mut bytes).map_err(text)?;
    parse(&bytes)
}

/// The case in the content of a file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Content> {
    let header = header_length(bytes, bytes.len() as u64)?;
    let end = usize::try_from(8 + header).map_err(text)?;
    check_numbers(bytes.get(8..end).ok_or("truncated")?)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(text)?;
    let tensors = Tensors(SafeTensors::deserialize(bytes).map_err(text)?);
    let metadata = header.metadata().clone().unwrap_or_default();
    tensors.case(&metadata)
}

/// The length of the header, from the first eight bytes of a file of `file` bytes.
fn header_length(bytes: &[u8], file: u64) -> Result<u64> {
    let first = bytes.first_chunk().ok_or("truncated: no header")?;
    let length = u64::from_le_bytes(*first);
    if length > MAX_HEADER || length > file.saturating_sub(8) {
        return Err(format!(
            "a header of {length} bytes in a file of {file}: truncated, or not safetensors"
        ));
    }
    Ok(length)
}

/// Refuses long numbers outside of strings.
fn check_numbers(header: &[u8]) -> Result<()> {
    let (mut digits, mut in_string, mut escaped) = (0, false, false);
    for byte in header {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        in_string = *byte == b'"';
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if digits > MAX_DIGITS {
            return Err(format!(
                "a size of more than {MAX_DIGITS} digits in the header"
            ));
        }
    }
    Ok(())
}

struct Tensors<'a>(SafeTensors<'a>);

impl<'a> Tensors<'a> {
    fn case(&self, metadata: &HashMap<String, String>) -> Result<Content> {
        let input = self.view("input").ok_or("no tensor input")?;
        let shape = input.shape();
        let settings = Settings::new(metadata, shape, |name| self.view(name).is_some())?;
        let (norm, mode) = (settings.norm.clone(), settings.mode);
        let affine = settings.affine_shape(shape)?;
        norm.validate_shape(shape, mode).map_err(text)?;
        let channels = norm.parameter_shape();
        let expected = self.expected(shape, &affine, &channels)?;
        let (weight, bias) = (self.f32("weight", &affine)?, self.f32("bias", &affine)?);
        let running = |name| self.f32(name, &channels);
        let (mean, var) = (running("running_mean")?, running("running_var")?);
        let batches = self.num_batches_tracked()?;
        let mut lacks = self.lacks()?;
        let lengths = self.lengths(shape)?;
        let dimension = settings.length_dimension(metadata, shape)?;
        if lengths.is_some() && dimension.is_none() {
            lacks.push("lengths along this dimension".to_owned());
        }
        let has = |name| self.view(name).is_some();
        let alone = norm.activation() == Activation::None && !has("residual") && !has("lengths");
        if has("grad_grad_input") && !(alone && settings.ranks.is_none()) {
            lacks.push("second derivatives of more than the norm alone".to_owned());
        }
        if settings.ranks.is_some() && (has("lengths") || norm.per_sample()) {
            lacks.push("shards with lengths or weights of each sample".to_owned());
        }
        if u32::try_from(batches).is_err() {
            lacks.push(format!("num_batches_tracked {batches}"));
        }
        if !lacks.is_empty() {
            return Ok(Content::Beyond(lacks.join(", ")));
        }
        let grad_output = self.data("grad_output", shape)?;
        let input = self.data("input", shape)?.unwrap_or_default();
        let dtype = match self.view("input").map(|input| input.dtype()) {
            Some(Dtype::F16) => DType::F16,
            Some(Dtype::BF16) => DType::BF16,
            _ => DType::F32,
        };
        let case = Case {
            norm,
            mode,
            shape: shape.to_vec(),
            strategy: None,
            dtype,
            weight,
            bias,
            running_mean: mean,
            running_var: var,
            num_batches_tracked: batches as u32,
            grad_output: grad_output.unwrap_or_else(|| vec![0.0; input.len()]),
            residual: self.data("residual", shape)?,
            grad_residual_output: self.data("grad_residual_output", shape)?,
            lengths,
            grad_grad_input: self.data("grad_grad_input", shape)?,
            ranks: settings.ranks,
            input,
        };
        Ok(Content::Case(Box::new(FileCase {
            case,
            has_backward: self.view("grad_output").is_some(),
            expected,
        })))
    }

    /// What a case asks for that this version of the crate has not; the tensors that say so are checked.
    fn lacks(&self) -> Result<Vec<String>> {
        let mut lacks = Vec::new();
        let input = self.view("input");
        let shape = input.as_ref().map(|input| input.shape().to_vec());
        let type_of_input = input.map(|input| input.dtype());
        for name in [
            "input",
            "residual",
            "grad_output",
            "grad_residual_output",
            "grad_grad_input",
        ] {
            let Some(tensor) = self.view(name) else {
                continue;
            };
            expect_shape(name, &tensor, shape.as_deref().unwrap_or_default())?;
            match tensor.dtype() {
                Dtype::F32 | Dtype::F16 | Dtype::BF16 => {}
                other => return Err(format!("{name} is {other:?}, not F32, F16 or BF16")),
            }
            if let Some(of_input) = type_of_input.filter(|&dtype| dtype != tensor.dtype()) {
                lacks.push(format!("{:?} {name} of {of_input:?} input", tensor.dtype()));
            }
        }
        Ok(lacks)
    }

    /// The expectations, each of a tensor that there will be.
    fn expected(
        &self,
        input: &[usize],
        affine: &[usize],
        channels: &[usize],
    ) -> Result<BTreeMap<&'static str, Vec<f64>>> {
        let mut expected = BTreeMap::new();
        for name in self.0.names() {
            let Some(key) = name.strip_prefix("expected.") else {
                continue;
            };
            let known = EXPECTATIONS.iter().find(|(known, _, _)| *known == key);
            let (key, needs, like) = *known.ok_or_else(|| format!("{name:?} is not known"))?;
            if let Some(missing) = needs.iter().find(|needed| self.view(needed).is_none()) {
                return Err(format!("{name} without a tensor {missing}"));
            }
            let shape = match like {
                Like::Input => input,
                Like::Affine => affine,
                Like::Channels => channels,
            };
            let values = self.values(name, Dtype::F64, shape, f64::from_le_bytes)?;
            expected.insert(key, values.unwrap_or_default());
        }
        Ok(expected)
    }

    /// One for each sample.
    fn lengths(&self, shape: &[usize]) -> Result<Option<Vec<u32>>> {
        let samples = shape.get(..1).unwrap_or_default();
        let lengths = self.values("lengths", Dtype::I64, samples, i64::from_le_bytes)?;
        let fit = |lengths: Vec<i64>| lengths.into_iter().map(u32::try_from).collect();
        let lengths: Option<std::result::Result<_, _>> = lengths.map(fit);
        lengths
            .transpose()
            .map_err(|_| "lengths: one is below 0 or over 32 bits".to_owned())
    }

    fn num_batches_tracked(&self) -> Result<u64> {
        let name = "num_batches_tracked";
        let Some(tensor) = self.view(name) else {
            return Ok(0);
        };
        let values = self.values(name, Dtype::I64, tensor.shape(), i64::from_le_bytes)?;
        match values.as_deref() {
            Some([count]) => u64::try_from(*count).map_err(|_| format!("{name} is {count}")),
            _ => Err(format!(
                "{name}: one number expected, got {:?}",
                tensor.shape()
            )),
        }
    }

    /// Values of the type of the input, in f32.
    fn data(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        let of_f16 = |bytes| f16::from_le_bytes(bytes).to_f32();
        let of_bf16 = |bytes| bf16::from_le_bytes(bytes).to_f32();
        match self.view(name).map(|tensor| tensor.dtype()) {
            Some(Dtype::F16) => self.values(name, Dtype::F16, shape, of_f16),
            Some(Dtype::BF16) => self.values(name, Dtype::BF16, shape, of_bf16),
            _ => self.f32(name, shape),
        }
    }

    fn f32(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        self.values(name, Dtype::F32, shape, f32::from_le_bytes)
    }

    /// The little-endian values of a tensor, if it is there.
    fn values<T, const BYTES: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        from: impl Fn([u8; BYTES]) -> T,
    ) -> Result<Option<Vec<T>>> {
        let Some(tensor) = self.view(name) else {
            return Ok(None);
        };
        if tensor.dtype() != dtype {
            return Err(format!("{name} is {:?}, not {dtype:?}", tensor.dtype()));
        }
        expect_shape(name, &tensor, shape)?;
        let (values, _) = tensor.data().as_chunks();
        Ok(Some(values.iter().map(|bytes| from(*bytes)).collect()))
    }

    fn view(&self, name: &str) -> Option<TensorView<'a>> {
        self.0.tensor(name).ok()
    }
}

#[derive(Clone, Copy)]
enum Like {
    Input,
    Affine,
    Channels,
}

/// Name of an expectation, the tensors without which it makes no sense, and whose shape it has.
const EXPECTATIONS: [(&str, &[&str], Like); 11] = [
    ("output", &[], Like::Input),
    ("running_mean", &["running_mean"], Like::Channels),
    ("running_var", &["running_var"], Like::Channels),
    ("grad_input", &["grad_output"], Like::Input),
    ("grad_weight", &["grad_output", "weight"], Like::Affine),
    ("grad_bias", &["grad_output", "bias"], Like::Affine),
    ("grad_residual", &["grad_output", "residual"], Like::Input),
    ("residual_output", &["residual"], Like::Input),
    ("double_grad_input", &SECOND, Like::Input),
    (
        "double_grad_weight",
        &["weight", SECOND[0], SECOND[1]],
        Like::Affine,
    ),
    ("grad_grad_output", &SECOND, Like::Input),
];

/// Without these there is no second derivative.
const SECOND: [&str; 2] = ["grad_output", "grad_grad_input"];

fn expect_shape(name: &str, tensor: &TensorView<'_>, shape: &[usize]) -> Result<()> {
    if tensor.shape() == shape {
        return Ok(());
    }
    let got = tensor.shape();
    Err(format!("{name} has the shape {got:?}, not {shape:?}"))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
