//! Images and labels for training and for testing.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    Result, digits,
    idx::{self, PIXELS},
};

/// Images with their labels.
#[derive(Debug, Default)]
pub(crate) struct Labelled {
    /// [`PIXELS`] bytes per image.
    pub(crate) images: Vec<u8>,
    /// 0 to 9.
    pub(crate) labels: Vec<u8>,
}

impl Labelled {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The images of these indices as rows, every pixel times `scale`, and their labels.
    pub(crate) fn batch(&self, indices: &[usize], scale: f32) -> (Array2<f32>, Vec<u8>) {
        let mut rows = Array2::zeros((indices.len(), PIXELS));
        for (mut row, &index) in rows.outer_iter_mut().zip(indices) {
            let image = &self.images[index * PIXELS..][..PIXELS];
            for (value, &pixel) in row.iter_mut().zip(image) {
                *value = f32::from(pixel) * scale;
            }
        }
        (rows, indices.iter().map(|&i| self.labels[i]).collect())
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self {
            images: self.images.split_off(at * PIXELS),
            labels: self.labels.split_off(at),
        }
    }
}

/// What a run needs: images to learn from, and others to be tested with.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) train: Labelled,
    pub(crate) test: Labelled,
}

impl Data {
    /// Draws 8,000 training and 2,000 test images: as many as the test files of MNIST give.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            train: digits::draw(8_000, &mut rng),
            test: digits::draw(2_000, &mut rng),
        }
    }

    /// Reads the training and test files of a folder. Where there are only test files (`t10k-...`), their first four fifths
    /// are for training and the rest for testing.
    pub(crate) fn load(directory: &Path) -> Result<Self> {
        let has_training_files = find(directory, "train-images", 3).is_some()
            || find(directory, "train-labels", 1).is_some();
        let mut test = load_pair(directory, "t10k")?;
        let data = if has_training_files {
            let train = load_pair(directory, "train")?;
            Self { train, test }
        } else {
            let rest = test.split_off(test.len() / 5 * 4);
            Self {
                train: test,
                test: rest,
            }
        };
        // Batch norm needs two samples to take a variance of.
        if data.train.len() < 2 || data.test.len() == 0 {
            return Err(format!("{}: too few images to train with", directory.display()).into());
        }
        Ok(data)
    }
}

/// Reads the images and labels whose names begin with `set`.
fn load_pair(directory: &Path, set: &str) -> Result<Labelled> {
    let path = |kind: &str, dimensions| {
        let stem = format!("{set}-{kind}");
        find(directory, &stem, dimensions).ok_or_else(|| {
            format!(
                "{}: no such file, nor with the ending .gz",
                directory
                    .join(format!("{stem}-idx{dimensions}-ubyte"))
                    .display()
            )
        })
    };
    let (images_path, labels_path) = (path("images", 3)?, path("labels", 1)?);
    let images = idx::read_images(&images_path)?;
    let labels = idx::read_labels(&labels_path)?;
    if images.len() != labels.len() * PIXELS {
        return Err(format!(
            "{} has {} images, but {} has {} labels",
            images_path.display(),
            images.len() / PIXELS,
            labels_path.display(),
            labels.len()
        )
        .into());
    }
    Ok(Labelled { images, labels })
}

/// The file of this stem under one of the names in use: `-idx3-ubyte` or `.idx3-ubyte`, plain or gzipped.
fn find(directory: &Path, stem: &str, dimensions: u32) -> Option<PathBuf> {
    ["-", "."]
        .iter()
        .flat_map(|separator| ["", ".gz"].map(|ending| (separator, ending)))
        .map(|(separator, ending)| {
            directory.join(format!("{stem}{separator}idx{dimensions}-ubyte{ending}"))
        })
        .find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::*;

    /// What `load` says of a folder with these files, each of so many images or labels.
    fn load(test: &str, files: &[(&str, u32)]) -> Result<Data> {
        let directory = env::temp_dir().join(format!("wgpu-norm-{test}-{}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        for &(name, count) in files {
            let (header, size) = if name.contains("images") {
                (vec![0x0803, count, 28, 28], count as usize * PIXELS)
            } else {
                (vec![0x0801, count], count as usize)
            };
            let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
            bytes.resize(bytes.len() + size, 7);
            fs::write(directory.join(name), bytes).unwrap();
        }
        let data = Data::load(&directory);
        fs::remove_dir_all(&directory).unwrap();
        data
    }

    #[track_caller]
    fn assert_rejected(data: Result<Data>, parts: &[&str]) {
        let message = data.unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }

    const T10K: [(&str, u32); 2] = [
        ("t10k-images-idx3-ubyte", 10),
        ("t10k-labels.idx1-ubyte", 10),
    ];

    #[test]
    fn test_files_alone_are_split() {
        let data = load("split", &T10K).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (8, 2));
        assert_eq!(data.train.images.len(), 8 * PIXELS);
    }

    #[test]
    fn training_files_are_used() {
        let train = [
            ("train-images.idx3-ubyte", 30),
            ("train-labels-idx1-ubyte", 30),
        ];
        let data = load("train", &[train, T10K].concat()).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (30, 10));
    }

    #[test]
    fn missing_and_unequal_files_are_named() {
        assert_rejected(load("none", &[]), &["t10k-images-idx3-ubyte"]);
        assert_rejected(load("no-labels", &T10K[..1]), &["t10k-labels-idx1-ubyte"]);
        let half = [("train-images-idx3-ubyte", 3)];
        assert_rejected(
            load("half", &[&half[..], &T10K].concat()),
            &["train-labels-idx1-ubyte"],
        );
        let unequal = [T10K[0], ("t10k-labels-idx1-ubyte", 9)];
        assert_rejected(
            load("unequal", &unequal),
            &["10 images", "9 labels", "t10k-images"],
        );
        let single = [("t10k-images-idx3-ubyte", 1), ("t10k-labels-idx1-ubyte", 1)];
        assert_rejected(load("single", &single), &["too few images"]);
    }
}
