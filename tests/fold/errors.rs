use wgpu_norm::fold::{Layout, ScaleShift};
use wgpu_norm::{BatchNorm, Error, LayerNorm, State};

fn two_channels() -> ScaleShift {
    ScaleShift::new(&[0.0; 2], &[1.0; 2], 0.0, None, None).unwrap()
}

#[track_caller]
fn assert_says<T: std::fmt::Debug>(result: Result<T, Error>, text: &str) {
    let message = result.unwrap_err().to_string();
    assert!(message.contains(text), "{message:?} without {text:?}");
}

#[test]
fn of_parameters() {
    let new =
        |var: &[f32], eps, weight: &[f32]| ScaleShift::new(&[0.0; 2], var, eps, Some(weight), None);
    let var = [1.0; 2];
    assert_says(new(&var, -1.0, &var), "eps must be at least 0, got -1");
    assert_says(new(&var, f64::NAN, &var), "got NaN");
    assert_says(
        new(&[1.0, -0.5], 1e-5, &var),
        "running_var must be at least 0, got -0.5",
    );
    assert_says(new(&[1.0, f32::NAN], 1e-5, &var), "got NaN");
    assert_says(
        new(&[1.0], 1e-5, &var),
        "running_var: expected shape [2], got [1]",
    );
    assert_says(
        new(&var, 1e-5, &[1.0; 3]),
        "weight: expected shape [2], got [3]",
    );
}

#[test]
fn of_states() {
    let full = State {
        running_mean: Some(vec![0.0; 2]),
        running_var: Some(vec![1.0; 2]),
        ..State::default()
    };
    let norm = BatchNorm::new(2).affine(false);
    assert!(ScaleShift::from_state(&norm.into(), &full).is_ok());
    for norm in [
        norm.track_running_stats(false).into(),
        LayerNorm::new(&[2]).into(),
    ] {
        let result = ScaleShift::from_state(&norm, &full);
        assert!(matches!(result, Err(Error::Missing("running_mean", _))));
    }
    let half = State {
        running_var: None,
        ..full.clone()
    };
    let result = ScaleShift::from_state(&norm.into(), &half);
    assert!(matches!(result, Err(Error::Missing("running_var", _))));
    let result = ScaleShift::from_state(&norm.bias(true).into(), &full);
    assert!(matches!(result, Err(Error::Missing("bias", _))));
    let weighted = State {
        weight: Some(vec![1.0; 2]),
        ..full.clone()
    };
    let result = ScaleShift::from_state(&norm.into(), &weighted);
    assert!(matches!(result, Err(Error::Unexpected("weight", _))));
    let result = ScaleShift::from_state(&BatchNorm::new(3).affine(false).into(), &full);
    assert_says(result, "running_mean: expected shape [3], got [2]");
}

#[test]
fn of_layouts() {
    let fold =
        |length: usize, layout: Layout| two_channels().fold_weight(&vec![1.0; length], &layout);
    assert_says(
        fold(6, Layout::new(&[3, 2], 0)),
        "expected 2 channels in dimension 0, got 3",
    );
    assert_says(fold(7, Layout::new(&[3, 2], 1)), "has 6 elements, got 7");
    assert_says(fold(6, Layout::new(&[3, 2], 2)), "is 2, but the rank is 2");
    assert_says(fold(1, Layout::new(&[], 0)), "but the rank is 0");
    let grouped = |axis, groups| fold(6, Layout::new(&[6, 1], 1).groups(axis, groups));
    assert!(grouped(0, 2).is_ok());
    assert_says(grouped(0, 4), "6 channels cannot be divided into 4 groups");
    assert_says(grouped(0, 0), "into 0 groups");
    assert_says(grouped(5, 2), "the axis of the groups is 5");
    assert_says(
        grouped(1, 1),
        "another one than that of the output channels",
    );
    assert_says(grouped(0, 3), "expected 2 channels in dimension 1, got 3");

    let strided = |strides: &[usize]| fold(6, Layout::strided(&[2, 3], strides, 0));
    assert!(strided(&[3, 1]).is_ok() && strided(&[1, 2]).is_ok());
    assert_says(strided(&[3]), "1 strides for 2 dimensions");
    assert_says(strided(&[4, 1]), "the last element is at 6 of 6");
    assert_says(strided(&[usize::MAX, usize::MAX]), "of 6");
    assert_says(strided(&[2, 1]), "two elements overlap at 2 of 6");
    assert_says(
        fold(2, Layout::strided(&[2, 1 << 40], &[1, 0], 0)),
        "elements in 2 places overlap",
    );
}

#[test]
fn of_values() {
    let large = ScaleShift::new(&[0.0], &[0.0], 1e-12, None, None).unwrap();
    let result = large.fold_weight(&[1e35], &Layout::new(&[1], 0));
    assert_says(result, "the folded weight must be within f32");
    assert_says(
        large.fold_bias(Some(&[1e35])),
        "the folded bias must be within f32",
    );
    assert_says(
        two_channels().fold_bias(Some(&[1.0])),
        "has 2 elements, got 1",
    );
    // What is not finite before passes through.
    let layout = Layout::new(&[2], 0);
    let folded = two_channels()
        .fold_weight(&[f32::NAN, f32::INFINITY], &layout)
        .unwrap();
    assert!(folded[0].is_nan() && folded[1] == f32::INFINITY);
}
