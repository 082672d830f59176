//! Loads the cases of tests/cases/, which `scripts/generate_cases.py` makes with PyTorch; the format is described there.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use safetensors::{Dtype, SafeTensors};
use wgpu_norm::{Activation, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm};

/// A call of a normalization, and what PyTorch gives for it.
#[derive(Debug)]
pub(crate) struct Case {
    /// Name of the file, without extension.
    pub(crate) name: String,
    pub(crate) norm: Norm,
    pub(crate) mode: Mode,
    /// Shape of the input.
    pub(crate) shape: Vec<usize>,
    pub(crate) input: Vec<f32>,
    pub(crate) weight: Option<Vec<f32>>,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) running_mean: Option<Vec<f32>>,
    pub(crate) running_var: Option<Vec<f32>>,
    /// Before the call.
    pub(crate) num_batches_tracked: u64,
    /// `None`: forward alone.
    pub(crate) grad_output: Option<Vec<f32>>,
    /// Keys `output`, `running_mean`, `running_var`, `grad_input`, `grad_weight`, `grad_bias`, as far as there are any.
    pub(crate) expected: BTreeMap<String, Vec<f64>>,
}

/// All cases, sorted by name.
///
/// # Panics
/// With the name of the file, if one cannot be read or is not as described in `scripts/generate_cases.py`.
pub(crate) fn load_all() -> Vec<Case> {
    (files("").iter())
        .map(|path| load(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .collect()
}

/// The files of a folder in tests/cases, sorted by name.
///
/// # Panics
/// If the folder cannot be read.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| {
            entry
                .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
                .path()
        })
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    paths.sort();
    paths
}

pub(crate) type Loaded<T> = Result<T, Box<dyn std::error::Error>>;

pub(crate) fn load(path: &Path) -> Loaded<Case> {
    let bytes = std::fs::read(path)?;
    let file = File::new(&bytes)?;
    let training = file.setting("training")?.unwrap_or(true);
    let shape = file.tensors.tensor("input")?.shape().to_vec();
    Ok(Case {
        name: path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        norm: file.norm(&shape)?,
        mode: if training { Mode::TRAINING } else { Mode::EVAL },
        shape,
        input: file.f32("input")?.ok_or("no input")?,
        weight: file.f32("weight")?,
        bias: file.f32("bias")?,
        running_mean: file.f32("running_mean")?,
        running_var: file.f32("running_var")?,
        num_batches_tracked: file.num_batches_tracked()?,
        grad_output: file.f32("grad_output")?,
        expected: file.expected()?,
    })
}

