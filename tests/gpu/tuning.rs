//! Autotuning: what it chooses is used, kept in text, refused by other devices, and computes the same.

use wgpu_norm::check::{self, Case};
use wgpu_norm::{
    BatchNorm, Candidate, Caps, Context, Error, GroupNorm, InstanceNorm, Layer, LayerNorm, Mode,
    Norm, Plan, RmsNorm, Strategy, Tuning,
};

use crate::common::{TOLERANCE, new_context};

fn norms() -> [(Norm, Vec<usize>); 5] {
    [
        (BatchNorm::new(3).into(), vec![4, 3, 20, 20]),
        (InstanceNorm::new(3).affine(true).into(), vec![2, 3, 300]),
        (GroupNorm::new(2, 4).into(), vec![3, 4, 12]),
        (LayerNorm::new(&[96]).into(), vec![50, 96]),
        (RmsNorm::new(&[5, 64]).into(), vec![7, 5, 64]),
    ]
}

fn tuning_of(context: &Context, norm: &Norm, shape: &[usize], mode: Mode) -> Tuning {
    let plan = Plan::new(context, norm.clone(), shape, mode).unwrap();
    plan.tuning()
}

fn right(context: &Context, norm: &Norm, shape: &[usize], mode: Mode) {
    let case = Case::random(norm, mode, shape, 3).unwrap();
    let report = check::run(context, &case).unwrap();
    assert!(report.worst() < TOLERANCE, "{report}");
}

#[test]
fn the_choice_is_used_and_right_and_round_trips() {
    let context = new_context();
    let clone = context.clone();
    for (norm, shape) in norms() {
        for mode in [Mode::TRAINING, Mode::EVAL] {
            assert_eq!(tuning_of(&context, &norm, &shape, mode), Tuning::default());
            let tuned = context.autotune(norm.clone(), &shape, mode).unwrap();
            print!("{} {shape:?}\n{tuned}", norm.name());
            for times in [&tuned.forward, &tuned.backward] {
                assert_eq!(times[0].0, Candidate::default());
                assert!(times.iter().all(|(_, time)| !time.is_zero()), "{tuned}");
            }
            assert_eq!(tuning_of(&clone, &norm, &shape, mode), tuned.tuning);
            right(&clone, &norm, &shape, mode);
        }
    }
    let text = context.export_tunings();
    let other = new_context();
    assert_eq!(other.import_tunings(&text).unwrap(), 10);
    assert_eq!(other.export_tunings(), text);
    context.forget_tunings();
    assert_eq!(
        context.import_tunings(&context.export_tunings()).unwrap(),
        0
    );
}

/// An export with one problem.
fn exported(context: &Context, norm: &Norm, shape: &[usize]) -> (String, String) {
    context
        .autotune(norm.clone(), shape, Mode::TRAINING)
        .unwrap();
    let text = context.export_tunings();
    let (lines, choice) = text.trim_end().rsplit_once('\n').unwrap();
    let key = choice.split_once(" = ").unwrap().0;
    (lines.to_owned(), key.to_owned())
}

/// Whatever is imported is used, by plans and layers, for forward and backward separately; not with another shape or mode,
/// but with another eps; and what cannot be carried is not used.
#[test]
fn every_choice_is_used() {
    let context = new_context();
    let (norm, shape) = (LayerNorm::new(&[2000]), [7, 2000]);
    let (lines, key) = exported(&context, &norm.clone().into(), &shape);
    let names = ["ladder", "resident", "looped", "split"];
    let strategies = [
        None,
        Some(Strategy::Resident),
        Some(Strategy::Looped),
        Some(Strategy::Split),
    ];
    let mut used = 0;
    for (forward, forward_name) in strategies.into_iter().zip(names) {
        for (backward, backward_name) in strategies.into_iter().zip(names) {
            let text = format!("{lines}\n{key} = {forward_name} {backward_name}\n");
            assert_eq!(context.import_tunings(&text).unwrap(), 1);
            let tuning = tuning_of(&context, &norm.clone().into(), &shape, Mode::TRAINING);
            let wanted = (forward, backward);
            let got = (tuning.forward.strategy, tuning.backward.strategy);
            assert!(got == wanted || got == (None, None), "{wanted:?}: {got:?}");
            used += usize::from(got == wanted);
            right(&context, &norm.clone().into(), &shape, Mode::TRAINING);
            let layer = Layer::new(&context, norm.clone()).unwrap();
            assert_eq!(layer.plan(&shape, Mode::TRAINING).unwrap().tuning(), tuning);
            let other_eps: Norm = norm.clone().eps(0.1).into();
            assert_eq!(
                tuning_of(&context, &other_eps, &shape, Mode::TRAINING),
                tuning
            );
            let without_bias: Norm = norm.clone().bias(false).into();
            for (norm, shape, mode) in [
                (&other_eps, [8, 2000], Mode::TRAINING),
                (&other_eps, shape, Mode::EVAL),
                (&without_bias, shape, Mode::TRAINING),
            ] {
                assert_eq!(tuning_of(&context, norm, &shape, mode), Tuning::default());
            }
        }
    }
    assert!(
        used >= 9,
        "ladder, looped and split carry every group: {used}"
    );
}

