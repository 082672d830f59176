//! Every mistake is an `Err` that says what was expected and what was got.

use wgpu_norm::{
    BatchNorm, Context, DType, Error, ForwardTensors, GroupNorm, InstanceNorm, Layer, LayerNorm,
    Mode, Norm, Plan, RmsNorm, Tensor,
};

use crate::common::{context, new_context};

fn plan_error(norm: impl Into<Norm>, shape: &[usize]) -> Error {
    let norm = norm.into();
    let error = Plan::new(context(), norm.clone(), shape, Mode::TRAINING).unwrap_err();
    if let Ok(layer) = Layer::new(context(), norm) {
        let input = Tensor::uninit(context(), shape);
        if let Ok(input) = input {
            assert_eq!(layer.forward(&input, Mode::TRAINING).unwrap_err(), error);
        }
    }
    error
}

/// Both numbers stand in the message.
fn says(error: &Error, texts: &[&str]) {
    let message = error.to_string();
    for text in texts {
        assert!(message.contains(text), "{message:?} lacks {text:?}");
    }
}

#[test]
fn wrong_shapes() {
    says(
        &plan_error(BatchNorm::new(3), &[3]),
        &["rank 1", "[3]", "2 to 5"],
    );
    says(
        &plan_error(BatchNorm::new(3), &[1, 3, 1, 1, 1, 1]),
        &["rank 6", "2 to 5"],
    );
    says(
        &plan_error(InstanceNorm::new(3), &[2, 3]),
        &["rank 2", "3 to 5"],
    );
    says(
        &plan_error(BatchNorm::new(3), &[2, 4, 5]),
        &["expected 3 channels", "got 4"],
    );
    says(
        &plan_error(GroupNorm::new(2, 4), &[2, 6, 5]),
        &["expected 4 channels", "got 6"],
    );
    says(
        &plan_error(LayerNorm::new(&[4, 5]), &[2, 5, 4]),
        &["[4, 5]", "[2, 5, 4]"],
    );
    says(&plan_error(RmsNorm::new(&[4, 5]), &[5]), &["rank 1"]);
}

/// The message says the dimension that the channels are in.
#[test]
fn wrong_channels_in_other_orders() {
    let last = "expected 3 channels in dimension 2, got 4";
    says(
        &plan_error(BatchNorm::new(3).channels_last(true), &[2, 3, 4]),
        &[last, "[2, 3, 4]"],
    );
    says(
        &plan_error(InstanceNorm::new(3).channels_last(true), &[2, 3, 4]),
        &[last],
    );
    says(
        &plan_error(GroupNorm::new(1, 3).channels_last(true), &[2, 3, 4]),
        &[last],
    );
    let first = "expected 3 channels in dimension 1, got 4";
    says(
        &plan_error(LayerNorm::new(&[3]).channels_first(true), &[2, 4, 3]),
        &[first],
    );
    says(
        &plan_error(RmsNorm::new(&[3]).channels_first(true), &[2, 4, 3]),
        &[first],
    );
    says(
        &plan_error(LayerNorm::new(&[3]).channels_first(true), &[3]),
        &["rank 1", "2 to 8"],
    );
    says(
        &plan_error(LayerNorm::new(&[3, 4]).channels_first(true), &[2, 3, 4]),
        &["rank of normalized_shape", "got 2", "channels"],
    );
    says(
        &plan_error(InstanceNorm::new(3).channels_last(true), &[2, 1, 3]),
        &["channel and sample", "[2, 1, 3]"],
    );
}

#[test]
fn wrong_virtual_batches() {
    let ghost = |samples| BatchNorm::new(3).virtual_batch_size(Some(samples));
    says(
        &plan_error(ghost(4), &[6, 3, 5]),
        &["6 samples", "virtual batches of 4"],
    );
    says(&plan_error(ghost(8), &[6, 3]), &["6 samples", "of 8"]);
    says(
        &plan_error(ghost(0), &[6, 3]),
        &["virtual_batch_size", "at least 1", "got 0"],
    );
    says(
        &plan_error(ghost(1), &[6, 3]),
        &["channel and virtual batch", "[6, 3]"],
    );
    // In evaluation there are none, and no sample has none to divide.
    Plan::new(context(), ghost(4), &[6, 3], Mode::EVAL).unwrap();
    Plan::new(context(), ghost(4), &[0, 3], Mode::TRAINING).unwrap();
    let untracked = ghost(4).track_running_stats(false);
    Plan::new(context(), untracked, &[6, 3], Mode::EVAL).unwrap_err();
}

#[test]
fn wrong_configurations() {
    says(
        &plan_error(GroupNorm::new(4, 6), &[2, 6]),
        &["6 channels", "4 groups"],
    );
    says(
        &plan_error(GroupNorm::new(0, 6), &[2, 6]),
        &["num_groups", "0"],
    );
    says(
        &plan_error(BatchNorm::new(0), &[2, 0]),
        &["num_features", "0"],
    );
    says(
        &plan_error(LayerNorm::new(&[]), &[2]),
        &["rank of normalized_shape", "0"],
    );
    for eps in [-1e-5, f64::NAN, f64::INFINITY, 1e300] {
        let error = plan_error(BatchNorm::new(3).eps(eps), &[2, 3]);
        says(&error, &["eps", &eps.to_string()]);
        assert!(Layer::new(context(), RmsNorm::new(&[3]).eps(eps)).is_err());
    }
    says(
        &plan_error(BatchNorm::new(3).momentum(Some(f64::NAN)), &[2, 3]),
        &["momentum", "NaN"],
    );
}