pub(crate) struct File<'a> {
    pub(crate) tensors: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> File<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Loaded<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        Ok(Self {
            tensors: SafeTensors::deserialize(bytes)?,
            metadata: header.metadata().clone().unwrap_or_default(),
        })
    }

    /// A value of the metadata, if it is there.
    pub(crate) fn setting<T: FromStr>(&self, key: &str) -> Loaded<Option<T>> {
        let Some(text) = self.metadata.get(key) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(format!("metadata {key} = {text:?}").into()),
        }
    }

    pub(crate) fn norm(&self, shape: &[usize]) -> Loaded<Norm> {
        let eps = self.setting("eps")?.unwrap_or(1e-5);
        let (weight, bias) = (self.has("weight"), self.has("bias"));
        let channels_last = self.setting("channels_last")?.unwrap_or(false);
        let channels_first = self.setting("channels_first")?.unwrap_or(false);
        let channels = if channels_last {
            shape.last()
        } else {
            shape.get(1)
        };
        let channels = channels.copied().unwrap_or(0);
        Ok(match self.metadata.get("op").ok_or("no op")?.as_str() {
            "batch_norm" => (BatchNorm::new(channels).eps(eps).momentum(self.momentum()?))
                .channels_last(channels_last)
                .weight(weight)
                .bias(bias)
                .track_running_stats(self.has("running_mean"))
                .virtual_batch_size(self.setting("virtual_batch_size")?)
                .into(),
            "instance_norm" => (InstanceNorm::new(channels)
                .eps(eps)
                .momentum(self.momentum()?))
            .channels_last(channels_last)
            .weight(weight)
            .bias(bias)
            .track_running_stats(self.has("running_mean"))
            .into(),
            "group_norm" => {
                let num_groups = self.setting("num_groups")?.ok_or("no num_groups")?;
                (GroupNorm::new(num_groups, channels)
                    .channels_last(channels_last)
                    .eps(eps)
                    .weight(weight)
                    .bias(bias))
                .into()
            }
            "layer_norm" => {
                let norm = LayerNorm::new(&self.normalized_shape()?).channels_first(channels_first);
                norm.eps(eps).weight(weight).bias(bias).into()
            }
            "rms_norm" => (RmsNorm::new(&self.normalized_shape()?)
                .channels_first(channels_first)
                .eps(eps)
                .weight(weight))
            .into(),
            op => return Err(format!("op = {op:?}").into()),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn momentum(&self) -> Loaded<Option<f64>> {
        if self
            .metadata
            .get("momentum")
            .is_some_and(|text| text == "none")
        {
            return Ok(None);
        }
        Ok(Some(self.setting("momentum")?.unwrap_or(0.1)))
    }

    fn normalized_shape(&self) -> Loaded<Vec<usize>> {
        let text = self
            .metadata
            .get("normalized_shape")
            .ok_or("no normalized_shape")?;
        Ok(text.split(',').map(str::parse).collect::<Result<_, _>>()?)
    }

    /// The little-endian values of a tensor, if it is there.
    pub(crate) fn values<T, const BYTES: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        from: impl Fn([u8; BYTES]) -> T,
    ) -> Loaded<Option<Vec<T>>> {
        let Ok(tensor) = self.tensors.tensor(name) else {
            return Ok(None);
        };
        if tensor.dtype() != dtype {
            return Err(format!("{name} is {:?}, not {dtype:?}", tensor.dtype()).into());
        }
        let (values, _) = tensor.data().as_chunks();
        Ok(Some(values.iter().map(|bytes| from(*bytes)).collect()))
    }

    pub(crate) fn f32(&self, name: &str) -> Loaded<Option<Vec<f32>>> {
        self.values(name, Dtype::F32, f32::from_le_bytes)
    }

    /// The activation that the metadata name.
    pub(crate) fn activation(&self) -> Loaded<Activation> {
        let Some(name) = self.metadata.get("activation") else {
            return Ok(Activation::None);
        };
        let named = |activation: &&Activation| activation.name() == name;
        match Activation::ALL.iter().find(named) {
            Some(Activation::LeakyRelu(_)) => Ok(Activation::LeakyRelu(0.01)),
            Some(activation) => Ok(*activation),
            None => Err(format!("activation = {name:?}").into()),
        }
    }

    pub(crate) fn lengths(&self) -> Loaded<Vec<usize>> {
        let lengths = self.values("lengths", Dtype::I64, i64::from_le_bytes)?;
        let lengths = lengths.ok_or("no lengths")?.into_iter();
        Ok(lengths.map(usize::try_from).collect::<Result<_, _>>()?)
    }

    pub(crate) fn num_batches_tracked(&self) -> Loaded<u64> {
        let values = self.values("num_batches_tracked", Dtype::I64, i64::from_le_bytes)?;
        let first = values.and_then(|values| values.first().copied());
        Ok(u64::try_from(first.unwrap_or(0))?)
    }

    pub(crate) fn expected(&self) -> Loaded<BTreeMap<String, Vec<f64>>> {
        let mut expected = BTreeMap::new();
        for name in self.tensors.names() {
            let Some(key) = name.strip_prefix("expected.") else {
                continue;
            };
            if let Some(values) = self.values(name, Dtype::F64, f64::from_le_bytes)? {
                expected.insert(key.to_owned(), values);
            }
        }
        Ok(expected)
    }
}
