//! Every kernel variant that the ladder can ask for.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use wgpu_norm::kernel::Kernel;
use wgpu_norm::source::Variant;
use wgpu_norm::{
    Activation, BatchNorm, Caps, DType, GroupNorm, InstanceNorm, LayerNorm, Norm, Recipe, RmsNorm,
};

use crate::problems::{MODES, double_recipes, length_recipes, other_recipes, recipes};

pub(crate) fn devices() -> Vec<Caps> {
    let mut devices = Vec::new();
    for cpu in [false, true] {
        for subgroups in [
            None,
            Some((4, 4)),
            Some((8, 8)),
            Some((32, 32)),
            Some((4, 128)),
        ] {
            devices.push(Caps {
                cpu,
                subgroups,
                ..Caps::WEBGPU
            });
        }
    }
    devices.extend([false, true].map(|slow_loads| Caps {
        cpu: true,
        slow_loads,
        shader_int64: true,
        subgroups: Some((8, 8)),
        ..Caps::WEBGPU
    }));
    devices
}

/// Shapes on all rungs: across and along, vectors or not, kept, looped and split, channels by group, run and element.
pub(crate) fn norms() -> Vec<(Norm, Vec<usize>)> {
    let mut norms: Vec<(Norm, Vec<usize>)> = Vec::new();
    for (weight, bias) in [(false, false), (true, false), (false, true), (true, true)] {
        for momentum in [None, Some(0.1)] {
            for shape in [
                &[70, 6][..],
                &[70, 8],
                &[4, 3, 7],
                &[4, 3, 8],
                &[2, 3, 64, 64],
                &[2, 3, 300, 300],
            ] {
                let batch = BatchNorm::new(shape[1]).weight(weight).bias(bias);
                norms.push((batch.momentum(momentum).into(), shape.to_vec()));
                let ghost = batch
                    .momentum(momentum)
                    .virtual_batch_size(Some(shape[0] / 2));
                if shape[0] > 2 {
                    norms.push((ghost.into(), shape.to_vec()));
                }
                if shape.len() > 2 {
                    let instance = InstanceNorm::new(shape[1]).weight(weight).bias(bias);
                    let instance = instance.momentum(momentum).track_running_stats(true);
                    norms.push((instance.into(), shape.to_vec()));
                }
            }
            for shape in [
                &[3, 70, 6][..],
                &[3, 70, 8],
                &[2, 90_000, 4],
                &[2, 90_000, 3],
            ] {
                let instance = InstanceNorm::new(shape[2]).weight(weight).bias(bias);
                let instance = instance.momentum(momentum).track_running_stats(true);
                norms.push((instance.channels_last(true).into(), shape.to_vec()));
            }
        }
        for shape in [
            &[7, 6][..],
            &[7, 8],
            &[3, 6, 7],
            &[3, 6, 8],
            &[3, 6, 64],
            &[3, 6, 67],
            &[3, 6, 68],
            &[3, 6, 100, 100],
        ] {
            let group = GroupNorm::new(2, shape[1]).weight(weight).bias(bias);
            norms.push((group.into(), shape.to_vec()));
        }
        for shape in [
            &[3, 7, 6][..],
            &[3, 7, 8],
            &[3, 7, 16],
            &[3, 64, 8],
            &[3, 70, 16],
            &[3, 10_000, 6],
            &[3, 10_000, 8],
        ] {
            let group = GroupNorm::new(2, shape[2]).weight(weight).bias(bias);
            norms.push((group.channels_last(true).into(), shape.to_vec()));
        }
        for shape in [
            [3, 5, 7],
            [3, 5, 8],
            [2, 200, 12],
            [2, 200, 13],
            [2, 10_000, 5],
        ] {
            let layer = LayerNorm::new(&shape[1..2]).weight(weight).bias(bias);
            norms.push((layer.channels_first(true).into(), shape.to_vec()));
            let rms = RmsNorm::new(&shape[1..2]).weight(weight);
            norms.push((rms.channels_first(true).into(), shape.to_vec()));
        }
        // So many parts that they are merged in two steps.
        let long = BatchNorm::new(1).weight(weight).bias(bias);
        norms.push((long.into(), vec![1 << 27, 1]));
        for d in [3, 64, 65, 1000, 4099, 20_000, 100_000] {
            let layer = LayerNorm::new(&[d]).weight(weight).bias(bias);
            norms.push((layer.into(), vec![3, d]));
            norms.push((RmsNorm::new(&[d]).weight(weight).into(), vec![3, d]));
        }
        // Two rows at once and another, and four.
        for rows in [3, 4] {
            let layer = LayerNorm::new(&[8192]).weight(weight).bias(bias);
            norms.push((layer.into(), vec![rows, 8192]));
            norms.push((
                RmsNorm::new(&[8192]).weight(weight).into(),
                vec![rows, 8192],
            ));
        }
    }
    // All activations, with numbers and with vectors.
    for activation in Activation::ALL {
        for (norm, shape) in [
            (BatchNorm::new(6).into(), &[70, 6][..]),
            (BatchNorm::new(8).into(), &[70, 8]),
            (GroupNorm::new(2, 6).into(), &[3, 6, 8]),
            (GroupNorm::new(2, 6).into(), &[3, 6, 68]),
            (Norm::from(LayerNorm::new(&[64])), &[3, 64]),
            (LayerNorm::new(&[4099]).into(), &[3, 4099]),
        ] {
            norms.push((norm.with_activation(activation), shape.to_vec()));
        }
    }
    norms
}