/// Sizes whose product does not fit any integer do not overflow on the way to their error.
#[test]
fn sizes_beyond_every_limit() {
    for shape in [
        [usize::MAX, 3, usize::MAX],
        [1 << 30, 3, 1 << 30],
        [1 << 20, 3, 1 << 20],
    ] {
        for norm in [Norm::from(BatchNorm::new(3)), GroupNorm::new(3, 3).into()] {
            let error = plan_error(norm, &shape);
            assert!(matches!(error, Error::Limit { .. }), "{error}");
        }
        assert!(matches!(
            Tensor::uninit(context(), &shape),
            Err(Error::Limit { .. })
        ));
    }
    let huge: Norm = LayerNorm::new(&[1 << 40, 1 << 40]).into();
    assert!(matches!(
        plan_error(huge, &[0, 1 << 40, 1 << 40]),
        Error::Limit { .. }
    ));
    // No elements, so nothing to overflow.
    let empty = [usize::MAX, 3, usize::MAX, 0];
    Plan::new(context(), BatchNorm::new(3), &empty, Mode::TRAINING).unwrap();
    // Below what 32 bits index, over what a buffer may be.
    let caps = *context().caps();
    let elements = caps.max_buffer_size as usize / 4 + 1;
    if elements > 1 << 31 {
        return;
    }
    let error = Tensor::uninit(context(), &[elements]).unwrap_err();
    says(
        &error,
        &[
            &(4 * elements).to_string(),
            &caps.max_buffer_size.to_string(),
        ],
    );
}

#[test]
fn wrong_tensors() {
    let plan = Plan::new(context(), LayerNorm::new(&[4]), &[2, 4], Mode::EVAL).unwrap();
    let [input, other] =
        [[2, 4], [4, 2]].map(|shape| Tensor::full(context(), &shape, 1.0).unwrap());
    let output = Tensor::uninit(context(), &[2, 4]).unwrap();
    let weight = Tensor::full(context(), &[4], 1.0).unwrap();
    let good = ForwardTensors {
        weight: Some(&weight),
        bias: Some(&weight),
        ..ForwardTensors::new(&input, &output)
    };
    let record = |tensors: &ForwardTensors<'_>| {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        plan.forward(
            &mut context().device().create_command_encoder(&descriptor),
            tensors,
        )
    };
    record(&good).unwrap();
    let error = record(&ForwardTensors {
        input: &other,
        ..good
    })
    .unwrap_err();
    says(&error, &["input", "[2, 4]", "[4, 2]"]);
    let error = record(&ForwardTensors {
        weight: Some(&input),
        ..good
    })
    .unwrap_err();
    says(&error, &["weight", "[4]", "[2, 4]"]);
    let error = record(&ForwardTensors { bias: None, ..good }).unwrap_err();
    assert!(matches!(error, Error::Missing("bias", _)), "{error}");
    let elsewhere = new_context();
    let foreign = Tensor::full(&elsewhere, &[2, 4], 1.0).unwrap();
    let error = record(&ForwardTensors {
        input: &foreign,
        ..good
    })
    .unwrap_err();
    assert_eq!(error, Error::OtherContext("input"));
    let counter = Tensor::counter(context()).unwrap();
    assert!(counter.to_vec().is_err() && counter.write(&[1.0]).is_err());
    assert_eq!(counter.dtype(), DType::U32);
}

