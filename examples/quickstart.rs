//! A training step and an evaluation of batch norm: `cargo run --release --example quickstart`

use wgpu_norm::{BatchNorm, Context, Layer, Mode, Tensor};

fn main() -> wgpu_norm::Result<()> {
    let context = Context::new()?; // the best adapter there is
    let layer = Layer::new(&context, BatchNorm::new(3))?; // weight 1, bias 0, running statistics

    // Two samples of three channels, shapes as in PyTorch: [N, C, L].
    let values: Vec<f32> = (0..24).map(|i| 5.0 + (i as f32).sin()).collect();
    let input = Tensor::from_slice(&context, &values, &[2, 3, 4])?;

    // Training: normalizes with the statistics of the batch and updates the running ones.
    let forward = layer.forward(&input, Mode::TRAINING)?;
    println!("output       {:.3?}", &forward.output.to_vec()?[..4]);
    if let Some(mean) = layer.running_mean() {
        println!("running mean {:.3?}", mean.to_vec()?);
    }

    // The gradient of your loss goes in, those of input, weight and bias come out.
    let slopes: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).cos()).collect();
    let grad_output = Tensor::from_slice(&context, &slopes, &[2, 3, 4])?;
    let gradients = layer.backward(&forward.saved, &grad_output)?;
    println!("grad_input   {:.3?}", &gradients.grad_input.to_vec()?[..4]);
    if let Some(grad_weight) = &gradients.grad_weight {
        println!("grad_weight  {:.3?}", grad_weight.to_vec()?);
    }

    // Evaluation: normalizes with the running statistics, for any batch size.
    let evaluated = layer.forward(&input, Mode::EVAL)?.output;
    println!("evaluation   {:.3?}", &evaluated.to_vec()?[..4]);
    Ok(())
}
