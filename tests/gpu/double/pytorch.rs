//! The cases of tests/cases/reference, which PyTorch computed in float64 from the same f32 inputs.

use wgpu_norm::Mode;
use wgpu_norm::check::Case;

use super::run::Double;
use crate::common::cases::{File, files};
use crate::common::devices;

/// As many as `scripts/generate_cases.py` makes, without padding.
const CASES: usize = 8;

#[test]
fn agrees_on_every_case() {
    let mut compared = 0;
    for path in files("reference") {
        let bytes = std::fs::read(&path).unwrap();
        let file = File::new(&bytes).unwrap();
        let has = |name| file.tensors.tensor(name).is_ok();
        if !has("grad_grad_input") || has("lengths") {
            continue;
        }
        let shape = file.tensors.tensor("input").unwrap().shape().to_vec();
        let is = |key| file.setting(key).unwrap().unwrap_or(false);
        let norm = file.norm(&shape).unwrap();
        let norm = norm.with_weights(is("per_sample"), is("zero_centered_weight"));
        let mode = match file.setting("training").unwrap() {
            Some(false) => Mode::EVAL,
            _ => Mode::TRAINING,
        };
        let case = Case::random(&norm, mode, &shape, 1).unwrap();
        let double = Double {
            case: Case {
                input: file.f32("input").unwrap().unwrap(),
                weight: file.f32("weight").unwrap(),
                bias: file.f32("bias").unwrap(),
                running_mean: file.f32("running_mean").unwrap(),
                running_var: file.f32("running_var").unwrap(),
                grad_output: file.f32("grad_output").unwrap().unwrap(),
                ..case
            },
            u: file.f32("grad_grad_input").unwrap().unwrap(),
        };
        let mut want = double.expected();
        let pytorch = file.expected().unwrap();
        for (name, (values, _)) in &mut want {
            values.clone_from(&pytorch[*name]);
        }
        let doubled = |name: &&String| name.contains("double") || name.contains("grad_grad");
        assert_eq!(pytorch.keys().filter(doubled).count(), want.len());
        for (device, context) in devices() {
            let got = double.results(&context, Double::ALL);
            double.compare(device, &got, &want);
        }
        compared += 1;
    }
    assert_eq!(compared, CASES);
}
