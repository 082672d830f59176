//! The four comparisons, and the training loop that they share.

use indicatif::{ProgressBar, ProgressStyle};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use wgpu_norm::Context;

use crate::{
    Result,
    data::{Data, Labelled},
    model::{Init, Mlp},
    observe::Watch,
};

/// Test images that pass through the network at once.
pub(crate) const TEST_BATCH: usize = 1000;
/// Points of the chart per epoch.
const TESTS_PER_EPOCH: usize = 4;

/// What the slides vary.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) title: &'static str,
    learning_rate: f32,
    batch_size: usize,
    init: Init,
    /// Factor of the pixels, which are 0 to 255.
    pub(crate) scale: f32,
}

const FIRST: Comparison = Comparison {
    title: "learning rate 0.01, batch 128, Glorot weights",
    learning_rate: 0.01,
    batch_size: 128,
    init: Init::Glorot,
    scale: 1.0 / 255.0,
};

/// 1 to 4 of the slides; 3 and 4 change one thing of the first.
pub(crate) const COMPARISONS: [Comparison; 4] = [
    FIRST,
    Comparison {
        title: "learning rate 1, batch 1024",
        learning_rate: 1.0,
        batch_size: 1024,
        ..FIRST
    },
    Comparison {
        title: "weights from U(-5, 5)",
        init: Init::Uniform(5.0),
        ..FIRST
    },
    Comparison {
        title: "pixels not divided by 255",
        scale: 1.0,
        ..FIRST
    },
];

/// Test accuracy against steps.
#[derive(Debug)]
pub(crate) struct Curve(pub(crate) Vec<(usize, f64)>);

impl Curve {
    pub(crate) fn last_accuracy(&self) -> f64 {
        self.0.last().map_or(f64::NAN, |&(_, accuracy)| accuracy)
    }
}

/// One training from the first weights to the last epoch.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) name: String,
    pub(crate) comparison: &'a Comparison,
    /// Where batch norm runs, if it does.
    pub(crate) batch_norm: Option<&'a Context>,
    pub(crate) epochs: u32,
    pub(crate) seed: u64,
}

impl Run<'_> {
    /// Test accuracy along the way, and the trained network.
    /// `watch` sees some of the steps.
    pub(crate) fn train(&self, data: &Data, mut watch: Option<&mut Watch>) -> Result<(Curve, Mlp)> {
        let Comparison {
            learning_rate,
            batch_size,
            init,
            scale,
            ..
        } = *self.comparison;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut model = Mlp::new(self.batch_norm, init, &mut rng)?;
        let mut order: Vec<usize> = (0..data.train.len()).collect();
        let steps_per_epoch = batches(&order, batch_size).count();
        let progress = self.progress_bar(steps_per_epoch);
        let test_every = steps_per_epoch.div_ceil(TESTS_PER_EPOCH);
        let mut curve = Curve(vec![(0, test(&model, &data.test, scale)?)]);

        for epoch in 0..self.epochs as usize {
            order.shuffle(&mut rng);
            for (step, indices) in (1..).zip(batches(&order, batch_size)) {
                let (images, labels) = data.train.batch(indices, scale);
                let number = epoch * steps_per_epoch + step;
                let loss = match &mut watch {
                    // Gradients of a shorter batch, the last one of an epoch, are larger.
                    Some(watch)
                        if labels.len() == batch_size.min(order.len())
                            && watch.wants(number, self.epochs as usize * steps_per_epoch) =>
                    {
                        watch.begin(number);
                        let mut seen = |what, values: &_| watch.see(what, values);
                        model.step_watched(images, &labels, learning_rate, &mut seen)?
                    }
                    _ => model.step(images, &labels, learning_rate)?,
                };
                if step % test_every == 0 || step == steps_per_epoch {
                    let accuracy = test(&model, &data.test, scale)?;
                    curve.0.push((number, accuracy));
                }
                progress.set_message(format!(
                    "loss {loss:.4}, accuracy {:.4}",
                    curve.last_accuracy()
                ));
                progress.inc(1);
            }
        }
        progress.finish();
        Ok((curve, model))
    }

    fn progress_bar(&self, steps_per_epoch: usize) -> ProgressBar {
        let variant = match self.batch_norm {
            None => "without",
            Some(_) => "with",
        };
        let style = ProgressStyle::with_template("{prefix:21} [{bar:30}] step {pos}/{len} {msg}");
        ProgressBar::new(u64::from(self.epochs) * steps_per_epoch as u64)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_prefix(format!("{} {variant}", self.name))
    }
}

/// The batches of an epoch, the last one shorter if need be. A single sample left over is skipped: it has no variance.
fn batches(order: &[usize], batch_size: usize) -> impl Iterator<Item = &[usize]> {
    order.chunks(batch_size).filter(|batch| batch.len() > 1)
}

/// The share of test images that are recognized.
pub(crate) fn test(model: &Mlp, images: &Labelled, scale: f32) -> Result<f64> {
    let all: Vec<usize> = (0..images.len()).collect();
    let mut right = 0;
    for indices in all.chunks(TEST_BATCH) {
        let (rows, labels) = images.batch(indices, scale);
        let classes = model.predict(rows)?;
        right += classes.iter().zip(&labels).filter(|(a, b)| a == b).count();
    }
    Ok(right as f64 / images.len() as f64)
}
