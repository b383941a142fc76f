//! Samples to look at while a prior trains.

use super::condition::{Condition, Conditioning, Fixed};
use super::config::PriorConfig;
use super::network::Prior;
use super::sequences::{Sequences, condition_tokens};
use crate::data;
use crate::error::Result;
use crate::model::Model;
use crate::sample::{Request, SampleOptions, decode_pictures, picture_seed, sample_codes};
use image::RgbImage;
use std::sync::Arc;

/// How many are drawn.
const SHOWN: usize = 16;

/// A sheet of samples: under classes that are spread over them, or under the conditions of pictures of `set`, which then
/// stand above them.
///
/// # Errors
/// A set without the condition that the prior is for.
pub fn samples(
    tokenizer: &Model,
    (config, prior): (&PriorConfig, &Prior),
    set: &dyn Sequences,
    seed: u64,
) -> Result<RgbImage> {
    let pictures: Vec<usize> = match config.condition {
        Condition::None(_) | Condition::Class(_) => Vec::new(),
        _ => spread(set.count()),
    };
    let conditions: Vec<Arc<dyn Conditioning>> = if pictures.is_empty() {
        (0..SHOWN)
            .map(|index| of_class(config, index))
            .collect::<Result<_>>()?
    } else {
        pictures
            .iter()
            .map(|&picture| of_picture(config, prior, set, picture))
            .collect::<Result<_>>()?
    };
    let requests: Vec<Request> = conditions
        .into_iter()
        .enumerate()
        .map(|(index, condition)| {
            Request::new(condition, config.codes(), picture_seed(seed, index))
        })
        .collect();
    let options = SampleOptions {
        batch: SHOWN,
        ..SampleOptions::default()
    };
    let codebook_size = tokenizer.tokenizer_config.codes();
    let codes = sample_codes(
        prior.clone(),
        config,
        codebook_size,
        &requests,
        options,
        |_| {},
    )?;
    let grid = [config.rows, config.columns];
    let drawn = decode_pictures(tokenizer, &codes, grid, SHOWN);
    if pictures.is_empty() {
        return Ok(data::grid(&drawn, 8, data::GRID_PADDING));
    }
    let given: Vec<Vec<i64>> = pictures.iter().map(|&picture| set.codes(picture)).collect();
    let given = decode_pictures(tokenizer, &given, grid, SHOWN);
    Ok(data::pairs_grid(&given, &drawn, 8))
}

/// Pictures from all over a set.
fn spread(count: usize) -> Vec<usize> {
    let shown = count.min(SHOWN);
    (0..shown).map(|index| index * count / shown).collect()
}

fn of_class(config: &PriorConfig, index: usize) -> Result<Arc<dyn Conditioning>> {
    let class = match &config.condition {
        Condition::Class(condition) => Some(index * condition.classes / SHOWN),
        _ => None,
    };
    Ok(Arc::new(Fixed(config.condition.tokens(class)?)))
}

fn of_picture(
    config: &PriorConfig,
    prior: &Prior,
    set: &dyn Sequences,
    picture: usize,
) -> Result<Arc<dyn Conditioning>> {
    Ok(match prior.text_vectors(&set.text(picture)) {
        Some(vectors) => Arc::new(vectors),
        None => Arc::new(Fixed(condition_tokens(config, set, picture)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_taken_from_everywhere() {
        assert_eq!(spread(3), [0, 1, 2]);
        let many = spread(1000);
        assert_eq!((many.len(), many[0], many[15]), (16, 0, 937));
        assert!(spread(0).is_empty());
    }
}
