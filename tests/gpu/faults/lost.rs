//! A device destroyed while it works: `Err(DeviceLost)`, no panic, no hang, from either kind of context.

use std::sync::Barrier;
use std::time::Duration;

use wgpu_norm::{
    BackwardTensors, BatchNorm, Context, Error, ForwardTensors, Layer, LayerNorm, Mode, Plan,
    Result, State, Tensor,
};

use super::{lent_context, new_context, within};
use crate::common::encoder;

fn is_lost<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::DeviceLost(_)))
}

/// Work for a second or so on a CPU, a few milliseconds on a GPU; the last output.
fn submit_long_work(context: &Context) -> Tensor {
    let layer = Layer::new(context, LayerNorm::new(&[1024])).unwrap();
    let mut tensor = Tensor::full(context, &[4096, 1024], 1.0).unwrap();
    for _ in 0..30 {
        tensor = layer.forward(&tensor, Mode::TRAINING).unwrap().output;
    }
    tensor
}

/// The work was submitted before: either it ends, or the reader hears of the loss.
fn is_right_or_lost(output: &Result<Vec<f32>>) {
    match output {
        Ok(values) => assert!(values.iter().all(|&x| x == 0.0), "a constant row gives 0"),
        Err(error) => assert!(matches!(error, Error::DeviceLost(_)), "{error}"),
    }
}

#[test]
fn destroyed_while_work_is_submitted() {
    for context in [new_context(), lent_context()] {
        within(60, "a read after the loss", || {
            let output = submit_long_work(&context);
            context.device().destroy();
            let read = output.to_vec();
            assert!(is_lost(&read), "{:?}", read.map(|values| values.len()));
        });
    }
}

#[test]
fn destroyed_while_threads_wait() {
    for context in [new_context(), lent_context()] {
        within(60, "threads that wait for a lost device", || {
            let output = submit_long_work(&context);
            let ready = Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        ready.wait();
                        is_right_or_lost(&output.to_vec());
                    });
                }
                scope.spawn(|| {
                    ready.wait();
                    is_right_or_lost(&pollster::block_on(output.to_vec_async()));
                });
                ready.wait();
                std::thread::sleep(Duration::from_millis(30));
                context.device().destroy();
            });
            assert!(is_lost(&output.to_vec()));
        });
    }
}

/// Threads that train until the device is gone end with that error and no other.
#[test]
fn destroyed_while_threads_train() {
    for context in [new_context(), lent_context()] {
        within(60, "training on a lost device", || {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let error = train(&context).unwrap_err();
                        assert!(matches!(error, Error::DeviceLost(_)), "{error}");
                    });
                }
                std::thread::sleep(Duration::from_millis(300));
                context.device().destroy();
            });
        });
    }
}

/// Trains for ever.
fn train(context: &Context) -> Result<()> {
    let mut rows = 1;
    loop {
        // Ever new layers and shapes: the loss meets every part of the way.
        let layer = Layer::new(context, BatchNorm::new(3))?;
        rows = rows % 7 + 2;
        let input = Tensor::full(context, &[rows, 3, 40], 0.5)?;
        let forward = layer.forward(&input, Mode::TRAINING)?;
        let gradients = layer.backward(&forward.saved, &forward.output)?;
        gradients.grad_input.to_vec()?;
        layer.state()?;
    }
}

/// What there was before the loss, as the arguments of every call after it.
struct Before {
    context: Context,
    layer: Layer,
    input: Tensor,
    forward: wgpu_norm::Forward,
    state: State,
}

impl Before {
    fn new(context: Context) -> Self {
        let layer = Layer::new(&context, BatchNorm::new(3)).unwrap();
        let input = Tensor::full(&context, &[4, 3], 1.0).unwrap();
        Self {
            forward: layer.forward(&input, Mode::TRAINING).unwrap(),
            state: layer.state().unwrap(),
            layer,
            input,
            context,
        }
    }

    fn calls(&self) -> Vec<(&'static str, Result<()>)> {
        let Self {
            context,
            layer,
            input,
            forward,
            state,
        } = self;
        let saved = &forward.saved;
        vec![
            ("full", Tensor::full(context, &[2, 3], 1.0).map(drop)),
            ("write", input.write(&[0.0; 12])),
            ("to_vec", input.to_vec().map(drop)),
            (
                "to_vec_async",
                pollster::block_on(input.to_vec_async()).map(drop),
            ),
            (
                "Layer::new",
                Layer::new(context, BatchNorm::new(3)).map(drop),
            ),
            ("forward", layer.forward(input, Mode::TRAINING).map(drop)),
            ("a new shape", layer.forward(input, Mode::EVAL).map(drop)),
            ("backward", layer.backward(saved, input).map(drop)),
            (
                "backward_input",
                layer.backward_input(saved, input).map(drop),
            ),
            (
                "backward_parameters",
                layer.backward_parameters(saved, input).map(drop),
            ),
            ("state", layer.state().map(drop)),
            (
                "state_async",
                pollster::block_on(layer.state_async()).map(drop),
            ),
            ("load_state", layer.load_state(state)),
            ("reset_running_stats", layer.reset_running_stats()),
            (
                "check",
                wgpu_norm::check::norm(context, BatchNorm::new(3), &[4, 3]).map(drop),
            ),
        ]
    }
}

#[test]
fn every_call_on_a_lost_device() {
    for context in [new_context(), lent_context()] {
        let before = Before::new(context);
        before.context.device().destroy();
        within(60, "calls on a lost device", || {
            for (name, result) in before.calls() {
                // These only hand work to the queue, which a lost device swallows: whoever reads hears of it.
                let queued = ["write", "forward", "load_state", "reset_running_stats"];
                let swallowed = result.is_ok() && queued.contains(&name);
                assert!(is_lost(&result) || swallowed, "{name}: {result:?}");
            }
        });
    }
}

/// A plan's passes, with and without bind groups from before: recorded into an encoder that cannot be submitted, or an error.
#[test]
fn plans_on_a_lost_device() {
    for make in [new_context, lent_context] {
        for warm in [false, true] {
            let context = make();
            let norm = LayerNorm::new(&[4]).affine(false);
            let plan = Plan::new(&context, norm, &[2, 4], Mode::TRAINING).unwrap();
            let input = Tensor::full(&context, &[2, 4], 1.0).unwrap();
            let output = Tensor::uninit(&context, &[2, 4]).unwrap();
            let statistics = Tensor::uninit(&context, &plan.statistics_shape()).unwrap();
            let record = || {
                let mut encoder = encoder(&context);
                let forward = ForwardTensors {
                    statistics: Some(&statistics),
                    ..ForwardTensors::new(&input, &output)
                };
                let backward = BackwardTensors {
                    grad_input: Some(&output),
                    ..BackwardTensors::new(&input, &statistics, &input)
                };
                plan.forward(&mut encoder, &forward)?;
                plan.backward(&mut encoder, &backward)
            };
            if warm {
                record().unwrap();
            }
            context.device().destroy();
            within(60, "a plan on a lost device", || {
                let result = record();
                assert!(is_lost(&result) || warm, "{result:?}");
            });
        }
    }
}
