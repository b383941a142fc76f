//! How far two sets of pictures are apart, as a Fréchet distance of their features. Features are usually those of a
//! classifier (`FeatureNetwork`, FID); here they are the mean colours of the quarters of a picture.
//!
//!     cargo run --release --example distance_of_pictures

use image::RgbImage;
use smalti::data::drawn::draw;
use smalti::metrics::{FeatureStatistics, frechet_distance};

/// Four quarters of three colours.
const FEATURES: usize = 12;

fn features(picture: &RgbImage) -> [f32; FEATURES] {
    let (width, height) = picture.dimensions();
    let mut features = [0.0; FEATURES];
    for (x, y, pixel) in picture.enumerate_pixels() {
        let quarter = (2 * y / height * 2 + 2 * x / width) as usize;
        for (channel, &value) in pixel.0.iter().enumerate() {
            features[3 * quarter + channel] += f32::from(value) / (width * height / 4) as f32;
        }
    }
    features
}

fn statistics(
    first: u64,
    change: impl Fn(RgbImage) -> RgbImage,
) -> smalti::Result<FeatureStatistics> {
    let mut statistics = FeatureStatistics::new(FEATURES);
    for index in first..first + 300 {
        statistics.add(&features(&change(draw(index as usize % 5, index, 16))))?;
    }
    Ok(statistics)
}

fn darker(mut picture: RgbImage) -> RgbImage {
    picture.iter_mut().for_each(|value| *value /= 2);
    picture
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let reference = statistics(0, |picture| picture)?;
    let itself = frechet_distance(&reference, &reference)?.distance;
    let others = frechet_distance(&reference, &statistics(1000, |picture| picture)?)?.distance;
    let darker = frechet_distance(&reference, &statistics(1000, darker)?)?.distance;
    println!(
        "distance from itself {itself:.3}, others of the kind {others:.1}, darker ones {darker:.1}"
    );
    assert!(itself.abs() < 1e-3 * others);
    assert!(10.0 * others < darker);
    Ok(())
}
