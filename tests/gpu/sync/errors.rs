//! Every mistake is an `Err` that says what was expected and what was got.

use wgpu_norm::sync::{ByRank, Statistics, Sums, SyncLayer, SyncPlan};
use wgpu_norm::{
    BackwardTensors, BatchNorm, Error, ForwardTensors, Layer, LayerNorm, Mode, Result, Tensor,
};

use crate::common::{context, encoder};

fn statistics(count: u64, channels: usize) -> Statistics {
    Statistics::new(count, vec![1.0; channels], vec![2.0; channels]).unwrap()
}

fn says<T: std::fmt::Debug>(result: Result<T>, texts: &[&str]) {
    let message = result.unwrap_err().to_string();
    for text in texts {
        assert!(message.contains(text), "{message:?} lacks {text:?}");
    }
}

#[test]
fn parts_that_do_not_fit_each_other() {
    let unequal = [statistics(3, 4), statistics(2, 5)];
    says(Statistics::merge(&unequal), &["[4]", "[5]"]);
    says(Statistics::merge(&[]), &["no ranks"]);
    let sums = |channels| Sums::new(3, vec![0.0; channels], vec![0.0; channels]).unwrap();
    says(Sums::merge(&[sums(4), sums(5)]), &["[4]", "[5]"]);
    says(Sums::merge(&[]), &["no ranks"]);
    says(
        Statistics::new(1, vec![0.0; 2], vec![0.0; 3]),
        &["[2]", "[3]"],
    );
    says(Sums::new(1, vec![0.0; 2], vec![0.0; 3]), &["[2]", "[3]"]);
}

#[test]
fn messages_that_are_none() {
    for message in [&[][..], &[2.0, 1.0], &[-1.0], &[0.5], &[f64::NAN], &[1e17]] {
        assert!(Statistics::from_message(message).is_err(), "{message:?}");
        assert!(Sums::from_message(message).is_err(), "{message:?}");
    }
    says(Statistics::from_message(&[0.5]), &["0.5", "integer"]);
    let none = Statistics::from_message(&[7.0]).unwrap();
    assert_eq!((none.count(), none.channels()), (7, 0));
}

#[test]
fn ranks_that_are_not_there_or_twice() {
    let mut ranks = ByRank::new(2);
    says(ranks.insert(2, 'c'), &["2 of 2"]);
    ranks.insert(1, 'b').unwrap();
    says(ranks.insert(1, 'd'), &["missing", "1"]);
    assert_eq!(ranks.missing(), Some(0));
    says(ranks.clone().finish(), &["missing"]);
    ranks.insert(0, 'a').unwrap();
    assert_eq!(
        (ranks.missing(), ranks.finish().unwrap()),
        (None, vec!['a', 'b'])
    );
}

#[test]
fn plans() {
    let norm = BatchNorm::new(3);
    says(
        SyncPlan::new(context(), norm, &[4, 2], Mode::TRAINING),
        &["3", "2"],
    );
    let eval = SyncPlan::new(context(), norm, &[4, 3], Mode::EVAL);
    says(eval, &["EVAL", "Plan"]);
    // Without running statistics the batch's normalize in evaluation as well.
    let untracked = norm.track_running_stats(false);
    assert!(SyncPlan::new(context(), untracked, &[4, 3], Mode::EVAL).is_ok());

    let plan = SyncPlan::new(context(), norm, &[1, 3], Mode::TRAINING).unwrap();
    assert_eq!(
        (plan.count(), plan.statistics_shape(), plan.sums_shape()),
        (1, [4, 3], [2, 3])
    );
    says(plan.local_statistics(&[0.0; 11]), &["12", "11"]);
    says(plan.local_sums(&[0.0; 7]), &["6", "7"]);
    let moments = plan.moments().unwrap();
    says(moments.write(&statistics(9, 4)), &["[3]", "[4]"]);
    for few in [0, 1] {
        let error = moments.write(&statistics(few, 3));
        says(error, &["over all ranks", &format!("[{few}, 3]")]);
    }

    let tensor = |shape: &[usize]| Tensor::full(context(), shape, 1.0).unwrap();
    let (input, exported) = (tensor(&[1, 3]), tensor(&[4, 3]));
    let mut encoder = encoder(context());
    says(
        plan.statistics(&mut encoder, &input, &tensor(&[4, 4])),
        &["exported", "[4, 3]", "[4, 4]"],
    );
    says(
        plan.statistics(&mut encoder, &tensor(&[2, 3]), &exported),
        &["input", "[1, 3]", "[2, 3]"],
    );
    let forward = ForwardTensors {
        statistics: Some(&exported),
        ..ForwardTensors::new(&input, &input)
    };
    says(
        plan.forward(&mut encoder, &forward, &moments),
        &["statistics"],
    );
    let of_four = SyncPlan::new(context(), BatchNorm::new(4), &[1, 4], Mode::TRAINING);
    let of_four = of_four.unwrap().moments().unwrap();
    let layer = Layer::new(context(), norm).unwrap();
    let forward = ForwardTensors {
        statistics: None,
        weight: layer.weight(),
        bias: layer.bias(),
        running: layer.running(),
        ..forward
    };
    says(
        plan.forward(&mut encoder, &forward, &of_four),
        &["statistics", "[4, 3]", "[4, 4]"],
    );
    let backward = BackwardTensors {
        weight: layer.weight(),
        ..BackwardTensors::new(&input, moments.statistics(), &input)
    };
    says(
        plan.sums(&mut encoder, &backward, &tensor(&[2, 4])),
        &["sums", "[2, 3]", "[2, 4]"],
    );
    says(
        plan.backward(&mut encoder, &backward, &tensor(&[2, 3])),
        &["grad_input"],
    );
}

#[test]
fn layers() {
    let other = SyncLayer::new(Layer::new(context(), LayerNorm::new(&[3])).unwrap());
    says(other, &["layer_norm", "within a sample"]);
    let layer = SyncLayer::new(Layer::new(context(), BatchNorm::new(3)).unwrap()).unwrap();
    let input = Tensor::from_slice(context(), &[1.0, 2.0, 3.0, 5.0, 5.0, 4.0], &[2, 3]).unwrap();
    let before = layer.layer().state().unwrap();
    let forward = |all: Statistics| layer.forward(&input, Mode::TRAINING, |_| Ok::<_, Error>(all));
    says(forward(statistics(9, 4)), &["[3]", "[4]"]);
    says(forward(statistics(1, 3)), &["at least", "1", "2"]);
    let failed = layer.forward(&input, Mode::TRAINING, |_| {
        Err(Error::DeviceLost("x".to_owned()))
    });
    assert_eq!(failed.unwrap_err(), Error::DeviceLost("x".to_owned()));
    assert_eq!(layer.layer().state().unwrap(), before);

    let saved = forward(statistics(9, 3)).unwrap().saved;
    let of = |count, channels: usize| Sums::new(count, vec![0.0; channels], vec![0.0; channels]);
    let backward = |all: Result<Sums>| layer.backward(&saved, &input, |_| all);
    says(backward(of(9, 4)), &["[3]", "[4]"]);
    says(backward(of(8, 3)), &["forward pass", "8", "9"]);
    assert!(backward(of(9, 3)).is_ok());
    let other = SyncLayer::new(Layer::new(context(), BatchNorm::new(3).eps(1.0)).unwrap()).unwrap();
    says(
        other.backward(&saved, &input, |_| of(9, 3)),
        &["another norm"],
    );
}
