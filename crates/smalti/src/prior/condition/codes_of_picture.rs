//! The codes of a second picture of the same place, a label map or depth say, made by a tokenizer of the condition's own
//! (`cond_stage_model` of taming/models/cond_transformer.py).

use super::GridTokens;
use crate::checkpoint::host_codes;
use crate::data::{Kind, Raster, tensor_of};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tokenizer::TokenizerConfig;
use crate::tokenizer::picture::encode_planned;
use crate::tokenizer::tiled::{Plan, TileOptions};
use image::{ImageBuffer, Pixel};
use serde::{Deserialize, Serialize};

/// Values of pixels that go through the tokenizer at once: label maps have a channel for every class.
const AT_ONCE: usize = 1 << 23;
/// The most pictures that do.
const BATCH: usize = 32;

/// What makes the codes, and how many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CodesOfPicture {
    /// The shape of the tokenizer, which is in the model's file under `condition.`. Without one, the tokenizer of the
    /// pictures makes these codes as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Box<TokenizerConfig>>,
    /// Rows and columns of codes for one picture of the prior's size.
    pub rows: usize,
    pub columns: usize,
    /// The side of the square that a picture of the prior's size is brought to before, each pixel taking the nearest
    /// (`downsample_cond_size`); 0 leaves it as it is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: usize,
}

fn is_zero(size: &usize) -> bool {
    *size == 0
}

impl CodesOfPicture {
    /// The codes of squares of `side` pixels, brought to `size` pixels before, by a tokenizer of this shape. `own` says
    /// whether it is another than that of the pictures.
    ///
    /// # Errors
    /// Squares that cannot be divided into codes.
    pub fn new(tokenizer: &TokenizerConfig, own: bool, side: usize, size: usize) -> Result<Self> {
        let read = if size == 0 { side } else { size };
        if read == 0 || !read.is_multiple_of(tokenizer.factor()) {
            return Err(Error::input(format!(
                "pictures of the condition have {read} × {read} pixels; their sides must be multiples of {}, the \
                 downsampling factor of their tokenizer (condition_size brings them to another size)",
                tokenizer.factor()
            )));
        }
        let [rows, columns] = tokenizer.grid([read; 2]);
        Ok(Self {
            tokenizer: own.then(|| Box::new(tokenizer.clone())),
            rows,
            columns,
            size,
        })
    }

    pub fn length(&self) -> usize {
        self.rows.saturating_mul(self.columns)
    }

    /// How many codes its own tokenizer has.
    pub fn vocabulary(&self) -> usize {
        let tokenizer = self.tokenizer.as_ref();
        tokenizer.map_or(0, |tokenizer| tokenizer.codes())
    }

    /// Whether it can be built, for pictures of this kind.
    pub fn check(&self, kind: Kind) -> Result<()> {
        kind.check()?;
        for (name, value) in [("rows", self.rows), ("columns", self.columns)] {
            if !(1..=1 << 24).contains(&value) {
                return Err(Error::input(format!(
                    "{name} of the condition is {value}; it must be at least 1 and at most {}",
                    1 << 24
                )));
            }
        }
        let Some(tokenizer) = &self.tokenizer else {
            return Ok(());
        };
        tokenizer
            .check()
            .map_err(|error| Error::input(format!("the condition's tokenizer: {error}")))?;
        if tokenizer.in_channels == kind.channels() {
            return Ok(());
        }
        Err(Error::input(format!(
            "the condition's tokenizer reads {} channels, but {} have {}",
            tokenizer.in_channels,
            kind.name().label(),
            kind.channels()
        )))
    }

