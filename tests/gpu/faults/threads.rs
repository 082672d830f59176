//! Eight threads on one context: every result is, bit for bit, the one that a single thread gets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wgpu_norm::check::{Case, results};
use wgpu_norm::{
    BatchNorm, Context, GroupNorm, InstanceNorm, Layer, LayerNorm, Mode, Norm, RmsNorm, Tensor,
};

use super::{new_context, within};

const THREADS: usize = 8;

fn cases() -> Vec<Case> {
    let instance = InstanceNorm::new(3).affine(true);
    let norms: [(Norm, &[usize]); 10] = [
        (BatchNorm::new(3).into(), &[4, 3, 7]),
        (BatchNorm::new(5).into(), &[2049, 5]), // a split: scratch memory
        (BatchNorm::new(2).momentum(None).into(), &[2, 2, 16, 16]),
        (instance.into(), &[2, 3, 20]),
        (instance.track_running_stats(true).into(), &[3, 3, 33]),
        (GroupNorm::new(2, 6).into(), &[3, 6, 5]),
        (GroupNorm::new(1, 6).into(), &[2, 6, 700]), // looped
        (LayerNorm::new(&[65]).into(), &[9, 65]),
        (LayerNorm::new(&[4, 5]).bias(false).into(), &[300, 4, 5]),
        (RmsNorm::new(&[1000]).into(), &[3, 1000]),
    ];
    let mut cases = Vec::new();
    for (seed, (norm, shape)) in norms.iter().enumerate() {
        for mode in [Mode::TRAINING, Mode::EVAL] {
            cases.push(Case::random(norm, mode, shape, seed as u64).unwrap());
        }
    }
    cases
}

/// 5 s, or as many as the variable says.
fn duration() -> Duration {
    let seconds = std::env::var("WGPU_NORM_TEST_SECONDS");
    let seconds = seconds.map_or(5, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// A layer that all threads share, with what one step of it gives.
struct Shared<'a> {
    layer: Layer,
    case: &'a Case,
    want: Vec<Vec<f32>>,
    steps: AtomicU64,
}

impl<'a> Shared<'a> {
    fn new(context: &Context, case: &'a Case) -> Self {
        Self {
            layer: Layer::new(context, case.norm.clone()).unwrap(),
            case,
            want: Vec::new(),
            steps: AtomicU64::new(0),
        }
    }

    /// Forward and backward in training, in tensors of the step's own.
    fn step(&self) -> Vec<Vec<f32>> {
        let tensor = |values: &[f32]| {
            Tensor::from_slice(self.layer.context(), values, &self.case.shape).unwrap()
        };
        let (input, grad_output) = (tensor(&self.case.input), tensor(&self.case.grad_output));
        let forward = self.layer.forward(&input, Mode::TRAINING).unwrap();
        self.steps.fetch_add(1, Relaxed);
        let gradients = self.layer.backward(&forward.saved, &grad_output).unwrap();
        let mut all = vec![forward.output, gradients.grad_input];
        all.extend(gradients.grad_weight);
        all.extend(gradients.grad_bias);
        all.iter().map(|tensor| tensor.to_vec().unwrap()).collect()
    }
}

#[test]
fn eight_threads_get_what_one_gets() {
    let cases = cases();
    let alone = crate::common::context();
    let serial: Vec<_> = cases
        .iter()
        .map(|case| results(alone, case).unwrap())
        .collect();
    let training = cases.iter().filter(|case| case.mode == Mode::TRAINING);
    // A context without pipelines: the threads compile them, at the same time.
    let context = new_context();
    let layers: Vec<_> = training
        .map(|case| Shared {
            want: Shared::new(alone, case).step(),
            ..Shared::new(&context, case)
        })
        .collect();
    let end = Instant::now() + duration();
    let passes = AtomicU64::new(0);
    let work = &|thread: usize| {
        // Strides without a common factor with 20 cases: threads meet in ever other pairs.
        for k in (thread..).step_by([1, 3, 7, 9][thread % 4]) {
            let index = k % cases.len();
            let got = results(&context, &cases[index]).unwrap();
            assert!(got == serial[index], "{:?}", cases[index].norm);
            let shared = &layers[k % layers.len()];
            assert!(shared.step() == shared.want, "{:?}", shared.case.norm);
            passes.fetch_add(1, Relaxed);
            if Instant::now() > end {
                break;
            }
        }
    };
    within(duration().as_secs() + 120, "eight threads", || {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || work(thread));
            }
        });
    });
    for shared in &layers {
        if let Some(batches) = shared.layer.num_batches_tracked().unwrap() {
            assert_eq!(batches, shared.steps.load(Relaxed), "an update was lost");
        }
    }
    println!("{} passes", passes.load(Relaxed));
}
