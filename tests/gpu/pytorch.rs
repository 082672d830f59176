//! Against constants that PyTorch computed in float64 from the same f32 inputs.

use wgpu_norm::check::{Case, Row, run};

use crate::common::{TOLERANCE, cases, own_devices};

/// As many as `scripts/generate_cases.py` makes.
const CASES: usize = 61;

/// All cases on the device as it is, and a third of them on each of the others.
fn cases_of(cases: &[cases::Case], device: usize) -> impl Iterator<Item = &cases::Case> {
    let step = if device == 0 { 1 } else { 3 };
    cases.iter().skip(device % step).step_by(step)
}

/// And the comparison of the library with its own reference finds the same.
#[test]
fn agrees_on_every_case() {
    let cases = cases::load_all();
    assert!(cases.len() >= CASES, "{} cases", cases.len());
    let mut compared = 0;
    for (number, (device, context)) in own_devices().into_iter().enumerate() {
        for case in cases_of(&cases, number) {
            let ours = ours(case);
            let results = wgpu_norm::check::results(&context, &ours).unwrap();
            for (name, expected) in &case.expected {
                let got = results
                    .get(name.as_str())
                    .unwrap_or_else(|| panic!("{}: no {name}", case.name));
                let row = Row::new(case.name.clone(), "", got, expected, 0.0);
                assert!(
                    row.error <= TOLERANCE,
                    "{device}: {} {name}: {:e}",
                    case.name,
                    row.error
                );
                compared += 1;
            }
            let report = run(&context, &ours).unwrap();
            let agrees = report.worst() <= TOLERANCE;
            assert!(agrees, "{device}: {}\n{report}", case.name);
        }
    }
    println!("{compared} tensors compared");
}

pub(crate) fn ours(case: &cases::Case) -> Case {
    let mut ours = Case::random(&case.norm, case.mode, &case.shape, 5).unwrap();
    ours.input.clone_from(&case.input);
    ours.weight.clone_from(&case.weight);
    ours.bias.clone_from(&case.bias);
    ours.running_mean.clone_from(&case.running_mean);
    ours.running_var.clone_from(&case.running_var);
    ours.num_batches_tracked = case.num_batches_tracked as u32;
    if let Some(grad_output) = &case.grad_output {
        ours.grad_output.clone_from(grad_output);
    }
    ours
}