#[test]
fn wrong_data_and_buffers() {
    let error = Tensor::from_slice(context(), &[1.0; 5], &[2, 3]).unwrap_err();
    says(&error, &["[2, 3]", "6", "5"]);
    let buffer = |size, usage| {
        context().device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let copies = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let storage = wgpu::BufferUsages::STORAGE | copies;
    let tensor =
        |buffer, offset| Tensor::from_buffer(context(), buffer, offset, &[64]).unwrap_err();
    let error = tensor(buffer(1024, copies), 0);
    assert!(matches!(error, Error::BufferUsage { .. }), "{error}");
    let error = tensor(buffer(1024, storage), 4);
    says(
        &error,
        &["4", &context().caps().offset_alignment.to_string()],
    );
    let error = tensor(buffer(255, storage), 0);
    says(&error, &["256", "255"]);
    let error = tensor(buffer(512, storage), 512);
    says(&error, &["256", "512"]);
    let offset = u64::MAX - u64::MAX % 256;
    assert!(matches!(
        tensor(buffer(512, storage), offset),
        Error::BufferTooSmall { .. }
    ));
}

#[test]
fn saved_from_another_norm() {
    let layer = Layer::new(context(), LayerNorm::new(&[4])).unwrap();
    let other = Layer::new(context(), RmsNorm::new(&[4])).unwrap();
    let input = Tensor::full(context(), &[2, 4], 1.0).unwrap();
    let forward = other.forward(&input, Mode::TRAINING).unwrap();
    let error = layer.backward(&forward.saved, &input).unwrap_err();
    assert!(matches!(error, Error::Unexpected("saved", _)), "{error}");
}

/// No panic, no hang, from either kind of context.
#[test]
fn a_destroyed_device_is_an_error() {
    let own = new_context();
    let lent = new_context();
    // The owner's handlers hear nothing of what this crate gets as an `Err`.
    let handler = |error: wgpu::Error| panic!("uncaptured: {error}");
    lent.device()
        .on_uncaptured_error(std::sync::Arc::new(handler));
    let lent = Context::from_wgpu(lent.device().clone(), lent.queue().clone()).unwrap();
    for context in [own, lent] {
        let layer = Layer::new(&context, BatchNorm::new(3)).unwrap();
        let input = Tensor::full(&context, &[4, 3], 1.0).unwrap();
        let forward = layer.forward(&input, Mode::TRAINING).unwrap();
        context.device().destroy();
        let errors = [
            forward.output.to_vec().map(|_| ()),
            pollster::block_on(forward.output.to_vec_async()).map(|_| ()),
            layer.state().map(|_| ()),
            layer
                .forward(&input, Mode::TRAINING)
                .and_then(|forward| forward.output.to_vec())
                .map(|_| ()),
        ];
        for error in errors {
            assert!(matches!(error, Err(Error::DeviceLost(_))), "{error:?}");
        }
    }
}

/// Runs a test of this binary in another process.
fn run_again(shell: &str, test: &str, variable: (&str, &str)) -> std::process::Output {
    std::process::Command::new("sh")
        .args([
            "-c",
            &format!("{shell} exec \"$0\" --exact \"$1\" --nocapture"),
        ])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(variable.0, variable.1)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap()
}

/// The error says what was tried, what is there and what to install; and a test without a device fails with it.
#[test]
fn no_adapter_is_one_clear_sentence() {
    let variable = ("WGPU_ADAPTER_NAME", "no such adapter");
    let output = run_again("", "errors::wrong_tensors", variable);
    assert!(!output.status.success(), "a test without an adapter passed");
    let text = String::from_utf8_lossy(&output.stderr);
    for part in [
        "no GPU adapter found",
        "no such adapter",
        "mesa-vulkan-drivers",
        &context().adapter_info().name,
    ] {
        assert!(text.contains(part), "{text}\nlacks {part:?}");
    }
}

/// A software device hands out memory that is not there until it is touched, so there the test runs itself again
/// with an address space of `ADDRESS_SPACE`.
#[test]
fn out_of_memory_is_an_error_and_the_context_goes_on() {
    const INNER: &str = "WGPU_NORM_TEST_LITTLE_MEMORY";
    if !context().caps().cpu || std::env::var_os(INNER).is_some() {
        return run_out_of_memory();
    }
    let name = "errors::out_of_memory_is_an_error_and_the_context_goes_on";
    let limit = format!("ulimit -v {} &&", ADDRESS_SPACE / 1024);
    let output = run_again(&limit, name, (INNER, "1"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "{text}");
    print!("{text}");
}

const ADDRESS_SPACE: u64 = 8 << 30;

/// lavapipe after Mesa 22 (seen in 25.0) does not look at what `mmap` answers: a buffer is made even where there is no
/// memory for it, and nobody hears of an error.
fn never_out_of_memory(info: &wgpu::AdapterInfo) -> bool {
    let version = info.driver_info.strip_prefix("Mesa ");
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    info.driver == "llvmpipe" && major.is_some_and(|major| major > 22)
}

fn run_out_of_memory() {
    let context = new_context();
    let most = context
        .caps()
        .max_binding_size
        .min(context.caps().max_buffer_size);
    let elements = usize::try_from(most / 4).unwrap().min(1 << 31);
    if context.adapter_info().backend == wgpu::Backend::Gl {
        println!(
            "not tested: OpenGL drivers take memory when it is touched, and report no lack of it"
        );
        assert!(Tensor::uninit(&context, &[elements]).is_ok());
        return;
    }
    let mut held = Vec::new();
    let error = loop {
        match Tensor::uninit(&context, &[elements]) {
            Ok(tensor) => held.push(tensor),
            Err(error) => break Some(error),
        }
        if held.len() as u64 * most >= ADDRESS_SPACE && never_out_of_memory(context.adapter_info())
        {
            println!(
                "not tested: this driver makes buffers without memory, and reports no lack of it"
            );
            break None;
        }
        assert!(held.len() < 4096, "{} buffers of {most} bytes", held.len());
    };
    if let Some(error) = error {
        let bytes = 4 * elements as u64;
        assert_eq!(error, Error::OutOfMemory { bytes });
    }
    drop(held);
    let report = wgpu_norm::check::norm(&context, LayerNorm::new(&[64]), &[3, 64]).unwrap();
    assert!(report.worst() < crate::common::TOLERANCE);
}
