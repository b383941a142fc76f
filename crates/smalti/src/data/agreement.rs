//! How well label maps are reconstructed: the share of pixels that keep their class, and the mean over the classes of
//! intersection over union (Jaccard index), as usual in semantic segmentation.

use super::raster::UNLABELLED;

/// Counts of pixels, summed over label maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelAgreement {
    /// Of each class: pixels that have it in both maps, in the true one, in the predicted one.
    classes: Vec<[u64; 3]>,
}

impl LabelAgreement {
    /// Nothing counted yet, for maps of so many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes: vec![[0; 3]; classes],
        }
    }

    /// Counts a map and what was predicted of it, both in reading order. Pixels that truly have no class are left out.
    pub fn add(&mut self, truth: &[u16], predicted: &[u16]) {
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            if truth == UNLABELLED {
                continue;
            }
            self.count(truth, 1);
            self.count(predicted, 2);
            if truth == predicted {
                self.count(truth, 0);
            }
        }
    }

    fn count(&mut self, class: u16, of: usize) {
        if let Some(counts) = self.classes.get_mut(usize::from(class)) {
            counts[of] += 1;
        }
    }

    /// The share of pixels whose class was predicted; 0 if none was counted.
    pub fn pixel_accuracy(&self) -> f64 {
        let sum = |of: usize| self.classes.iter().map(|counts| counts[of]).sum::<u64>();
        sum(0) as f64 / sum(1).max(1) as f64
    }

    /// Intersection over union, averaged over the classes that occur in either map; 0 if none does.
    pub fn mean_iou(&self) -> f64 {
        let ratios: Vec<f64> = self
            .classes
            .iter()
            .filter(|[_, truth, predicted]| truth + predicted > 0)
            .map(|[both, truth, predicted]| *both as f64 / (truth + predicted - both) as f64)
            .collect();
        ratios.iter().sum::<f64>() / ratios.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_maps_give_known_figures() {
        let mut agreement = LabelAgreement::new(5);
        agreement.add(&[0, 0, 1, 1], &[0, 1, 1, 1]);
        agreement.add(&[2, UNLABELLED, 0], &[3, 0, 0]);
        // 0: 2 of 3; 1: 2 of 3; 2: 0 of 1; 3: 0 of 1; 4 does not occur.
        assert!((agreement.pixel_accuracy() - 4.0 / 6.0).abs() < 1e-12);
        assert!((agreement.mean_iou() - (2.0 / 3.0 + 2.0 / 3.0) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn equal_maps_agree_and_none_gives_nothing() {
        let mut agreement = LabelAgreement::new(200);
        assert_eq!(
            (agreement.pixel_accuracy(), agreement.mean_iou()),
            (0.0, 0.0)
        );
        agreement.add(&[7, 199, 7], &[7, 199, 7]);
        assert_eq!(
            (agreement.pixel_accuracy(), agreement.mean_iou()),
            (1.0, 1.0)
        );
    }
}