    /// The codes of squares of the prior's size, `[squares, rows · columns]`.
    ///
    /// # Errors
    /// Squares of which the tokenizer makes more or fewer codes.
    pub fn of_squares(&self, tokenizer: &Model, squares: &[Raster]) -> Result<Vec<i64>> {
        let side = match self.size {
            0 => squares.first().map_or(0, |square| square.dimensions().0) as usize,
            size => size,
        };
        let values = side * side * tokenizer.tokenizer_config.in_channels;
        let batch = (AT_ONCE / values.max(1)).clamp(1, BATCH);
        let mut all = Vec::with_capacity(squares.len() * self.length());
        for chunk in squares.chunks(batch) {
            let pixels = match self.size {
                0 => tensor_of(chunk, &tokenizer.device()),
                size => {
                    let near: Vec<Raster> = chunk
                        .iter()
                        .map(|square| nearest(square, [size; 2]))
                        .collect();
                    tensor_of(&near, &tokenizer.device())
                }
            };
            let codes = tokenizer.tokenizer.encode(pixels).codes;
            let [_, rows, columns] = codes.dims();
            if [rows, columns] != [self.rows, self.columns] {
                return Err(Error::input(format!(
                    "the condition's tokenizer makes {rows} × {columns} codes, but this prior reads {} × {}",
                    self.rows, self.columns
                )));
            }
            all.extend(host_codes(codes));
        }
        Ok(all)
    }

    /// The codes of a picture of any size, which lies under a picture of `grid` codes; the prior's own grid is `own`.
    /// What would take much memory runs in tiles.
    ///
    /// # Errors
    /// A picture that has fewer codes than one of the prior's size.
    pub fn of_picture(
        &self,
        tokenizer: &Model,
        picture: &Raster,
        grid: [usize; 2],
        own: [usize; 2],
    ) -> Result<GridTokens> {
        let near = match self.size {
            0 => None,
            size => {
                let side = |axis: usize| (size * grid[axis]).div_ceil(own[axis].max(1));
                Some(nearest(picture, [side(0), side(1)]))
            }
        };
        let picture = near.as_ref().unwrap_or(picture);
        let (width, height) = picture.dimensions();
        let plan = Plan::encoder(
            tokenizer,
            [height as usize, width as usize],
            &TileOptions::default(),
        )?;
        let (codes, counts) = encode_planned(tokenizer, picture, &plan, &mut || ());
        GridTokens::new(codes, counts, [self.rows, self.columns])
    }
}

/// A picture of `height` × `width` pixels, each of which is the nearest at or before its place, as PyTorch's
/// `interpolate` takes them by default.
fn nearest(raster: &Raster, size: [usize; 2]) -> Raster {
    match raster {
        Raster::Rgb(image) => Raster::Rgb(nearest_pixels(image, size)),
        Raster::Labels { map, classes } => Raster::Labels {
            map: nearest_pixels(map, size),
            classes: *classes,
        },
        Raster::Depth(map) => Raster::Depth(nearest_pixels(map, size)),
    }
}

