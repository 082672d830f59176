use proptest::collection::vec;
use proptest::prelude::*;
use wgpu_norm::fold::{Layout, ScaleShift};

/// Sizes, strides and axes: mostly such as fit, and some that no memory holds.
fn number() -> impl Strategy<Value = usize> {
    prop_oneof![
        20 => 0..5_usize,
        4 => 5..40_usize,
        1 => prop_oneof![Just(usize::MAX), Just(usize::MAX / 2 + 1), Just(1 << 32)],
    ]
}

/// Their number, or one over any memory.
fn elements(shape: &[usize]) -> usize {
    let product = shape.iter().copied().fold(1, usize::saturating_mul);
    if shape.contains(&0) { 0 } else { product }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// Whatever the numbers: an error, or every element that the layout names multiplied once, and no other.
    #[test]
    fn strides_of_any_kind(
        dimensions in vec((number(), number()), 0..5),
        lost_strides in prop_oneof![9 => Just(0), 1 => 0..5_usize],
        axis in number(),
        groups in proptest::option::of((number(), number())),
        length in 0..100_usize,
    ) {
        let (shape, mut strides): (Vec<usize>, Vec<usize>) = dimensions.into_iter().unzip();
        strides.truncate(strides.len().saturating_sub(lost_strides));
        let channels = shape.get(axis).map_or(2, |size| size.saturating_mul(groups.map_or(1, |g| g.1)));
        let channels = channels.min(50);
        let var: Vec<f32> = (0..channels).map(|c| 1.0 / ((c + 2) as f32).powi(2)).collect();
        let fold = ScaleShift::new(&vec![0.0; channels], &var, 0.0, None, None).unwrap();
        let mut layout = Layout::strided(&shape, &strides, axis);
        if let Some((axis, groups)) = groups {
            layout = layout.groups(axis, groups);
        }
        let weight: Vec<f32> = (1..=length).map(|k| k as f32).collect();
        let Ok(folded) = fold.fold_weight(&weight, &layout) else { return Ok(()) };
        let mut want = weight;
        let count = elements(&shape);
        for flat in 0..count {
            let (mut rest, mut at, mut index) = (flat, 0, vec![0; shape.len()]);
            for k in (0..shape.len()).rev() {
                index[k] = rest % shape[k];
                rest /= shape[k];
                at += index[k] * strides[k];
            }
            let group = groups.map_or(0, |(axis, groups)| index[axis] * groups / shape[axis]);
            want[at] *= (group * shape[axis] + index[axis] + 2) as f32;
        }
        for (got, want) in folded.iter().zip(&want) {
            prop_assert!((got - want).abs() <= want * 1e-6, "{folded:?}, not {want:?}");
        }
        prop_assert_eq!(folded.len(), want.len());
    }

    /// Shapes alone: contiguous, of any product.
    #[test]
    fn shapes_of_any_kind(shape in vec(number(), 0..6), axis in number(), length in 0..100_usize) {
        let fold = ScaleShift::new(&[0.0; 2], &[1.0; 2], 0.0, None, None).unwrap();
        let folded = fold.fold_weight(&vec![1.0; length], &Layout::new(&shape, axis));
        prop_assert!(folded.is_err() || elements(&shape) == length);
    }
}
