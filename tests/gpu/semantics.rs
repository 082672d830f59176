//! The rules that PyTorch's semantics come down to, one test each.

use wgpu_norm::{BatchNorm, Error, GroupNorm, InstanceNorm, Layer, Mode, Norm, Tensor};

use crate::common::context;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(context(), values, shape).unwrap()
}

fn close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!(
            (f64::from(*got) - want).abs() < 1e-6 * want.abs().max(1.0),
            "{got} {want}"
        );
    }
}

/// Channel 0 holds 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14/3.
fn one_channel() -> Tensor {
    tensor(&[1.0, 2.0, 3.0, 6.0], &[4, 1])
}

#[test]
fn normalizes_by_the_biased_variance_and_keeps_the_unbiased_one() {
    let layer = Layer::new(context(), BatchNorm::new(1).eps(0.0)).unwrap();
    let forward = layer.forward(&one_channel(), Mode::TRAINING).unwrap();
    let rstd = 3.5f64.sqrt().recip();
    close(
        &forward.output.to_vec().unwrap(),
        &[-2.0, -1.0, 0.0, 3.0].map(|x| x * rstd),
    );
    // running = 0.9 * (0, 1) + 0.1 * (3, 14 / 3)
    close(&layer.running_mean().unwrap().to_vec().unwrap(), &[0.3]);
    close(
        &layer.running_var().unwrap().to_vec().unwrap(),
        &[0.9 + 1.4 / 3.0],
    );
    assert_eq!(layer.num_batches_tracked().unwrap(), Some(1));
}

#[test]
fn momentum_none_averages_all_batches() {
    let layer = Layer::new(context(), BatchNorm::new(1).momentum(None)).unwrap();
    for (k, scale) in [1.0, 2.0, 6.0].into_iter().enumerate() {
        let values = [1.0, 2.0, 3.0, 6.0].map(|x| x * scale);
        layer
            .forward(&tensor(&values, &[4, 1]), Mode::TRAINING)
            .unwrap();
        assert_eq!(layer.num_batches_tracked().unwrap(), Some(k as u64 + 1));
    }
    close(
        &layer.running_mean().unwrap().to_vec().unwrap(),
        &[3.0 * 9.0 / 3.0],
    );
    close(
        &layer.running_var().unwrap().to_vec().unwrap(),
        &[14.0 / 3.0 * 41.0 / 3.0],
    );
}

/// Which statistics normalize, whether the running ones are updated, and which gradients are computed do not depend on each other.
#[test]
fn three_switches_are_independent() {
    let layer = Layer::new(context(), BatchNorm::new(1)).unwrap();
    let input = one_channel();
    let grad_output = tensor(&[0.3, -1.0, 2.0, 0.1], &[4, 1]);
    let running = |layer: &Layer| {
        let state = layer.state().unwrap();
        (
            state.running_mean,
            state.running_var,
            state.num_batches_tracked,
        )
    };
    let fresh = running(&layer);
    let frozen = layer
        .forward(&input, Mode::TRAINING.update_running(false))
        .unwrap();
    assert_eq!(running(&layer), fresh, "not updated");
    let eval = layer.forward(&input, Mode::EVAL).unwrap();
    assert_eq!(running(&layer), fresh, "evaluation updates nothing");
    let training = layer.forward(&input, Mode::TRAINING).unwrap();
    assert_ne!(running(&layer), fresh, "updated");
    let outputs = [&frozen, &training, &eval].map(|forward| forward.output.to_vec().unwrap());
    assert_eq!(outputs[0], outputs[1]);
    assert_ne!(outputs[1], outputs[2]);
    for forward in [frozen, eval, training] {
        let all = layer.backward(&forward.saved, &grad_output).unwrap();
        let input_alone = layer.backward_input(&forward.saved, &grad_output).unwrap();
        let (weight, bias) = layer
            .backward_parameters(&forward.saved, &grad_output)
            .unwrap();
        assert_eq!(
            input_alone.to_vec().unwrap(),
            all.grad_input.to_vec().unwrap()
        );
        let values = |tensor: Option<Tensor>| tensor.unwrap().to_vec().unwrap();
        assert_eq!(values(weight), values(all.grad_weight));
        assert_eq!(values(bias), values(all.grad_bias));
    }
}

