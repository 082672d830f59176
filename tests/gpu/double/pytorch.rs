//! The cases of tests/cases/reference, which PyTorch computed in float64 from the same f32 inputs.

use std::collections::BTreeMap;

use wgpu_norm::Mode;
use wgpu_norm::check::{Case, compare, results};

use crate::common::cases::{File, files};
use crate::common::{devices, judge};

const SECOND: [&str; 3] = [
    "double_grad_input",
    "double_grad_weight",
    "grad_grad_output",
];

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
        let case = Case {
            input: file.f32("input").unwrap().unwrap(),
            weight: file.f32("weight").unwrap(),
            bias: file.f32("bias").unwrap(),
            running_mean: file.f32("running_mean").unwrap(),
            running_var: file.f32("running_var").unwrap(),
            grad_output: file.f32("grad_output").unwrap().unwrap(),
            grad_grad_input: file.f32("grad_grad_input").unwrap(),
            ..Case::random(&norm, mode, &shape, 1).unwrap()
        };
        let pytorch = file.expected().unwrap();
        let want = SECOND.into_iter();
        let want = want.filter_map(|name| Some((name, pytorch.get(name)?.clone())));
        let want: BTreeMap<_, _> = want.collect();
        assert_eq!(want.len(), 2 + usize::from(case.weight.is_some()));
        for (device, context) in devices() {
            let got = results(&context, &case).unwrap();
            judge(device, &case, compare(&case, &got, &want));
        }
        compared += 1;
    }
    assert_eq!(compared, CASES);
}
