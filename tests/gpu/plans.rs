//! Plans: the caller's encoder and order, used again and again.

use wgpu_norm::check::{Case, Row};
use wgpu_norm::{
    BatchNorm, ForwardTensors, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, Plan, Running,
    Tensor,
};

use crate::common::{TOLERANCE, context, encoder};

/// Two layers one behind the other in one submission, the second reading what the first writes; statistics not kept.
#[test]
fn several_plans_in_one_submission() {
    let shape = [6, 4, 10];
    let norms: [Norm; 3] = [
        GroupNorm::new(2, 4).affine(false).into(),
        LayerNorm::new(&[10]).affine(false).eps(0.1).into(),
        InstanceNorm::new(4).eps(1.0).into(),
    ];
    let input = Case::random(&norms[0], Mode::TRAINING, &shape, 3)
        .unwrap()
        .input;
    let mut want: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
    let mut tensor = Tensor::from_slice(context(), &input, &shape).unwrap();
    let mut encoder = encoder(context());
    for norm in &norms {
        let output = Tensor::full(context(), &shape, f32::NAN).unwrap();
        let plan = Plan::new(context(), norm.clone(), &shape, Mode::TRAINING).unwrap();
        plan.forward(&mut encoder, &ForwardTensors::new(&tensor, &output))
            .unwrap();
        tensor = output;
        let none = wgpu_norm::reference::Parameters::default();
        want = wgpu_norm::reference::forward(norm, Mode::TRAINING, &shape, &want, &none)
            .unwrap()
            .output;
    }
    context().queue().submit([encoder.finish()]);
    let row = Row::new(
        String::new(),
        "output",
        &tensor.to_vec().unwrap(),
        &want,
        0.0,
    );
    assert!(row.error < TOLERANCE, "{}", row.error);
}

/// One plan recorded three times into one encoder takes in three batches.
#[test]
fn a_plan_is_recorded_many_times() {
    let norm = BatchNorm::new(2).momentum(None).affine(false);
    let plan = Plan::new(context(), norm, &[2, 2], Mode::TRAINING).unwrap();
    let mean = Tensor::full(context(), &[2], 0.0).unwrap();
    let var = Tensor::full(context(), &[2], 1.0).unwrap();
    let num_batches_tracked = Tensor::counter(context()).unwrap();
    let output = Tensor::uninit(context(), &[2, 2]).unwrap();
    let mut encoder = encoder(context());
    for scale in [1.0, 2.0, 6.0] {
        let values = [1.0, -2.0, 3.0, 2.0].map(|x| x * scale);
        let input = Tensor::from_slice(context(), &values, &[2, 2]).unwrap();
        plan.forward(
            &mut encoder,
            &ForwardTensors {
                running: Some(Running {
                    mean: &mean,
                    var: &var,
                    num_batches_tracked: &num_batches_tracked,
                }),
                ..ForwardTensors::new(&input, &output)
            },
        )
        .unwrap();
    }
    context().queue().submit([encoder.finish()]);
    assert_eq!(num_batches_tracked.to_vec_of::<u32>().unwrap(), [3]);
    let mean = mean.to_vec().unwrap();
    assert!(
        (mean[0] - 6.0).abs() < 1e-5 && mean[1].abs() < 1e-5,
        "{mean:?}"
    );
}

/// A layer keeps neither the tensors of earlier steps nor a plan of every shape that it ever saw.
#[test]
fn a_layer_does_not_hold_on_to_tensors() {
    let layer = wgpu_norm::Layer::new(context(), LayerNorm::new(&[8])).unwrap();
    for rows in (1..200).chain([7, 7, 7]) {
        let input = Tensor::full(context(), &[rows, 8], 1.0).unwrap();
        let forward = layer.forward(&input, Mode::TRAINING).unwrap();
        layer.backward(&forward.saved, &input).unwrap();
    }
    let plan = layer.plan(&[7, 8], Mode::TRAINING).unwrap();
    assert!(!plan.scratch().is_empty(), "it is the plan that was used");
    assert_eq!(plan.bind_group_count(), 0);
}
