//! Results are the same from run to run, and the comparison notices when they are wrong.

use wgpu_norm::check::{Case, Row, results};
use wgpu_norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm};

use crate::common::{TOLERANCE, by_turns, own_devices};

#[test]
fn repeats_bit_for_bit() {
    let norms: [(Norm, &[usize]); 5] = [
        (BatchNorm::new(5).into(), &[40, 5, 9]),
        (GroupNorm::new(2, 6).into(), &[3, 6, 50]),
        (InstanceNorm::new(3).affine(true).into(), &[4, 3, 50]),
        (LayerNorm::new(&[1001]).into(), &[9, 1001]),
        (RmsNorm::new(&[1001]).into(), &[9, 1001]),
    ];
    let devices = own_devices();
    for (turn, (norm, shape)) in norms.iter().enumerate() {
        for (device, context, strategies) in by_turns(&devices, turn) {
            let repeats = if device == "own" { 100 } else { 5 };
            for strategy in strategies {
                let mut case = Case::random(norm, Mode::TRAINING, shape, 8).unwrap();
                case.strategy = strategy;
                let Ok(first) = results(context, &case) else {
                    continue;
                };
                for _ in 0..repeats {
                    let again = results(context, &case).unwrap();
                    assert_eq!(first, again, "{device} {norm:?} {strategy:?}");
                }
            }
        }
    }
}

/// One element off by as little as matters, one not written, one infinite: each must be seen.
#[test]
fn the_comparison_fails_when_one_element_is_wrong() {
    let norm = LayerNorm::new(&[1000]).into();
    let case = Case::random(&norm, Mode::TRAINING, &[20, 1000], 1).unwrap();
    let context = crate::common::context();
    let output = &results(context, &case).unwrap()["output"];
    let want: Vec<f64> = output.iter().map(|&x| f64::from(x)).collect();
    for wrong in [output[17] + 0.01, f32::NAN, f32::INFINITY] {
        let mut spoiled = output.clone();
        spoiled[17] = wrong;
        let row = Row::new(String::new(), "output", &spoiled, &want, 0.0);
        assert!(row.error > TOLERANCE, "{wrong} passed: {}", row.error);
    }
    let short = Row::new(String::new(), "output", &output[1..], &want, 0.0);
    assert!(short.error.is_infinite());
}

/// A row's result does not depend on how many rows there are, though the text of the kernel does.
#[test]
fn a_row_alone_gives_the_same_bits() {
    let devices = own_devices();
    for (turn, d) in [64, 96, 512, 768, 4096].into_iter().enumerate() {
        let norm = LayerNorm::new(&[d]).into();
        let many = Case::random(&norm, Mode::TRAINING, &[256, d], 3).unwrap();
        let mut few = many.clone();
        few.shape = vec![5, d];
        few.input.truncate(5 * d);
        few.grad_output.truncate(5 * d);
        for (device, context, _) in by_turns(&devices, turn) {
            let [many, few] = [&many, &few].map(|case| results(context, case).unwrap());
            for name in ["output", "grad_input"] {
                assert_eq!(many[name][..5 * d], few[name], "{device}: {name} of {d}");
            }
        }
    }
}