/// Types of data, and whether the device has f16: beside F32 one of 16 bits by turns of the devices, with all parameters only. There
/// are enough variants to validate.
fn storages(norm: &Norm, device: usize) -> impl Iterator<Item = (DType, bool)> {
    let halves = [
        (DType::F16, true),
        (DType::F16, false),
        (DType::BF16, false),
    ];
    let full = norm.has_weight() && (norm.has_bias() || matches!(norm, Norm::Rms(_)));
    let half = full.then(|| halves[device % halves.len()]);
    std::iter::once((DType::F32, false)).chain(half)
}

/// A kernel, its variant, and whether buffers are shared.
type Text = (Kernel, Variant, bool);

/// Texts that have between them, of each kernel, every two options that occur together. `WGPU_NORM_TEST_VARIANTS=all`: all of them,
/// tens of thousands.
pub(crate) fn tested() -> &'static [Text] {
    static TESTED: OnceLock<Vec<Text>> = OnceLock::new();
    TESTED.get_or_init(|| {
        let all = all();
        match std::env::var("WGPU_NORM_TEST_VARIANTS").as_deref() {
            Err(_) => with_all_pairs(&all),
            Ok("all") => all,
            Ok(other) => panic!("WGPU_NORM_TEST_VARIANTS={other:?}: it can be \"all\" only"),
        }
    })
}

fn with_all_pairs(all: &[Text]) -> Vec<Text> {
    let mut numbers: HashMap<(Kernel, String), u32> = HashMap::new();
    let mut seen: HashSet<(u32, u32)> = HashSet::new();
    let has_new_pair = |(kernel, variant, shared): &&Text| {
        let options = options(variant).chain([format!("shared: {shared}")]);
        let options = options.map(|option| {
            let next = numbers.len() as u32;
            *numbers.entry((*kernel, option)).or_insert(next)
        });
        let options: Vec<u32> = options.collect();
        let mut is_new = false;
        for (k, &one) in options.iter().enumerate() {
            for &other in &options[..k] {
                is_new |= seen.insert((one, other));
            }
        }
        is_new
    };
    all.iter().filter(has_new_pair).copied().collect()
}

/// Each field of the variant with its value, and each optional slot that is there.
fn options(variant: &Variant) -> impl Iterator<Item = String> {
    let text = format!("{variant:?}");
    let (fields, slots) = text.split_once(", optional: Slots(").unwrap();
    let slots: u32 = slots.trim_end_matches(") }").parse().unwrap();
    let fields: Vec<String> = fields.split(", ").map(str::to_owned).collect();
    let slots = (0..32).map(move |k| format!("slot {k}: {}", slots >> k & 1));
    fields.into_iter().chain(slots)
}

/// The variants of all these norms on all these devices, by turns with separate and with shared buffers (`true`).
fn all() -> Vec<Text> {
    let mut seen: HashSet<(Kernel, Variant)> = HashSet::new();
    let mut all = Vec::new();
    let mut see = |recipes: Vec<Recipe>| {
        for step in recipes.iter().flat_map(|recipe| &recipe.steps) {
            if seen.insert((step.kernel, step.variant)) {
                all.push((step.kernel, step.variant, all.len() % 2 == 1));
            }
        }
    };
    for (device, caps) in devices().into_iter().enumerate() {
        for (norm, shape) in norms() {
            for (dtype, shader_f16) in storages(&norm, device) {
                let caps = Caps { shader_f16, ..caps };
                see(recipes(&norm, &shape, &caps, dtype));
                for mode in MODES {
                    see(double_recipes(&norm, &shape, &caps, (dtype, mode)));
                }
            }
            see(other_recipes(&norm, &shape, &caps));
            see(length_recipes(&norm, &shape, &caps));
        }
    }
    let kernels: HashSet<Kernel> = all.iter().map(|(kernel, ..)| *kernel).collect();
    assert_eq!(
        kernels.len(),
        Kernel::ALL.len(),
        "a kernel that nothing asks for"
    );
    all
}
