//! Batch norm folded into the dense layers at test time: the same outputs from a network without it.

use crate::{
    Result,
    data::Labelled,
    model::Mlp,
    train::{TEST_BATCH, test},
};

/// Bound on [`Folded::difference`].
const TOLERANCE: f64 = 1e-6;

/// A network with batch norm beside the same one with batch norm folded into its dense layers.
#[derive(Debug)]
pub(crate) struct Folded {
    with: f64,
    folded: f64,
    /// The largest difference of two logits of the same image and class, over all test images, relative to the
    /// largest logit of any of them.
    difference: f64,
}

impl Folded {
    /// Folds `model` and compares the two on `images`, whose pixels are multiplied by `scale`.
    pub(crate) fn compare(model: &Mlp, images: &Labelled, scale: f32) -> Result<Self> {
        let folded = model.folded()?;
        let (mut difference, mut largest) = (0.0, 0.0);
        let all: Vec<usize> = (0..images.len()).collect();
        for indices in all.chunks(TEST_BATCH) {
            let (rows, _) = images.batch(indices, scale);
            let want = model.logits(rows.clone())?;
            for (want, got) in want.iter().zip(&folded.logits(rows)?) {
                let (want, got) = (f64::from(*want), f64::from(*got));
                difference = larger(difference, (want - got).abs());
                largest = larger(largest, want.abs());
            }
        }
        Ok(Self {
            with: test(model, images, scale)?,
            folded: test(&folded, images, scale)?,
            difference: difference / largest,
        })
    }

    pub(crate) fn summary(&self) -> String {
        let Self {
            with,
            folded,
            difference,
        } = self;
        format!(
            "with {with:.4} folded {folded:.4}, logits differ by {difference:.1e} of the largest"
        )
    }

    /// Whether the folded network's outputs are the other's, but for rounding.
    pub(crate) fn agrees(&self) -> bool {
        self.difference <= TOLERANCE
    }
}

/// NaN if either is: a diverged network agrees with nothing.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use wgpu_norm::Context;

    use super::*;
    use crate::{digits, model::Init};

    #[test]
    fn a_trained_network_and_its_fold_agree() {
        let context = Context::new().unwrap();
        let mut rng = StdRng::seed_from_u64(3);
        let images = digits::draw(64, &mut rng);
        let mut model = Mlp::new(Some(&context), Init::Glorot, &mut rng).unwrap();
        let (rows, labels) = images.batch(&(0..64).collect::<Vec<_>>(), 1.0 / 255.0);
        for _ in 0..5 {
            model.step(rows.clone(), &labels, 0.1).unwrap();
        }
        let compared = Folded::compare(&model, &images, 1.0 / 255.0).unwrap();
        assert!(compared.agrees(), "{}", compared.summary());
        assert_eq!(compared.with, compared.folded);
        let disagrees = Folded {
            difference: f64::NAN,
            ..compared
        };
        assert!(!disagrees.agrees());
        assert!(larger(larger(1.0, f64::NAN), 2.0).is_nan());
    }
}
