//! Samples to look at while a prior trains.

use super::condition::layout::picture_of_layout;
use super::condition::{Condition, Conditioning, Fixed};
use super::config::PriorConfig;
use super::network::Prior;
use super::sequences::{Sequences, condition_tokens};
use crate::checkpoint::host_values;
use crate::data;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::sample::{Request, SampleOptions, decode_pictures, picture_seed, sample_codes};
use burn::tensor::{Shape, Tensor, TensorData};
use image::RgbImage;
use std::sync::Arc;

/// How many are drawn.
const SHOWN: usize = 16;

/// What draws the samples and makes pictures of them.
pub struct Preview<'a> {
    pub config: &'a PriorConfig,
    pub prior: &'a Prior,
    pub tokenizer: &'a Model,
    /// The tokenizer of the condition's pictures, where that is another.
    pub condition_tokenizer: Option<&'a Model>,
}

impl Preview<'_> {
    /// A sheet of samples: under classes that are spread over them, or under the conditions of pictures of `set`, which
    /// then stand above them, the conditions on top where they can be shown.
    ///
    /// # Errors
    /// A set without the condition that the prior is for.
    pub fn samples(&self, set: &dyn Sequences, seed: u64) -> Result<RgbImage> {
        let config = self.config;
        if let Condition::None(_) | Condition::Class(_) = config.condition {
            let of_class = |index| of_class(config, index);
            let conditions = (0..SHOWN).map(of_class).collect::<Result<_>>()?;
            let drawn = self.draw(conditions, seed)?;
            return Ok(data::grid(&drawn, 8, data::GRID_PADDING));
        }
        let pictures = spread(set.count());
        let of_picture = |&picture: &usize| of_picture(config, self.prior, set, picture);
        let conditions = pictures.iter().map(of_picture).collect::<Result<_>>()?;
        let drawn = self.draw(conditions, seed)?;
        let real: Vec<Vec<i64>> = pictures.iter().map(|&picture| set.codes(picture)).collect();
        let real = decode_pictures(self.tokenizer, &real, self.grid(), SHOWN);
        let shown = |&picture: &usize| self.condition(&set.condition(picture)).transpose();
        let shown: Vec<RgbImage> = pictures.iter().filter_map(shown).collect::<Result<_>>()?;
        Ok(match shown.is_empty() {
            true => data::stacked_grid(&[&real, &drawn], 8),
            false => data::stacked_grid(&[&shown, &real, &drawn], 8),
        })
    }

    fn grid(&self) -> [usize; 2] {
        [self.config.rows, self.config.columns]
    }

    fn draw(&self, conditions: Vec<Arc<dyn Conditioning>>, seed: u64) -> Result<Vec<RgbImage>> {
        let codes = self.config.codes();
        let request =
            |(index, condition)| Request::new(condition, codes, picture_seed(seed, index));
        let requests: Vec<Request> = conditions.into_iter().enumerate().map(request).collect();
        let options = SampleOptions {
            batch: SHOWN,
            codes_per_position: self.tokenizer.tokenizer_config.codes_per_position,
            ..SampleOptions::default()
        };
        let codes = sample_codes(
            self.prior.clone(),
            self.config,
            self.tokenizer.tokenizer_config.codes(),
            &requests,
            options,
            |_| {},
        )?;
        Ok(decode_pictures(self.tokenizer, &codes, self.grid(), SHOWN))
    }

    /// What a condition's tokens say, as a picture; nothing of those that say nothing to the eye.
    fn condition(&self, tokens: &[i64]) -> Result<Option<RgbImage>> {
        let condition = &self.config.condition;
        if let Condition::Layout(layout) = condition {
            let [height, width] = self.tokenizer.tokenizer_config.pixels_of(self.grid());
            let sides = (width as u32, height as u32);
            return picture_of_layout(layout, tokens, sides).map(Some);
        }
        let Some(picture) = condition.second_picture() else {
            return Ok(None);
        };
        let tokenizer = self.condition_tokenizer.unwrap_or(self.tokenizer);
        let known = 0..tokenizer.tokenizer_config.codes() as i64;
        if !tokens.iter().all(|token| known.contains(token)) {
            return Err(Error::input(
                "the codes of a condition are not of the condition's tokenizer",
            ));
        }
        let shape = Shape::from([1, picture.codes.rows, picture.codes.columns]);
        let data = TensorData::new(tokens.to_vec(), shape);
        let decoded = tokenizer
            .tokenizer
            .decode_codes(Tensor::from_data(data, &tokenizer.device()));
        let [_, height, width, _] = decoded.dims();
        let values = host_values(decoded);
        let kind = picture.kind.name();
        Ok(Some(data::picture_of(&values, height, width, kind)))
    }
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
