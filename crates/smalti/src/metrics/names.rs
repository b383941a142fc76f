//! What figures of features are called. FID, KID and the Inception Score are by definition of one network; figures of
//! any other carry its name, so that nobody takes one for the other.

use crate::weights::classifier::Classifier;
use serde::Serialize;

/// The names of figures of one network's features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FigureNames {
    /// Of the Fréchet distance: `FID`, else `FD-…`.
    pub frechet: String,
    /// Of the kernel distance: `KID`, else `KD-…`.
    pub kernel: String,
    /// Of the Inception Score.
    pub score: String,
}

impl FigureNames {
    /// For features of `classifier`, or of a network of one's own.
    pub fn of(classifier: Option<Classifier>) -> Self {
        let short = match classifier {
            Some(Classifier::Inception) => {
                return Self {
                    frechet: "FID".into(),
                    kernel: "KID".into(),
                    score: "Inception Score".into(),
                };
            }
            Some(Classifier::InceptionTorchvision) => "torchvision",
            Some(Classifier::EfficientNetLite0) => "lite0",
            None => "own",
        };
        Self {
            frechet: format!("FD-{short}"),
            kernel: format!("KD-{short}"),
            score: format!("classifier score-{short}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_network_has_the_names_of_the_literature() {
        assert_eq!(FigureNames::of(Some(Classifier::Inception)).frechet, "FID");
        let others = [
            Some(Classifier::InceptionTorchvision),
            Some(Classifier::EfficientNetLite0),
            None,
        ];
        let names = others.map(|network| FigureNames::of(network).frechet);
        assert_eq!(names, ["FD-torchvision", "FD-lite0", "FD-own"]);
    }
}
