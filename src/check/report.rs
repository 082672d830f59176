use std::fmt;

use crate::dtype::DType;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// One row per tensor that was compared.
    pub rows: Vec<Row>,
}

/// One tensor compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was run: norm, shape, mode, strategy.
    pub case: String,
    /// Name of the tensor.
    pub tensor: &'static str,
    /// Norm of the difference relative to the norm of the reference, or to a scale where that is larger (see [`Row::new`]);
    /// infinite if a number is missing or not finite.
    pub error: f64,
}

impl Row {
    /// Compares `got` with `want`.
    ///
    /// `scale` is the size of what the result is a difference or a sum of: where a result cancels out (the input gradient of
    /// a group of two elements, or by chance a sum of random terms), rounding errors are relative to that and not to the
    /// result. 0 if there is no such thing.
    #[must_use]
    pub fn new(case: String, tensor: &'static str, got: &[f32], want: &[f64], scale: f64) -> Self {
        Self {
            case,
            tensor,
            error: normwise_error(got, want, Bound::of_f32(scale)),
        }
    }

    /// The same for a tensor of any type.
    pub(super) fn within(
        case: String,
        tensor: &'static str,
        got: &[f32],
        want: &[f64],
        bound: Bound,
    ) -> Self {
        Self {
            case,
            tensor,
            error: normwise_error(got, want, bound),
        }
    }
}

/// What an error is relative to, and what is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// As in [`Row::new`].
    pub(super) scale: f64,
    /// How the tensor is stored: of each element only what exceeds a unit in the last place of 16 bits counts.
    pub(super) dtype: DType,
    /// The norm of a difference that comes from rounding other tensors to 16 bits.
    pub(super) slack: f64,
}

impl Bound {
    const fn of_f32(scale: f64) -> Self {
        Self {
            scale,
            dtype: DType::F32,
            slack: 0.0,
        }
    }
}

/// ‖got − want‖ / max(‖want‖, scale), or the absolute error if that is 0.
///
/// Where the reference is infinite or NaN, anything that is not finite is right. Infinity of 16 bits is what is too large for them.
fn normwise_error(got: &[f32], want: &[f64], bound: Bound) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let (mut difference, mut norm) = (0.0, 0.0);
    for (&got, &want) in got.iter().zip(want) {
        let (mut got, mut want) = (f64::from(got), want);
        if let Some(most) = bound.dtype.overflow().filter(|_| want.is_finite()) {
            got = if got.is_infinite() {
                most.copysign(got)
            } else {
                got
            };
            want = want.clamp(-most, most);
        }
        match (got.is_finite(), want.is_finite()) {
            (true, true) => {
                let beyond = (got - want).abs() - bound.dtype.ulp(want);
                difference += beyond.max(0.0).powi(2);
                norm += want.powi(2);
            }
            (false, false) => {}
            _ => return f64::INFINITY,
        }
    }
    let difference = f64::max(difference.sqrt() - bound.slack, 0.0);
    let norm = f64::max(norm.sqrt(), bound.scale);
    if norm == 0.0 {
        difference
    } else {
        difference / norm
    }
}

impl Report {
    /// The worst error, 0 if nothing was compared.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.worst_row().map_or(0.0, |row| row.error)
    }

    /// The row with the worst error.
    #[must_use]
    pub fn worst_row(&self) -> Option<&Row> {
        self.rows.iter().max_by(|a, b| a.error.total_cmp(&b.error))
    }

    /// Adds the rows of `other`.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row {
            case,
            tensor,
            error,
        } in &self.rows
        {
            writeln!(f, "{error:9.2e}  {tensor:13} {case}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Bound;
    use crate::dtype::DType;

    fn normwise_error(got: &[f32], want: &[f64], scale: f64) -> f64 {
        super::normwise_error(got, want, Bound::of_f32(scale))
    }

    #[test]
    fn one_wrong_element_shows() {
        let want: Vec<f64> = (0..10_000).map(|i| f64::from(i).sin()).collect();
        let good: Vec<f32> = want.iter().map(|&x| x as f32).collect();
        assert!(normwise_error(&good, &want, 0.0) < 1e-7);
        for wrong in [f32::NAN, f32::INFINITY, good[77] + 0.01] {
            let mut bad = good.clone();
            bad[77] = wrong;
            assert!(normwise_error(&bad, &want, 0.0) > 1e-5, "{wrong}");
        }
        assert!(normwise_error(&good[1..], &want, 0.0).is_infinite());
    }

    /// One unit in the last place is right, two are not; what is too large is infinite.
    #[test]
    fn sixteen_bits_are_counted_in_their_own_units() {
        for (dtype, ulp, infinite) in [
            (DType::F16, 1.0 / 1024.0, 65_520.0),
            (DType::BF16, 1.0 / 128.0, 3.4e38),
        ] {
            let bound = Bound {
                dtype,
                ..Bound::of_f32(0.0)
            };
            let error = |got: f32, want: f64| super::normwise_error(&[got], &[want], bound);
            assert_eq!(error(1.0 + ulp, 1.0), 0.0);
            assert!(error(1.0 + 2.0 * ulp, 1.0) > 1e-4);
            assert!(error(-1.0, 1.0) > 1.0 && error(f32::NAN, 1.0).is_infinite());
            assert_eq!(error(f32::INFINITY, infinite), 0.0);
            assert_eq!(error(f32::INFINITY, 1e39), 0.0);
            assert!(error(f32::INFINITY, infinite / 2.0) > 0.1);
            assert!(error(f32::NEG_INFINITY, infinite) > 1.0);
        }
    }

    #[test]
    fn a_number_is_wrong_where_the_reference_has_none() {
        let nan = [f64::NAN, 1.0];
        assert!(normwise_error(&[3.0, 1.0], &nan, 0.0).is_infinite());
        assert_eq!(normwise_error(&[f32::INFINITY, 1.0], &nan, 0.0), 0.0);
    }
}
