use super::gradients::differences;
use crate::activation::Activation;
use crate::reference::activation::erfc;

const ALL: [Activation; 8] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Sigmoid,
    Activation::Tanh,
];

#[test]
fn erfc_to_the_last_digits() {
    // From mpmath, 60 digits.
    for (x, want) in [
        (-6.0, 2.0),
        (-1.5, 1.9661051464753108),
        (-0.75, 1.7111556336535152),
        (0.0, 1.0),
        (1e-9, 0.9999999988716208),
        (0.5, 0.4795001221869535),
        (1.25, 0.07709987174354177),
        (1.5, 0.033894853524689274),
        (1.625, 0.021556266760016336),
        (2.5, 0.0004069520174449589),
        (4.0, 1.541725790028002e-08),
        (6.0, 2.1519736712498913e-17),
        (9.5, 3.7692144856548797e-41),
    ] {
        let error = (erfc(x) - want).abs();
        assert!(error <= 1e-15 && error <= 1e-14 * want, "{x}: {error:e}");
    }
    assert_eq!((erfc(f64::INFINITY), erfc(f64::NEG_INFINITY)), (0.0, 2.0));
    assert!(erfc(f64::NAN).is_nan());
}

#[test]
fn smooth_ones_at_some_points() {
    // From mpmath, 60 digits: SiLU, GELU, GELU by tanh, sigmoid, tanh.
    for (x, want) in [
        (
            -8.0,
            [
                -0.002682801043731825,
                -4.976768459417427e-15,
                -3.1077829375011112e-21,
                0.0003353501304664781,
                -0.9999997749296758,
            ],
        ),
        (
            -2.5,
            [
                -0.18964545005310887,
                -0.015524163314440337,
                -0.015084266089998582,
                0.07585818002124355,
                -0.9866142981514303,
            ],
        ),
        (
            -0.3,
            [
                -0.1276672449565023,
                -0.1146265733433142,
                -0.11462907645724076,
                0.425557483188341,
                -0.2913126124515909,
            ],
        ),
        (
            0.7,
            [
                0.46773144051771626,
                0.5306254434438489,
                0.5305701347051167,
                0.668187772168166,
                0.6043677771171635,
            ],
        ),
        (
            3.0,
            [
                2.8577223804672998,
                2.99595030590511,
                2.996362607918227,
                0.9525741268224333,
                0.9950547536867305,
            ],
        ),
    ] {
        for (activation, want) in ALL[3..].iter().zip(want) {
            let error = (activation.value(x) - want) / want;
            assert!(error.abs() < 2e-14, "{activation:?} at {x}: {error:e}");
        }
    }
}

#[test]
fn derivatives_are_finite_differences() {
    for activation in ALL {
        // Not at 0, where some have a kink.
        for x in [-7.3, -2.0, -0.4, 0.01, 0.9, 3.1, 8.0] {
            let want = differences(&[x], |x| activation.value(x[0]))[0];
            let got = activation.derivative(x);
            assert!(
                (got - want).abs() < 1e-9,
                "{activation:?} at {x}: {got} {want}"
            );
        }
    }
}

#[test]
fn kinks_and_numbers_that_are_none() {
    assert_eq!(Activation::Relu.derivative(0.0), 0.0);
    assert_eq!(Activation::LeakyRelu(0.1).derivative(0.0), 0.1);
    assert_eq!(Activation::LeakyRelu(0.5).value(-4.0), -2.0);
    for activation in ALL {
        assert!(activation.value(f64::NAN).is_nan(), "{activation:?}");
        // A slope of None is 1 wherever it is taken.
        let slope = activation.derivative(f64::NAN);
        assert!(
            slope.is_nan() || activation == Activation::None,
            "{activation:?}"
        );
        for x in [-1e3, 1e3] {
            assert!(activation.value(x).is_finite() && activation.derivative(x).is_finite());
        }
    }
    assert_eq!(Activation::default(), Activation::None);
}
