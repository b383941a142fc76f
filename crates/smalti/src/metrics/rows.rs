//! Features of pictures as the metrics take them: one row of numbers per picture.

use crate::error::{Error, Result};

/// Features `[count, dimensions]`, row-major, all of them finite.
#[derive(Debug, Clone, Copy)]
pub struct FeatureRows<'a> {
    values: &'a [f32],
    dimensions: usize,
}

impl<'a> FeatureRows<'a> {
    /// Rows of `dimensions` numbers, one after the other. `first` is how many pictures came before these; errors count
    /// from it.
    ///
    /// # Errors
    /// [`Error::Input`] where the last row is not whole, or a number is not finite; the message names the picture.
    pub fn new(values: &'a [f32], dimensions: usize, first: usize) -> Result<Self> {
        if dimensions == 0 || !values.len().is_multiple_of(dimensions) {
            return Err(Error::input(format!(
                "{} numbers are not rows of {dimensions} features",
                values.len()
            )));
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::input(format!(
                "feature {} of picture {} (counted from 0) is {}: look at that picture, and at the network's weights",
                place % dimensions,
                first + place / dimensions,
                values[place]
            )));
        }
        Ok(Self { values, dimensions })
    }

    /// How many pictures.
    pub fn count(&self) -> usize {
        self.values.len() / self.dimensions
    }

    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The features of one picture.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dimensions..][..self.dimensions]
    }

    /// The rows of these pictures in double precision.
    pub(super) fn gather(&self, pictures: impl Iterator<Item = usize>) -> Vec<f64> {
        pictures
            .flat_map(|picture| self.row(picture))
            .map(|&value| f64::from(value))
            .collect()
    }

    /// # Errors
    /// [`Error::Input`] where `other` has rows of another length.
    pub(super) fn check_like(&self, other: &FeatureRows<'_>) -> Result<()> {
        check_dimensions(self.dimensions, other.dimensions)
    }
}

/// # Errors
/// [`Error::Input`] where two sets of features have rows of different lengths.
pub(super) fn check_dimensions(one: usize, other: usize) -> Result<()> {
    if one == other {
        return Ok(());
    }
    Err(Error::input(format!(
        "{one} features per picture on one side and {other} on the other: they come from different networks"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let rows = FeatureRows::new(&values, 2, 0).unwrap();
        assert_eq!((rows.count(), rows.dimensions()), (3, 2));
        assert_eq!(rows.row(1), [3.0, 4.0]);
        assert_eq!(rows.gather([2, 0].into_iter()), [5.0, 6.0, 1.0, 2.0]);
        assert_eq!(FeatureRows::new(&[], 2, 0).unwrap().count(), 0);
    }

    #[test]
    fn a_number_that_is_not_finite_is_named_with_its_picture() {
        let error = FeatureRows::new(&[0.0, 1.0, f32::NAN, 3.0], 2, 40).unwrap_err();
        assert!(error.to_string().contains("feature 0 of picture 41"));
        let error = FeatureRows::new(&[f32::NEG_INFINITY], 1, 0).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("picture 0 (counted from 0) is -inf")
        );
    }

    #[test]
    fn rows_that_are_not_whole_are_refused() {
        for (values, dimensions) in [(&[0.0_f32; 3][..], 2), (&[0.0_f32; 0][..], 0)] {
            assert!(FeatureRows::new(values, dimensions, 0).is_err());
        }
    }
}
