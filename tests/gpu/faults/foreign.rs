//! A tensor of another context, in every place that takes one: an `Err` that names it.

use wgpu_norm::{
    BackwardTensors, BatchNorm, Error, ForwardTensors, Layer, LayerNorm, Mode, Plan, Result,
    Running, Tensor,
};

use super::{lent_context, new_context};
use crate::common::{context, encoder};

const SHAPE: [usize; 3] = [4, 3, 5];

/// A set of tensors for one pass of batch norm: by place, in the order of `PLACES`.
fn tensors(context: &wgpu_norm::Context) -> Vec<Tensor> {
    let full = |shape: &[usize]| Tensor::full(context, shape, 1.0).unwrap();
    let places = PLACES.map(|place| match place {
        "input" | "output" | "grad_output" | "grad_input" => full(&SHAPE),
        "statistics" => full(&[4, 3]),
        "num_batches_tracked" => Tensor::counter(context).unwrap(),
        _ => full(&[3]),
    });
    places.to_vec()
}

const PLACES: [&str; 12] = [
    "input",
    "output",
    "weight",
    "bias",
    "statistics",
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "grad_output",
    "grad_input",
    "grad_weight",
    "grad_bias",
];

fn forward(plan: &Plan, tensors: &[&Tensor]) -> Result<()> {
    let forward = ForwardTensors {
        weight: Some(tensors[2]),
        bias: Some(tensors[3]),
        statistics: Some(tensors[4]),
        running: Some(Running {
            mean: tensors[5],
            var: tensors[6],
            num_batches_tracked: tensors[7],
        }),
        ..ForwardTensors::new(tensors[0], tensors[1])
    };
    plan.forward(&mut encoder(context()), &forward)
}

fn backward(plan: &Plan, tensors: &[&Tensor]) -> Result<()> {
    let backward = BackwardTensors {
        weight: Some(tensors[2]),
        grad_input: Some(tensors[9]),
        grad_weight: Some(tensors[10]),
        grad_bias: Some(tensors[11]),
        ..BackwardTensors::new(tensors[0], tensors[4], tensors[8])
    };
    plan.backward(&mut encoder(context()), &backward)
}

#[test]
fn in_every_place_of_a_plan() {
    let elsewhere = new_context();
    let (own, foreign) = (tensors(context()), tensors(&elsewhere));
    for mode in [Mode::TRAINING, Mode::EVAL] {
        let plan = Plan::new(context(), BatchNorm::new(3), &SHAPE, mode).unwrap();
        let all: Vec<&Tensor> = own.iter().collect();
        forward(&plan, &all).unwrap();
        backward(&plan, &all).unwrap();
        let mut refused = Vec::new();
        for (k, place) in PLACES.into_iter().enumerate() {
            let mut all = all.clone();
            all[k] = &foreign[k];
            for result in [forward(&plan, &all), backward(&plan, &all)] {
                if let Err(error) = result {
                    assert_eq!(error, Error::OtherContext(place));
                    refused.push(place);
                }
            }
        }
        // The counter is only for training. Input, weight and statistics go into both passes.
        let twice = ["input", "weight", "statistics"];
        let ignored = usize::from(mode == Mode::EVAL);
        assert_eq!(refused.len(), PLACES.len() + twice.len() - ignored);
        refused.dedup();
        assert_eq!(refused.len(), PLACES.len() - ignored);
    }
}

/// With parameters and without: then nothing of the layer's own goes in but what it makes for the call.
#[test]
fn in_every_call_of_a_layer() {
    let elsewhere = new_context();
    for norm in [
        LayerNorm::new(&[5]).into(),
        LayerNorm::new(&[5]).affine(false).into(),
        wgpu_norm::Norm::from(BatchNorm::new(3)),
    ] {
        let layer = Layer::new(context(), norm.clone()).unwrap();
        let input = Tensor::full(context(), &SHAPE, 1.0).unwrap();
        let saved = layer.forward(&input, Mode::TRAINING).unwrap().saved;
        let there = Layer::new(&elsewhere, norm).unwrap();
        let foreign = Tensor::full(&elsewhere, &SHAPE, 1.0).unwrap();
        let foreign_saved = there.forward(&foreign, Mode::TRAINING).unwrap().saved;
        let before = layer.state().unwrap();
        for mode in [Mode::TRAINING, Mode::EVAL] {
            let error = layer.forward(&foreign, mode).unwrap_err();
            assert_eq!(error, Error::OtherContext("input"));
        }
        for (saved, grad_output) in [
            (&saved, &foreign),
            (&foreign_saved, &input),
            (&foreign_saved, &foreign),
        ] {
            let results = [
                layer.backward(saved, grad_output).map(drop),
                layer.backward_input(saved, grad_output).map(drop),
                layer.backward_parameters(saved, grad_output).map(drop),
            ];
            for (call, result) in results.into_iter().enumerate() {
                let refused = matches!(result, Err(Error::OtherContext(_)));
                assert!(refused, "call {call} of {:?}: {result:?}", layer.norm());
            }
        }
        assert_eq!(layer.state().unwrap(), before);
        layer.backward(&saved, &input).unwrap();
    }
}

/// wgpu does not tell whose a buffer is: that shows at its first use, as an `Err` all the same.
#[test]
fn a_buffer_of_another_device() {
    let (own, elsewhere) = (lent_context(), new_context());
    let foreign = Tensor::full(&elsewhere, &SHAPE, 1.0).unwrap();
    let tensor = Tensor::from_buffer(&own, foreign.buffer().clone(), 0, &SHAPE).unwrap();
    let layer = Layer::new(&own, LayerNorm::new(&[5])).unwrap();
    assert!(tensor.to_vec().is_err());
    assert!(tensor.write(&[0.0; 60]).is_err());
    assert!(layer.forward(&tensor, Mode::TRAINING).is_err());
    let input = Tensor::full(&own, &SHAPE, 1.0).unwrap();
    let saved = layer.forward(&input, Mode::TRAINING).unwrap().saved;
    assert!(layer.backward(&saved, &tensor).is_err());
    layer.backward(&saved, &input).unwrap();
}