/// `grad_input = grad_output * weight * rstd(running)`, and weight and bias have gradients.
#[test]
fn evaluation_has_a_backward_of_its_own() {
    let layer = Layer::new(context(), BatchNorm::new(1).eps(0.0)).unwrap();
    let mut state = layer.state().unwrap();
    state.weight = Some(vec![3.0]);
    state.running_mean = Some(vec![1.0]);
    state.running_var = Some(vec![4.0]);
    layer.load_state(&state).unwrap();
    let forward = layer.forward(&one_channel(), Mode::EVAL).unwrap();
    close(&forward.output.to_vec().unwrap(), &[0.0, 1.5, 3.0, 7.5]);
    let grad_output = tensor(&[1.0, -2.0, 4.0, 0.5], &[4, 1]);
    // The statistics of the forward pass count, even if a training step came between.
    layer.forward(&one_channel(), Mode::TRAINING).unwrap();
    let gradients = layer.backward(&forward.saved, &grad_output).unwrap();
    close(
        &gradients.grad_input.to_vec().unwrap(),
        &[1.5, -3.0, 6.0, 0.75],
    );
    // x̂ = 0, 0.5, 1, 2.5
    close(
        &gradients.grad_weight.unwrap().to_vec().unwrap(),
        &[-1.0 + 4.0 + 1.25],
    );
    close(&gradients.grad_bias.unwrap().to_vec().unwrap(), &[3.5]);
}

#[test]
fn without_running_statistics_evaluation_normalizes_by_the_batch() {
    for norm in [
        Norm::from(BatchNorm::new(2).track_running_stats(false)),
        InstanceNorm::new(2).into(),
    ] {
        let layer = Layer::new(context(), norm).unwrap();
        assert!(layer.running_mean().is_none() && layer.num_batches_tracked().unwrap().is_none());
        let input = tensor(&[1.0, 5.0, 2.0, 3.0, 8.0, 1.0, 0.5, 7.0], &[2, 2, 2]);
        let [training, eval] = [Mode::TRAINING, Mode::EVAL].map(|mode| {
            layer
                .forward(&input, mode)
                .unwrap()
                .output
                .to_vec()
                .unwrap()
        });
        assert_eq!(training, eval);
    }
}

#[test]
fn weight_and_bias_are_each_optional() {
    for (weight, bias) in [(true, false), (false, true), (false, false)] {
        let norm = GroupNorm::new(2, 4).weight(weight).bias(bias);
        let layer = Layer::new(context(), norm).unwrap();
        let values: Vec<f32> = (0..24).map(|k| (k * k % 7) as f32).collect();
        let input = tensor(&values, &[2, 4, 3]);
        let forward = layer.forward(&input, Mode::TRAINING).unwrap();
        let gradients = layer.backward(&forward.saved, &input).unwrap();
        assert_eq!(layer.weight().is_some(), weight);
        assert_eq!(gradients.grad_weight.is_some(), weight);
        assert_eq!(gradients.grad_bias.is_some(), bias);
    }
}

/// Samples (0, 2) and (10, 14): means 1 and 12, unbiased variances 2 and 8.
#[test]
fn instance_norm_averages_its_running_statistics_over_the_batch() {
    let norm = InstanceNorm::new(1)
        .track_running_stats(true)
        .momentum(Some(1.0));
    let layer = Layer::new(context(), norm).unwrap();
    let input = tensor(&[0.0, 2.0, 10.0, 14.0], &[2, 1, 2]);
    layer.forward(&input, Mode::TRAINING).unwrap();
    close(&layer.running_mean().unwrap().to_vec().unwrap(), &[6.5]);
    close(&layer.running_var().unwrap().to_vec().unwrap(), &[5.0]);
}

#[test]
fn one_value_per_channel_is_an_error_that_names_the_shape() {
    let batch = Layer::new(context(), BatchNorm::new(3)).unwrap();
    let instance = Layer::new(context(), InstanceNorm::new(3).track_running_stats(true)).unwrap();
    for (layer, shape) in [
        (&batch, &[1, 3][..]),
        (&batch, &[1, 3, 1, 1]),
        (&instance, &[5, 3, 1]),
        (&instance, &[1, 3, 1, 1]),
    ] {
        let input = Tensor::full(context(), shape, 1.0).unwrap();
        let before = layer.state().unwrap();
        let error = layer.forward(&input, Mode::TRAINING).unwrap_err();
        assert!(
            matches!(&error, Error::OneValue { shape: named, .. } if named == shape),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("{shape:?}")));
        assert_eq!(layer.state().unwrap(), before, "nothing changed");
        // Running statistics need no variance of the batch.
        layer.forward(&input, Mode::EVAL).unwrap();
    }
}