/// Of another device, driver or version of the crate: every line of the head counts.
#[test]
fn foreign_tunings_are_refused() {
    let context = new_context();
    let (lines, key) = exported(&context, &LayerNorm::new(&[8]).into(), &[2, 8]);
    let text = format!("{lines}\n{key} = split split\n");
    context.forget_tunings();
    let head: Vec<&str> = lines.lines().collect();
    assert_eq!(head.len(), 6);
    for (index, line) in head.iter().enumerate() {
        let error = context
            .import_tunings(&text.replacen(line, &format!("{line}0"), 1))
            .unwrap_err();
        match error {
            Error::ForeignTunings { expected, got, .. } => assert_eq!(format!("{expected}0"), got),
            Error::Tunings { line, .. } => assert_eq!((index, line), (0, 1)),
            error => panic!("{error}"),
        }
    }
    let few = Caps {
        max_workgroups_per_dimension: 1000,
        ..*context.caps()
    };
    let weaker = context.with_caps(few).unwrap();
    let error = weaker.import_tunings(&text).unwrap_err();
    assert!(
        matches!(
            error,
            Error::ForeignTunings {
                what: "capabilities",
                ..
            }
        ),
        "{error}"
    );
    let empty = context.export_tunings();
    assert_eq!(empty.trim_end(), lines, "nothing was taken");
}

/// Any text is either taken or an `Err`, and then nothing is taken.
#[test]
fn hostile_text_is_an_error() {
    let context = new_context();
    let (lines, key) = exported(&context, &LayerNorm::new(&[8]).into(), &[2, 8]);
    context.forget_tunings();
    let long = "x".repeat(1 << 20);
    for bad in [
        String::new(),
        "\n\n\n".to_owned(),
        "\0\u{feff}\u{202e}".to_owned(),
        long.clone(),
        format!("{lines}\n{key} = looped"),
        format!("{lines}\n{key} = looped nothing"),
        format!("{lines}\n{key} = looped looped looped"),
        format!("{lines}\n{key}"),
        format!("{lines}\n\n{key} = looped looped"),
        format!(
            "{lines}\n{}",
            format!("{key} = looped looped\n").repeat(100_001)
        ),
        format!("wgpu-norm tunings 1\nversion: {long}"),
    ] {
        let error = context.import_tunings(&bad).unwrap_err();
        let is_typed = matches!(error, Error::Tunings { .. } | Error::ForeignTunings { .. });
        assert!(is_typed && error.to_string().len() < 2000, "{error}");
    }
    let whole = format!("{lines}\n{key} = looped looped\n");
    for (end, _) in whole.char_indices() {
        let taken = context.import_tunings(&whole[..end]);
        // Cut off behind the head it has no choices.
        assert!(
            taken.is_err() || taken == Ok(0) || end + 1 == whole.len(),
            "{end}"
        );
        context.forget_tunings();
    }
    // A problem that there is not does no harm.
    context
        .import_tunings(&format!("{lines}\nno such norm = looped split"))
        .unwrap();
    right(
        &context,
        &LayerNorm::new(&[8]).into(),
        &[2, 8],
        Mode::TRAINING,
    );
}

#[test]
fn nothing_to_measure_and_mistakes() {
    let context = new_context();
    let tuned = context
        .autotune(LayerNorm::new(&[8]), &[0, 8], Mode::TRAINING)
        .unwrap();
    assert_eq!(tuned.tuning, Tuning::default());
    assert!(tuned.forward.is_empty() && tuned.backward.is_empty());
    let error = context.autotune(LayerNorm::new(&[8]), &[2, 9], Mode::TRAINING);
    assert!(matches!(error.unwrap_err(), Error::NormalizedShape { .. }));
}
