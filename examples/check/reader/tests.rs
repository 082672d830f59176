mod damage;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use wgpu_norm::{Activation, DType};

use super::{Content, parse, read};

/// Name, type, shape and bytes of a tensor.
type Raw = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn f32(name: &'static str, shape: &[usize]) -> Raw {
    let count: usize = shape.iter().product();
    let bytes = (0..count).flat_map(|i| (i as f32).to_le_bytes());
    (name, Dtype::F32, shape.to_vec(), bytes.collect())
}

fn zeros(name: &'static str, dtype: Dtype, shape: &[usize]) -> Raw {
    let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    (name, dtype, shape.to_vec(), vec![0; bytes])
}

fn file(metadata: &[(&str, &str)], tensors: &[Raw]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (
            *name,
            TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    let metadata = metadata
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    serialize(views, Some(metadata.collect())).unwrap()
}

/// Batch norm with everything that there is.
fn full() -> Vec<Raw> {
    vec![
        f32("input", &[3, 2]),
        f32("weight", &[2]),
        f32("bias", &[2]),
        f32("running_mean", &[2]),
        f32("running_var", &[2]),
        zeros("num_batches_tracked", Dtype::I64, &[]),
        f32("grad_output", &[3, 2]),
        zeros("expected.output", Dtype::F64, &[3, 2]),
        zeros("expected.grad_weight", Dtype::F64, &[2]),
    ]
}

const BATCH: (&str, &str) = ("op", "batch_norm");

/// [`full`] with some tensors replaced, added or, where their shape is `[9, 9, 9]`, left out.
fn with(metadata: &[(&str, &str)], changes: Vec<Raw>) -> Result<Content, String> {
    let mut tensors = full();
    for change in changes {
        tensors.retain(|tensor| tensor.0 != change.0);
        if change.2 != [9, 9, 9] {
            tensors.push(change);
        }
    }
    let metadata = [&[BATCH], metadata].concat();
    parse(&file(&metadata, &tensors))
}

fn error(content: Result<Content, String>) -> String {
    content
        .map(|content| format!("accepted {content:?}"))
        .unwrap_err()
}

#[test]
fn reads_a_case() {
    let metadata = [
        ("eps", "0.5"),
        ("momentum", "none"),
        ("activation", "silu"),
        ("comment", "\"\\ 1234567890123456789"),
    ];
    let Ok(Content::Case(file)) = with(&metadata, vec![f32("residual", &[3, 2])]) else {
        panic!("not a case");
    };
    assert_eq!(file.case.norm.eps(), 0.5);
    assert_eq!(file.case.norm.running_momentum(), Some(None));
    assert_eq!(file.case.norm.activation(), Activation::Silu);
    assert_eq!(file.case.residual.as_ref(), Some(&file.case.input));
    assert_eq!(file.case.input, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!(file.has_backward && file.case.mode.batch_statistics);
    assert_eq!(file.expected["grad_weight"], [0.0, 0.0]);
}

#[test]
fn reads_data_of_16_bits() {
    for (dtype, ours, one) in [
        (Dtype::F16, DType::F16, 0x3c00u16),
        (Dtype::BF16, DType::BF16, 0x3f80),
    ] {
        let bits = [one, one | 0x8000, 0, 1, 0x7fff, one];
        let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let data = |name| (name, dtype, vec![3, 2], bytes.clone());
        let Ok(Content::Case(file)) = with(&[], vec![data("input"), data("grad_output")]) else {
            panic!("not a case");
        };
        assert_eq!(file.case.dtype, ours);
        assert_eq!(file.case.input[..3], [1.0, -1.0, 0.0]);
        assert!(file.case.input[3] > 0.0 && file.case.input[4].is_nan());
        assert_eq!(file.case.grad_output[5], 1.0);
    }
}

#[test]
fn says_what_is_beyond_this_version() {
    let beyond = |metadata: &[(&str, &str)], changes| match with(metadata, changes) {
        Ok(Content::Beyond(lacks)) => lacks,
        other => panic!("{other:?}"),
    };
    let half = zeros("input", Dtype::BF16, &[3, 2]);
    let mixed = "F32 grad_output of BF16 input";
    assert_eq!(beyond(&[], vec![half]), mixed);
    let many = (1u64 << 40).to_le_bytes().to_vec();
    let many = ("num_batches_tracked", Dtype::I64, vec![1], many);
    assert_eq!(beyond(&[], vec![many]), "num_batches_tracked 1099511627776");
}

#[test]
fn reads_shards_virtual_batches_and_second_derivatives() {
    let case = |metadata: &[_], changes| match with(metadata, changes) {
        Ok(Content::Case(file)) => file.case,
        other => panic!("{other:?}"),
    };
    let shards = case(&[("ranks", "1, 0,2")], Vec::new());
    assert_eq!(shards.ranks, Some(vec![1, 0, 2]));
    let ghost = case(&[("virtual_batch_size", "3")], Vec::new());
    assert_eq!(ghost.norm.virtual_batch_size(), Some(3));
    let u = || f32("grad_grad_input", &[3, 2]);
    assert_eq!(case(&[], vec![u()]).grad_grad_input.unwrap().len(), 6);
    let beyond = with(&[("ranks", "3")], vec![u()]);
    assert!(matches!(beyond, Ok(Content::Beyond(_))));
    for (key, value) in [
        ("ranks", "1,1"),
        ("ranks", "1,18446744073709551615"),
        ("ranks", ""),
        ("ranks", "3,x"),
        ("virtual_batch_size", "2"),
        ("virtual_batch_size", "0"),
        ("virtual_batch_size", "all"),
    ] {
        let message = error(with(&[(key, value)], Vec::new()));
        assert!(message.contains(&key[..5]), "{key} = {value}: {message}");
    }
    let eval = [("ranks", "3"), ("training", "false")];
    assert!(error(with(&eval, Vec::new())).contains("ranks"));
    let wanted = zeros("expected.grad_grad_output", Dtype::F64, &[3, 2]);
    assert!(error(with(&[], vec![wanted])).contains("grad_grad_input"));
}

#[test]
fn reads_either_order_of_dimensions() {
    let norm = |metadata: &[(&str, &str)], shape: &[usize]| {
        let content = parse(&file(metadata, &[f32("input", shape), f32("weight", &[2])]));
        match content {
            Ok(Content::Case(file)) => file.case.norm.channel_dimension(shape.len()),
            other => panic!("{other:?}"),
        }
    };
    let last = ("channels_last", "true");
    assert_eq!(norm(&[BATCH, last], &[3, 4, 2]), Some(2));
    assert_eq!(norm(&[BATCH, last], &[3, 2]), Some(1));
    assert_eq!(norm(&[BATCH], &[3, 2, 4]), Some(1));
    let layer = [("op", "layer_norm"), ("normalized_shape", "2")];
    assert_eq!(norm(&layer, &[3, 4, 2]), None);
    let first = [layer[0], layer[1], ("channels_first", "true")];
    assert_eq!(norm(&first, &[3, 2, 4]), Some(1));
}

#[test]
fn refuses_bad_metadata() {
    for (key, value) in [
        ("eps", "NaN"),
        ("eps", "-1"),
        ("eps", "1e999"),
        ("eps", "small"),
        ("momentum", "inf"),
        ("momentum", ""),
        ("training", "True"),
        ("channels_last", "1"),
        ("activation", "relu6"),
        ("op", "weight_norm"),
    ] {
        let message = error(with(&[(key, value)], Vec::new()));
        assert!(message.contains(key), "{key} = {value}: {message}");
    }
    let layer = |shape| {
        let metadata = [("op", "layer_norm"), ("normalized_shape", shape)];
        error(parse(&file(&metadata, &[f32("input", &[3, 2])])))
    };
    for shape in ["", "2,", "-2", "3", "0", "2,3", "99999999999999999999"] {
        assert!(layer(shape).contains("normalized_shape"), "{shape:?}");
    }
    let group = |metadata: &[_]| error(parse(&file(metadata, &[f32("input", &[3, 2])])));
    assert!(group(&[("op", "group_norm")]).contains("num_groups"));
    for groups in ["0", "3", "-1", "1.5"] {
        let message = group(&[("op", "group_norm"), ("num_groups", groups)]);
        assert!(message.contains("groups"), "{groups}: {message}");
    }
    assert!(group(&[]).contains("no metadata op"));
}

#[test]
fn refuses_bad_tensors() {
    let gone = |name| f32(name, &[9, 9, 9]);
    let negative = (-1i64).to_le_bytes().to_vec();
    for (change, expected) in [
        (gone("input"), "no tensor input"),
        (gone("running_var"), "no tensor running_var"),
        (gone("running_mean"), "no tensor running_mean"),
        (gone("weight"), "without a tensor weight"),
        (gone("grad_output"), "without a tensor grad_output"),
        (zeros("input", Dtype::F64, &[3, 2]), "input is F64"),
        (zeros("weight", Dtype::F16, &[2]), "weight is F16"),
        (
            zeros("expected.output", Dtype::F32, &[3, 2]),
            "is F32, not F64",
        ),
        (
            zeros("num_batches_tracked", Dtype::I32, &[]),
            "is I32, not I64",
        ),
        (zeros("num_batches_tracked", Dtype::I64, &[2]), "one number"),
        (
            ("num_batches_tracked", Dtype::I64, vec![], negative),
            "is -1",
        ),
        (f32("weight", &[3]), "[3], not [2]"),
        (f32("grad_output", &[2, 3]), "[2, 3], not [3, 2]"),
        (f32("residual", &[3]), "[3], not [3, 2]"),
        (f32("input", &[6]), "no channels"),
        (f32("input", &[1, 2]), "one value"),
        (zeros("expected.ouptut", Dtype::F64, &[3, 2]), "not known"),
        (
            zeros("expected.output", Dtype::F64, &[6]),
            "[6], not [3, 2]",
        ),
    ] {
        let message = error(with(&[], vec![change]));
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let rms = [("op", "rms_norm"), ("normalized_shape", "2")];
    for name in ["bias", "running_mean"] {
        let message = error(parse(&file(
            &rms,
            &[f32("input", &[3, 2]), f32(name, &[2])],
        )));
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn reads_only_files() {
    let folder = std::env::temp_dir();
    assert_eq!(error(read(&folder)), "not a file");
    error(read(&folder.join("wgpu-norm-no-such-file")));
}