fn nearest_pixels<P: Pixel>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    [height, width]: [usize; 2],
) -> ImageBuffer<P, Vec<P::Subpixel>> {
    let source = |place: u32, length: u32, of: usize| {
        (u64::from(place) * u64::from(length) / (of as u64).max(1)) as u32
    };
    ImageBuffer::from_fn(width as u32, height as u32, |x, y| {
        let (x, y) = (
            source(x, image.width(), width),
            source(y, image.height(), height),
        );
        *image.get_pixel(x, y)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LabelImage;
    use crate::initializer::Initializer;
    use crate::model::ModelInfo;
    use crate::tokenizer::Tokenizer;
    use burn::tensor::Device;
    use std::slice::from_ref;

    fn config() -> TokenizerConfig {
        TokenizerConfig {
            resolution: 16,
            in_channels: 5,
            out_channels: 5,
            channels: 32,
            channel_multipliers: vec![1, 1, 1],
            z_channels: 32,
            codebook_size: 40,
            ..TokenizerConfig::default()
        }
    }

    fn tokenizer() -> Model {
        let mut init = Initializer::seeded(&Device::flex(), 3);
        Model {
            tokenizer: Tokenizer::new(&mut init, &config()),
            tokenizer_config: config(),
            prior: None,
            condition: None,
            info: ModelInfo::default(),
        }
    }

    fn labels(width: u32, height: u32, shift: u32) -> Raster {
        let map = LabelImage::from_fn(width, height, |x, y| {
            image::Luma([((x / 3 + y / 5 + shift) % 5) as u16])
        });
        Raster::Labels { map, classes: 5 }
    }

    #[test]
    fn squares_and_whole_pictures_have_the_same_codes() {
        let codes = CodesOfPicture::new(&config(), true, 16, 0).unwrap();
        assert_eq!((codes.rows, codes.columns, codes.vocabulary()), (4, 4, 40));
        let tokenizer = tokenizer();
        let squares = [labels(16, 16, 0), labels(16, 16, 1)];
        let of_squares = codes.of_squares(&tokenizer, &squares).unwrap();
        assert_eq!(of_squares.len(), 2 * codes.length());
        for (square, expected) in squares.iter().zip(of_squares.chunks(codes.length())) {
            let whole = codes
                .of_picture(&tokenizer, square, [4, 4], [4, 4])
                .unwrap();
            assert_eq!(whole.whole(), expected);
        }
        let large = codes.of_picture(&tokenizer, &labels(24, 32, 0), [8, 6], [4, 4]);
        assert_eq!(large.unwrap().whole().len(), 48);
        let other = codes.of_squares(&tokenizer, &[labels(32, 32, 0)]);
        assert!(other.unwrap_err().to_string().contains("8 × 8"));
    }

    #[test]
    fn pictures_may_be_made_smaller_before() {
        let codes = CodesOfPicture::new(&config(), true, 16, 8).unwrap();
        assert_eq!((codes.rows, codes.columns), (2, 2));
        let (tokenizer, square) = (tokenizer(), labels(16, 16, 2));
        let ours = codes.of_squares(&tokenizer, from_ref(&square)).unwrap();
        let plain = CodesOfPicture::new(&config(), true, 8, 0).unwrap();
        let near = nearest(&square, [8, 8]);
        assert_eq!(ours, plain.of_squares(&tokenizer, from_ref(&near)).unwrap());
        let whole = codes.of_picture(&tokenizer, &labels(32, 16, 2), [4, 8], [4, 4]);
        assert_eq!(whole.unwrap().whole().len(), 2 * 4);
    }

    /// Every k-th pixel from the first, as PyTorch has it; others take the pixel in the middle.
    #[test]
    fn the_nearest_pixel_is_the_one_at_or_before() {
        let Raster::Labels { map, .. } = nearest(&labels(15, 15, 0), [5, 3]) else {
            panic!("a label map stays one");
        };
        let expected = |x: u32, y: u32| ((x * 5 / 3 + y * 3 / 5) % 5) as u16;
        for (x, y, pixel) in map.enumerate_pixels() {
            assert_eq!(pixel.0[0], expected(x, y), "{x}, {y}");
        }
        let Raster::Labels { map, .. } = nearest(&labels(6, 5, 0), [5, 9]) else {
            panic!("a label map stays one");
        };
        let columns: Vec<u16> = map.pixels().take(9).map(|pixel| pixel.0[0]).collect();
        assert_eq!(columns, [0, 0, 0, 0, 0, 1, 1, 1, 1]);
    }

    #[test]
    fn tokenizers_of_other_pictures_are_refused() {
        let codes = CodesOfPicture::new(&config(), true, 16, 0).unwrap();
        let labels = |classes| Kind::Labels {
            classes,
            ignore: None,
        };
        codes.check(labels(5)).unwrap();
        let error = codes.check(labels(6)).unwrap_err().to_string();
        assert!(error.contains("reads 5 channels"), "{error}");
        let error = CodesOfPicture::new(&config(), true, 18, 0).unwrap_err();
        assert!(error.to_string().contains("multiples of 4"));
        let huge = CodesOfPicture {
            rows: usize::MAX,
            ..codes
        };
        assert!(huge.check(labels(5)).is_err());
    }
}
