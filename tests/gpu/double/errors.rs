//! What has no second derivative here, and tensors that do not fit.

use wgpu_norm::{
    Activation, BatchNorm, DType, DoubleBackwardTensors, Error, Inputs, Layer, LayerNorm, Mode,
    Plan, Tensor,
};

use crate::common::{context, encoder, new_context};

fn tensor(shape: &[usize]) -> Tensor {
    Tensor::full(context(), shape, 1.0).unwrap()
}

/// The error of a second derivative of layer norm of `[3, 4]`, with one tensor changed.
fn error(change: impl FnOnce(&mut Own)) -> Error {
    let norm = LayerNorm::new(&[4]);
    let plan = Plan::new(context(), norm, &[3, 4], Mode::TRAINING).unwrap();
    let mut own = Own {
        data: [(); 5].map(|()| tensor(&[3, 4])),
        statistics: tensor(&plan.statistics_shape()),
        weight: Some(tensor(&[4])),
        grad_weight: tensor(&[4]),
    };
    change(&mut own);
    own.record(&plan).unwrap_err()
}

struct Own {
    /// Input, `grad_output`, `grad_grad_input`, `grad_input`, `grad_grad_output`.
    data: [Tensor; 5],
    statistics: Tensor,
    weight: Option<Tensor>,
    grad_weight: Tensor,
}

impl Own {
    fn record(&self, plan: &Plan) -> Result<(), Error> {
        let [input, grad_output, u, grad_input, grad_grad_output] = &self.data;
        let tensors = DoubleBackwardTensors {
            weight: self.weight.as_ref(),
            grad_input: Some(grad_input),
            grad_weight: Some(&self.grad_weight),
            grad_grad_output: Some(grad_grad_output),
            ..DoubleBackwardTensors::new(input, &self.statistics, grad_output, u)
        };
        plan.double_backward(&mut encoder(context()), &tensors)
    }
}

#[test]
fn wrong_shapes_and_types() {
    let names = [
        "input",
        "grad_output",
        "grad_grad_input",
        "grad_input",
        "grad_grad_output",
    ];
    for (k, name) in names.into_iter().enumerate() {
        let got = error(|own| own.data[k] = tensor(&[4, 3]));
        let want = Error::Shape {
            tensor: name,
            expected: vec![3, 4],
            got: vec![4, 3],
        };
        assert_eq!(got, want);
        let half = Tensor::uninit_of(context(), DType::F16, &[3, 4]).unwrap();
        let got = error(|own| own.data[k] = half);
        assert!(matches!(got, Error::DType { .. }), "{got}");
    }
    let got = error(|own| own.grad_weight = tensor(&[3]));
    assert!(
        matches!(
            got,
            Error::Shape {
                tensor: "grad_weight",
                ..
            }
        ),
        "{got}"
    );
    let got = error(|own| own.statistics = tensor(&[4, 4]));
    assert!(
        matches!(
            got,
            Error::Shape {
                tensor: "statistics",
                ..
            }
        ),
        "{got}"
    );
    let got = error(|own| own.weight = None);
    assert!(matches!(got, Error::Missing("weight", _)), "{got}");
    let foreign = Tensor::full(&new_context(), &[3, 4], 1.0).unwrap();
    let got = error(|own| own.data[2] = foreign);
    assert_eq!(got, Error::OtherContext("grad_grad_input"));
}

#[test]
fn overlaps() {
    // Both gradients over one tensor, or one over the other.
    for [a, b] in [[3, 4], [4, 3]] {
        let got = error(|own| own.data[a] = own.data[b].clone());
        assert!(matches!(got, Error::Overlap { .. }), "{got}");
    }
    let got = error(|own| own.grad_weight = own.weight.clone().unwrap());
    let allowed = "nothing here";
    let want = Error::Overlap {
        written: "grad_weight",
        other: "weight",
        allowed,
    };
    assert_eq!(got, want);
    // Half of a tensor over half of another.
    let context = context();
    let buffer = tensor(&[6, 4]).buffer().clone();
    let piece = |at| Tensor::from_buffer(context, buffer.clone(), at, &[3, 4]).unwrap();
    let alignment = u64::from(context.caps().offset_alignment);
    if alignment < 48 {
        let got = error(|own| {
            own.data[0] = piece(0);
            own.data[3] = piece(alignment);
        });
        assert!(
            matches!(
                got,
                Error::Overlap {
                    written: "grad_input",
                    other: "input",
                    ..
                }
            ),
            "{got}"
        );
    }
}

#[test]
fn a_weight_that_there_is_not() {
    let norm = LayerNorm::new(&[4]).affine(false);
    let plan = Plan::new(context(), norm, &[3, 4], Mode::TRAINING).unwrap();
    let mut own = Own {
        data: [(); 5].map(|()| tensor(&[3, 4])),
        statistics: tensor(&plan.statistics_shape()),
        weight: None,
        grad_weight: tensor(&[4]),
    };
    let got = own.record(&plan).unwrap_err();
    assert!(matches!(got, Error::Unexpected("grad_weight", _)), "{got}");
    own.weight = Some(tensor(&[4]));
    let got = own.record(&plan).unwrap_err();
    assert!(matches!(got, Error::Unexpected("weight", _)), "{got}");
}

/// The second derivative is that of the norm alone, also of tensors without elements.
#[test]
fn activation_and_residual() {
    for n in [0, 3] {
        let norm = BatchNorm::new(2).activation(Activation::Relu);
        let layer = Layer::new(context(), norm).unwrap();
        let x = tensor(&[n, 2]);
        let saved = layer.forward(&x, Mode::TRAINING).unwrap().saved;
        let got = layer.double_backward(&saved, &x, &x).unwrap_err();
        assert!(
            matches!(got, Error::Unexpected("an activation", _)),
            "{got}"
        );
    }
    for norm in [
        BatchNorm::new(2).into(),
        wgpu_norm::Norm::from(LayerNorm::new(&[2])),
    ] {
        let layer = Layer::new(context(), norm).unwrap();
        let x = tensor(&[3, 2]);
        let inputs = Inputs::new(&x).residual(&x);
        let saved = layer.forward(inputs, Mode::TRAINING).unwrap().saved;
        let got = layer.double_backward(&saved, &x, &x).unwrap_err();
        assert!(matches!(got, Error::Unexpected("a residual", _)), "{got}");
    }
}

#[test]
fn what_another_norm_saved() {
    let x = tensor(&[3, 2]);
    let layer = |eps| Layer::new(context(), BatchNorm::new(2).eps(eps)).unwrap();
    let saved = layer(0.1).forward(&x, Mode::TRAINING).unwrap().saved;
    let got = layer(0.2).double_backward(&saved, &x, &x).unwrap_err();
    assert!(matches!(got, Error::Unexpected("saved", _)), "{got}");
}
