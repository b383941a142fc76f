//! The 1000 classes of ImageNet (ILSVRC 2012), by their numbers in WordNet, under which the data set's folders go. In
//! the usual order these are sorted. `imagenet.txt` has them in this order, and behind each the output that stands for
//! it in the Inception-v3 of FID (imagenet_2012_challenge_label_map_proto.pbtxt of the graph of 2015-12-05).

use crate::weights::classifier::Classifier;

const TABLE: &str = include_str!("imagenet.txt");

fn entries() -> impl Iterator<Item = (&'static str, usize)> {
    TABLE.lines().filter_map(|line| {
        let (name, output) = line.split_once(' ')?;
        Some((name, output.parse().ok()?))
    })
}

/// The names of the classes in the usual order.
pub fn names() -> Vec<String> {
    entries().map(|(name, _)| name.to_string()).collect()
}

/// Which output of a classifier each class is, in the usual order.
pub fn outputs(classifier: Classifier) -> Vec<usize> {
    match classifier {
        Classifier::Inception => entries().map(|(_, output)| output).collect(),
        Classifier::InceptionTorchvision | Classifier::EfficientNetLite0 => {
            (0..classifier.classes()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_thousand_in_order() {
        let names = names();
        assert_eq!(names.len(), 1000);
        assert!(names.is_sorted());
        // A golden retriever and a tabby cat.
        assert_eq!((&*names[207], &*names[281]), ("n02099601", "n02123045"));
        for name in &names {
            let digits = name.strip_prefix('n').unwrap();
            assert!(digits.len() == 8 && digits.parse::<u32>().is_ok(), "{name}");
        }
    }

    #[test]
    fn every_class_is_an_output_of_its_own() {
        for classifier in Classifier::ALL {
            let outputs = outputs(classifier);
            let mut sorted = outputs.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 1000, "{}", classifier.label());
            assert!(outputs.iter().all(|&output| output < classifier.classes()));
        }
        assert_eq!(outputs(Classifier::Inception)[0], 449);
    }
}
