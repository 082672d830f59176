//! Reads the IDX files of MNIST, plain or gzipped.
//!
//! A file is a big-endian header (magic number, then one u32 per dimension) and the values, one byte each.
//! Nothing in it is trusted: memory grows with the bytes that are really there, never with a count of the header.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use flate2::bufread::GzDecoder;

use crate::Result;

/// Width and height of an image.
pub(crate) const SIDE: usize = 28;
/// Pixels of an image.
pub(crate) const PIXELS: usize = SIDE * SIDE;

/// Unsigned bytes (0x08) in three dimensions: images, rows, columns.
const IMAGES: u32 = 0x0000_0803;
/// Unsigned bytes in one dimension.
const LABELS: u32 = 0x0000_0801;
/// More than any data set in this format has (EMNIST: 814,255). A gzipped file of 1 MB can unpack to 1 GB of zeros.
const MAX_ITEMS: u32 = 1_000_000;

/// The pixels of all images of a file, [`PIXELS`] bytes each.
pub(crate) fn read_images(path: &Path) -> Result<Vec<u8>> {
    read_file(path, IMAGES, &[SIDE, SIDE])
}

/// The labels of a file, each 0 to 9.
pub(crate) fn read_labels(path: &Path) -> Result<Vec<u8>> {
    let labels = read_file(path, LABELS, &[])?;
    match labels.iter().position(|&label| label > 9) {
        None => Ok(labels),
        Some(at) => Err(format!("{}: label {at} is {}, over 9", path.display(), labels[at]).into()),
    }
}

fn read_file(path: &Path, magic: u32, item: &[usize]) -> Result<Vec<u8>> {
    let bytes = match File::open(path) {
        Ok(file) => read(file, magic, item),
        Err(error) => Err(error.into()),
    };
    bytes.map_err(|error| format!("{}: {error}", path.display()).into())
}

/// The values after the header, if the header has this magic number and items of this shape.
fn read(file: impl Read, magic: u32, item: &[usize]) -> Result<Vec<u8>> {
    let mut file = BufReader::new(file);
    // By content, not by name: browsers unpack such files and keep the name, and no IDX file begins with these bytes.
    let gzipped = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    if gzipped {
        read_plain(GzDecoder::new(file), magic, item)
    } else {
        read_plain(file, magic, item)
    }
}

fn read_plain(mut file: impl Read, magic: u32, item: &[usize]) -> Result<Vec<u8>> {
    let found = read_u32(&mut file)?;
    if found != magic {
        return Err(format!("magic number {found:#010x} instead of {magic:#010x}").into());
    }
    let count = read_u32(&mut file)?;
    if count > MAX_ITEMS {
        return Err(
            format!("announces {count} items, over the {MAX_ITEMS} that are accepted").into(),
        );
    }
    for &expected in item {
        let size = read_u32(&mut file)?;
        if size as usize != expected {
            return Err(
                format!("images with a side of {size} pixels instead of {expected}").into(),
            );
        }
    }

    let expected = u64::from(count) * item.iter().product::<usize>() as u64;
    let mut values = Vec::new();
    // One byte more than announced, to notice a file that goes on, and for gzip to reach its checksum.
    file.take(expected + 1)
        .read_to_end(&mut values)
        .map_err(|error| format!("truncated or damaged: {error}"))?;
    let length = values.len() as u64;
    if length < expected {
        return Err(format!("truncated: {length} values where {expected} are announced").into());
    }
    if length > expected {
        return Err(format!("goes on after the {expected} values that are announced").into());
    }
    Ok(values)
}

fn read_u32(file: &mut impl Read) -> Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)
        .map_err(|error| format!("truncated or damaged header: {error}"))?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Write, repeat},
    };

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn header(magic: u32, sizes: &[u32]) -> Vec<u8> {
        let words = [&[magic], sizes].concat();
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn images(count: u32) -> Vec<u8> {
        let pixels = (0..count as usize * PIXELS).map(|i| (i % 251) as u8);
        header(IMAGES, &[count, 28, 28])
            .into_iter()
            .chain(pixels)
            .collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_as_images(file: &[u8]) -> Result<Vec<u8>> {
        read(file, IMAGES, &[SIDE, SIDE])
    }

    #[track_caller]
    fn assert_rejected(file: &[u8], reason: &str) {
        let message = read_as_images(file).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }

    #[test]
    fn reads_plain_and_gzipped() {
        let file = images(3);
        assert_eq!(read_as_images(&file).unwrap(), &file[16..]);
        assert_eq!(read_as_images(&gzip(&file)).unwrap(), &file[16..]);
    }

    #[test]
    fn rejects_every_truncation() {
        let plain = images(1);
        let gzipped = gzip(&plain);
        for length in 0..plain.len() {
            assert_rejected(&plain[..length], "truncated");
        }
        for length in 0..gzipped.len() {
            assert_rejected(&gzipped[..length], "");
        }
    }

    #[test]
    fn rejects_a_wrong_checksum() {
        let mut file = gzip(&images(1));
        let checksum = file.len() - 8;
        file[checksum] ^= 1;
        assert_rejected(&file, "damaged");
    }

    #[test]
    fn rejects_trailing_bytes() {
        let mut file = images(2);
        file.push(0);
        assert_rejected(&file, "goes on");
        assert_rejected(&gzip(&file), "goes on");
    }

    #[test]
    fn rejects_other_files() {
        assert_rejected(&header(LABELS, &[0]), "magic number 0x00000801");
        assert_rejected(b"<!DOCTYPE html>", "magic number 0x3c21444f");
        assert_rejected(&header(IMAGES, &[0, 32, 28]), "32 pixels");
        assert_rejected(&header(IMAGES, &[0, 28, 0]), "0 pixels");
    }

    #[test]
    fn rejects_hostile_counts_without_allocating_for_them() {
        assert_rejected(&header(IMAGES, &[u32::MAX, 28, 28]), "4294967295 items");
        assert_rejected(&header(IMAGES, &[u32::MAX; 3]), "4294967295 items");
        assert_rejected(&header(IMAGES, &[MAX_ITEMS, 28, 28]), "0 values");
        // Zeros without end behind a small count: read only as far as the count goes.
        let endless = header(IMAGES, &[2, 28, 28]);
        let message = read(endless.as_slice().chain(repeat(0)), IMAGES, &[SIDE, SIDE]).unwrap_err();
        assert!(message.to_string().contains("goes on after the 1568"));
    }

    #[test]
    fn names_the_file_and_the_label_over_9() {
        let path = std::env::temp_dir().join(format!("wgpu-norm-labels-{}", std::process::id()));
        fs::write(&path, [header(LABELS, &[3]), vec![0, 9, 10]].concat()).unwrap();
        let message = read_labels(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert_eq!(
            message,
            format!("{}: label 2 is 10, over 9", path.display())
        );
        let message = read_labels(&path).unwrap_err().to_string();
        assert!(
            message.starts_with(&path.display().to_string()),
            "{message}"
        );
    }
}
