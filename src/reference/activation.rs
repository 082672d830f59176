//! Activations in f64, and their derivatives.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use crate::activation::Activation;

impl Activation {
    /// Its value at `x`, in f64.
    #[must_use]
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::None => x,
            // Not `max`, which would turn NaN into 0.
            Self::Relu if x <= 0.0 => 0.0,
            Self::Relu => x,
            Self::LeakyRelu(slope) if x <= 0.0 => slope * x,
            Self::LeakyRelu(_) => x,
            Self::Silu => x * sigmoid(x),
            Self::Gelu => x * normal_distribution(x),
            Self::GeluTanh => x * sigmoid(2.0 * gelu_tanh_argument(x)),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
        }
    }

    /// Its derivative at `x`, in f64.
    #[must_use]
    pub fn derivative(self, x: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Relu if x <= 0.0 => 0.0,
            Self::LeakyRelu(slope) if x <= 0.0 => slope,
            Self::Relu | Self::LeakyRelu(_) => {
                if x.is_nan() {
                    x
                } else {
                    1.0
                }
            }
            Self::Silu => sigmoid(x) * (1.0 + x * sigmoid(-x)),
            Self::Gelu => normal_distribution(x) + x * normal_density(x),
            Self::GeluTanh => {
                let argument = 2.0 * gelu_tanh_argument(x);
                let slope = 2.0 * (2.0 / PI).sqrt() * (1.0 + 3.0 * GELU_TANH * x * x);
                sigmoid(argument) + x * slope * sigmoid(argument) * sigmoid(-argument)
            }
            Self::Sigmoid => sigmoid(x) * sigmoid(-x),
            Self::Tanh => 1.0 - x.tanh().powi(2),
        }
    }
}

const GELU_TANH: f64 = 0.044_715;

/// What tanh is taken of; (1 + tanh(a)) / 2 is sigmoid(2 a), which keeps its digits where tanh is near -1.
fn gelu_tanh_argument(x: f64) -> f64 {
    (2.0 / PI).sqrt() * (x + GELU_TANH * x.powi(3))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Φ(x). Not by 1 + erf, which has no correct digit left at -8.
fn normal_distribution(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// Φ'(x).
fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// 1 - erf(x), with a relative error below 1e-14 for x < 10: the series of Abramowitz and Stegun, 7.1.6, for small |x|, and the
/// continued fraction 7.1.14 for the others.
pub(super) fn erfc(x: f64) -> f64 {
    // Here both need less than 100 terms.
    const BORDER: f64 = 1.5;
    if x < -BORDER {
        2.0 - erfc(-x)
    } else if x <= BORDER {
        1.0 - erf_series(x)
    } else if x.is_nan() {
        x
    } else {
        erfc_fraction(x)
    }
}

/// `erf(x) = 2 / sqrt(π) * exp(-x²) * sum over n of 2ⁿ x²ⁿ⁺¹ / (1 * 3 * ... * (2n + 1))`: all terms of one sign.
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..100 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `erfc(x) = exp(-x²) / sqrt(π) / (x + 1/2 / (x + 1 / (x + 3/2 / (x + ...))))`, from its 150th term backwards.
fn erfc_fraction(x: f64) -> f64 {
    let tail = (1..=150)
        .rev()
        .fold(x, |tail, n| x + 0.5 * f64::from(n) / tail);
    0.5 * FRAC_2_SQRT_PI * (-x * x).exp() / tail
}
