//! Draws digits, so that the example runs without any file: a bitmap font, bent, moved, thickened and speckled at random.

use rand::{Rng, RngExt};

use crate::{
    data::Labelled,
    idx::{PIXELS, SIDE},
};

const COLUMNS: usize = 5;
const ROWS: usize = 7;

/// 0 to 9; the highest of the five bits is the left column.
const FONT: [[u8; ROWS]; 10] = [
    [
        0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110,
    ],
    [
        0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111,
    ],
    [
        0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110,
    ],
    [
        0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010,
    ],
    [
        0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110,
    ],
    [
        0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b11111, 0b00001, 0b00010, 0b00100, 0b00100, 0b01000, 0b01000,
    ],
    [
        0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100,
    ],
];

/// Draws `count` digits of random classes.
pub(crate) fn draw(count: usize, rng: &mut impl Rng) -> Labelled {
    let mut digits = Labelled::default();
    for _ in 0..count {
        let label = rng.random_range(0..10_u8);
        digits.labels.push(label);
        digits.images.extend(draw_one(label, rng));
    }
    digits
}

fn draw_one(label: u8, rng: &mut impl Rng) -> [u8; PIXELS] {
    // In pixels; like MNIST, where a digit fills about 20 of the 28 rows.
    let height: f32 = rng.random_range(16.0..23.0);
    let width: f32 = rng.random_range(9.0..17.0);
    let centre = SIDE as f32 / 2.0;
    let centre_x = centre + rng.random_range(-2.0..2.0);
    let centre_y = centre + rng.random_range(-2.0..2.0);
    let slant: f32 = rng.random_range(-0.35..0.35);
    // Ink below it is not drawn: the lower, the thicker the stroke.
    let threshold: f32 = rng.random_range(0.2..0.6);
    let noise: f32 = rng.random_range(0.0..0.1);

    std::array::from_fn(|pixel| {
        let x = (pixel % SIDE) as f32 + 0.5 - centre_x;
        let y = (pixel / SIDE) as f32 + 0.5 - centre_y;
        let column = (x + slant * y) / width * COLUMNS as f32 + COLUMNS as f32 / 2.0;
        let row = y / height * ROWS as f32 + ROWS as f32 / 2.0;
        // The factor 3 makes an edge about one pixel wide.
        let stroke = ((ink(label, column, row) - threshold) * 3.0).clamp(0.0, 1.0);
        let speckle = rng.random_range(-noise..=noise);
        ((stroke + speckle).clamp(0.0, 1.0) * 255.0) as u8
    })
}

/// The font between its pixels, whose centres are at 0.5, 1.5, ...: bilinear interpolation.
fn ink(label: u8, column: f32, row: f32) -> f32 {
    let bit = |column: f32, row: f32| {
        let inside = (0.0..COLUMNS as f32).contains(&column) && (0.0..ROWS as f32).contains(&row);
        let set = inside && FONT[usize::from(label)][row as usize] >> (4 - column as u8) & 1 == 1;
        f32::from(u8::from(set))
    };
    let (left, top) = ((column - 0.5).floor(), (row - 0.5).floor());
    let (right_share, bottom_share) = (column - 0.5 - left, row - 0.5 - top);
    let between = |row| bit(left, row) * (1.0 - right_share) + bit(left + 1.0, row) * right_share;
    between(top) * (1.0 - bottom_share) + between(top + 1.0) * bottom_share
}
