//! The metadata of a case: the norm and its mode.

use std::collections::HashMap;
use std::str::FromStr;

use wgpu_norm::{Activation, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm};

use super::Result;

/// Elements of a parameter, at most: as many as the crate's tensors have.
const MAX_ELEMENTS: usize = 1 << 31;

pub(super) struct Settings {
    pub(super) norm: Norm,
    pub(super) mode: Mode,
    /// Samples of each rank of a synchronized batch norm.
    pub(super) ranks: Option<Vec<usize>>,
}

impl Settings {
    /// `has` tells whether the file has a tensor.
    pub(super) fn new(
        metadata: &HashMap<String, String>,
        shape: &[usize],
        has: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let metadata = Metadata(metadata);
        let training = metadata.or("training", true)?;
        let per_channel = !matches!(metadata.required("op")?, "layer_norm" | "rms_norm");
        let channels = if metadata.or("channels_last", false)? {
            shape.last()
        } else {
            shape.get(1)
        };
        if per_channel && channels.is_none() {
            return Err(format!("input has the shape {shape:?}, and no channels"));
        }
        let settings = Self {
            norm: metadata
                .norm(channels.copied().unwrap_or(0), &has)?
                .with_activation(metadata.activation()?)
                .with_weights(
                    metadata.or("per_sample", false)?,
                    metadata.or("zero_centered_weight", false)?,
                ),
            mode: if training { Mode::TRAINING } else { Mode::EVAL },
            ranks: metadata.list("ranks")?,
        };
        settings.check_tensors(has)?;
        settings.check_ranks(shape)?;
        Ok(settings)
    }

    /// The dimension that lengths are along, if it is the one that the norm takes them along.
    pub(super) fn length_dimension(
        &self,
        metadata: &HashMap<String, String>,
        shape: &[usize],
    ) -> Result<Option<usize>> {
        let own = self.norm.length_dimension(shape.len());
        if !metadata.contains_key("length_axis") {
            return Ok(own);
        }
        let axis: usize = Metadata(metadata).parsed("length_axis")?;
        Ok(own.filter(|own| *own == axis))
    }

    /// Refuses tensors that the norm has no use for, and half of the running statistics.
    fn check_tensors(&self, has: impl Fn(&str) -> bool) -> Result<()> {
        let name = self.norm.name();
        let running = matches!(self.norm, Norm::Batch(_) | Norm::Instance(_));
        for tensor in ["running_mean", "running_var"] {
            if has(tensor) && !running {
                return Err(format!("{tensor}: {name} keeps none"));
            }
            if !has(tensor) && self.norm.tracks_running_stats() {
                return Err(format!("no tensor {tensor}, but the other one"));
            }
        }
        if has("bias") && !self.norm.has_bias() {
            return Err(format!("bias: {name} has none"));
        }
        Ok(())
    }

    /// Refuses shards of what is no batch that needs them, and other ones than the batch has.
    fn check_ranks(&self, shape: &[usize]) -> Result<()> {
        let Some(ranks) = &self.ranks else {
            return Ok(());
        };
        let of_batch = match self.norm {
            Norm::Batch(norm) => norm.virtual_batch_size.is_none(),
            _ => false,
        };
        if !of_batch || !self.norm.uses_batch_statistics(self.mode) {
            return Err("ranks: only the statistics of a whole batch are synchronized".to_owned());
        }
        let samples = ranks.iter().copied().reduce(usize::saturating_add);
        if samples == shape.first().copied() {
            return Ok(());
        }
        Err(format!("ranks {ranks:?} of an input of shape {shape:?}"))
    }

    /// The shape of weight and bias, whose elements can be counted.
    pub(super) fn affine_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let shape = self.norm.affine_shape(input);
        let sizes = shape.iter().copied();
        match sizes.reduce(usize::saturating_mul) {
            Some(count) if count <= MAX_ELEMENTS => Ok(shape),
            _ => Err(format!("parameters of shape {shape:?}: too many elements")),
        }
    }
}

struct Metadata<'a>(&'a HashMap<String, String>);

impl Metadata<'_> {
    fn required(&self, key: &str) -> Result<&str> {
        let value = self
            .0
            .get(key)
            .ok_or_else(|| format!("no metadata {key}"))?;
        Ok(value)
    }

    fn parsed<T: FromStr>(&self, key: &str) -> Result<T> {
        let value = self.required(key)?;
        value.parse().map_err(|_| bad(key, value))
    }

    fn or<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        if self.0.contains_key(key) {
            self.parsed(key)
        } else {
            Ok(default)
        }
    }

    fn activation(&self) -> Result<Activation> {
        let Some(value) = self.0.get("activation") else {
            return Ok(Activation::None);
        };
        let mut known = Activation::ALL.into_iter();
        let found = known.find(|known| known.name() == value);
        found.ok_or_else(|| bad("activation", value))
    }

    fn momentum(&self) -> Result<Option<f64>> {
        match self.0.get("momentum").map(String::as_str) {
            Some("none") => Ok(None),
            _ => self.or("momentum", 0.1).map(Some),
        }
    }

    /// Numbers with commas between them.
    fn list(&self, key: &str) -> Result<Option<Vec<usize>>> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        let sizes = value.split(',').map(|size| size.trim().parse());
        let sizes = sizes.collect::<std::result::Result<_, _>>();
        sizes.map(Some).map_err(|_| bad(key, value))
    }

    fn normalized_shape(&self) -> Result<Vec<usize>> {
        let key = "normalized_shape";
        self.list(key)?.ok_or_else(|| format!("no metadata {key}"))
    }

    fn virtual_batch_size(&self) -> Result<Option<usize>> {
        let key = "virtual_batch_size";
        let given = self.0.contains_key(key);
        given.then(|| self.parsed(key)).transpose()
    }

    fn norm(&self, channels: usize, has: impl Fn(&str) -> bool) -> Result<Norm> {
        let eps = self.or("eps", 1e-5)?;
        let (weight, bias) = (has("weight"), has("bias"));
        let channels_last = self.or("channels_last", false)?;
        let channels_first = self.or("channels_first", false)?;
        let tracks = has("running_mean") || has("running_var");
        Ok(match self.required("op")? {
            "batch_norm" => BatchNorm::new(channels)
                .channels_last(channels_last)
                .eps(eps)
                .momentum(self.momentum()?)
                .weight(weight)
                .bias(bias)
                .track_running_stats(tracks)
                .virtual_batch_size(self.virtual_batch_size()?)
                .into(),
            "instance_norm" => InstanceNorm::new(channels)
                .channels_last(channels_last)
                .eps(eps)
                .momentum(self.momentum()?)
                .weight(weight)
                .bias(bias)
                .track_running_stats(tracks)
                .into(),
            "group_norm" => {
                let norm = GroupNorm::new(self.parsed("num_groups")?, channels);
                let norm = norm.eps(eps).weight(weight).bias(bias);
                norm.channels_last(channels_last).into()
            }
            "layer_norm" => {
                let norm = LayerNorm::new(&self.normalized_shape()?);
                let norm = norm.eps(eps).weight(weight).bias(bias);
                norm.channels_first(channels_first).into()
            }
            "rms_norm" => {
                let norm = RmsNorm::new(&self.normalized_shape()?);
                norm.eps(eps)
                    .weight(weight)
                    .channels_first(channels_first)
                    .into()
            }
            op => return Err(bad("op", op)),
        })
    }
}

fn bad(key: &str, value: &str) -> String {
    format!("metadata {key} = {value:?}")
}
