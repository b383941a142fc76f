//! From squares of pictures to what a prior reads: the codes of each, and what the condition says of it.

use super::codes::CodeSet;
use super::condition::{Condition, CoordCondition, LayoutCondition, Patches, SecondPicture};
use super::source::ConditionSource;
use super::squares::{Cut, Squares};
use crate::data::{Object, Raster, View};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::text::{Captions, TextEncoder};
use rayon::prelude::*;

/// What makes sequences.
pub struct SequenceMaker<'a> {
    pub tokenizer: &'a Model,
    pub condition: &'a Condition,
    /// What makes the codes of the condition's pictures.
    pub condition_tokenizer: &'a Model,
    pub source: &'a ConditionSource<'a>,
    /// Of what is drawn by chance: which of several captions, the order of objects.
    pub seed: u64,
}

impl SequenceMaker<'_> {
    /// The sequences of squares of one size, without their classes and the hash of their tokenizer.
    ///
    /// # Errors
    /// Squares to which the condition's part is missing, or of which there are other numbers of tokens than the prior
    /// reads.
    pub fn make(&self, squares: &Squares) -> Result<CodeSet> {
        let side = squares.side();
        let tokenizer = &self.tokenizer.tokenizer_config;
        let [rows, columns] = tokenizer.grid([side; 2]);
        let mut set = CodeSet {
            rows,
            columns,
            factor: tokenizer.factor(),
            codebook_size: tokenizer.codes(),
            ..CodeSet::default()
        };
        set.encode_rasters(self.tokenizer, &squares.pictures);
        match (self.condition, self.source) {
            (Condition::None(_) | Condition::Class(_), _) => {}
            (Condition::Coord(condition), _) => set.condition = coordinates(*condition, squares),
            (Condition::Layout(condition), ConditionSource::Objects(objects)) => {
                set.condition = self.layouts(condition, objects, squares)?;
            }
            (Condition::Text(_), ConditionSource::Captions(captions, encoder)) => {
                set.texts = self.texts(captions, encoder, squares);
            }
            (condition, _) => match condition.second_picture() {
                Some(picture) => set.condition = self.second_pictures(picture, squares)?,
                None => {
                    return Err(Error::input(format!(
                        "there is nothing to make the condition, {}, from",
                        condition.name()
                    )));
                }
            },
        }
        Ok(set)
    }

    fn second_pictures(&self, picture: SecondPicture<'_>, squares: &Squares) -> Result<Vec<i64>> {
        let tokenizer = self.condition_tokenizer;
        let Some(made) = picture.made else {
            if squares.companions.len() != squares.len() {
                return Err(Error::input("there is no second picture for every picture"));
            }
            return picture.codes.of_squares(tokenizer, &squares.companions);
        };
        let coarse: Result<Vec<Raster>> = squares
            .pictures
            .par_iter()
            .map(|square| made.coarse(square))
            .collect();
        picture.codes.of_squares(tokenizer, &coarse?)
    }

    fn layouts(
        &self,
        condition: &LayoutCondition,
        objects: &[Vec<Object>],
        squares: &Squares,
    ) -> Result<Vec<i64>> {
        let mut tokens = Vec::new();
        for cut in &squares.cuts {
            let view = View::of(cut.place, squares.side() as u32, cut.sides);
            let shuffle = Some(self.seed ^ chance(cut).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let objects = objects.get(cut.item).map_or(&[][..], Vec::as_slice);
            tokens.extend(condition.tokens(objects, view, shuffle)?);
        }
        Ok(tokens)
    }

    fn texts(&self, captions: &Captions, encoder: &TextEncoder, squares: &Squares) -> Vec<f32> {
        let vector = |cut: &Cut| encoder.encode(captions.draw(cut.item, self.seed, chance(cut)));
        squares.cuts.iter().flat_map(vector).collect()
    }
}

/// A number of its own for every square, mirrored ones included.
fn chance(cut: &Cut) -> u64 {
    2 * cut.number + u64::from(cut.place.mirrored)
}

fn coordinates(condition: CoordCondition, squares: &Squares) -> Vec<i64> {
    let tokens = |cut: &Cut| {
        let (width, height) = cut.sides;
        condition.tokens(Patches {
            corner: cut.corner(squares.side()),
            count: [condition.rows, condition.columns],
            picture: [height as usize, width as usize],
        })
    };
    squares.cuts.iter().flat_map(tokens).collect()
}
