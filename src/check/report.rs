use std::fmt;

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
            error: normwise_error(got, want, scale),
        }
    }
}

/// ‖got − want‖ / max(‖want‖, scale), or the absolute error if that is 0.
///
/// Where the reference is infinite or NaN, anything that is not finite is right.
fn normwise_error(got: &[f32], want: &[f64], scale: f64) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let (mut difference, mut norm) = (0.0, 0.0);
    for (&got, &want) in got.iter().zip(want) {
        match (got.is_finite(), want.is_finite()) {
            (true, true) => {
                difference += (f64::from(got) - want).powi(2);
                norm += want.powi(2);
            }
            (false, false) => {}
            _ => return f64::INFINITY,
        }
    }
    let norm = f64::max(norm.sqrt(), scale);
    if norm == 0.0 {
        difference.sqrt()
    } else {
        difference.sqrt() / norm
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
    use super::normwise_error;

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

    #[test]
    fn a_number_is_wrong_where_the_reference_has_none() {
        let nan = [f64::NAN, 1.0];
        assert!(normwise_error(&[3.0, 1.0], &nan, 0.0).is_infinite());
        assert_eq!(normwise_error(&[f32::INFINITY, 1.0], &nan, 0.0), 0.0);
    }
}
