//! From a prior to pictures: logits are filtered and drawn from, one code after another, and the codes decoded.

mod completion;
mod draw;
mod filter;
mod guidance;
pub mod neighbours;
mod next_code;
mod path;
mod reader;
pub mod rejection;
mod request;
mod sampler;

pub use completion::{Cells, Keep, known_codes};
pub use draw::Progress;
pub use filter::Filter;
pub use guidance::Guidance;
pub use path::Windowing;
pub use request::{Request, class_condition, picture_seed};
pub use sampler::Sampler;
pub use smalti_kernels::decoding::WeightFormat;

use crate::checkpoint::host_values;
use crate::data;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::prior::{Prior, PriorConfig};
use burn::tensor::{Shape, Tensor, TensorData};
use image::RgbImage;
use next_code::NextCode;

/// How codes are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    pub filter: Filter,
    pub guidance: Guidance,
    /// Codes drawn at the same time: of that many pictures, or of that many rows of a large one. It decides speed and
    /// memory, and no code.
    pub batch: usize,
    /// How a GPT's weights are kept while drawing on the CPU. Compact ones are read faster and round.
    pub weights: WeightFormat,
    /// Rows and columns of codes; `None` is the prior's own grid.
    pub grid: Option<[usize; 2]>,
    /// Codes that stand side by side for one position, as the tokenizer has it: a window moves by whole positions.
    pub codes_per_position: usize,
    /// How a grid larger than the prior's own is drawn.
    pub windowing: Windowing,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            guidance: Guidance::default(),
            batch: 8,
            weights: WeightFormat::F32,
            grid: None,
            codes_per_position: 1,
            windowing: Windowing::default(),
        }
    }
}

impl SampleOptions {
    /// Says what is wrong with options that cannot be used.
    pub fn check(&self) -> Result<()> {
        if self.batch == 0 {
            return Err(Error::input("--batch is 0; it must be at least 1"));
        }
        self.guidance.check()?;
        self.filter.check()
    }

    /// Rows and columns of codes to draw.
    ///
    /// # Errors
    /// When they are fewer than the prior's own, or more and the prior has no window.
    pub fn grid(&self, config: &PriorConfig) -> Result<[usize; 2]> {
        let own = [config.rows, config.columns];
        let grid = self.grid.unwrap_or(own);
        if grid[0] < own[0] || grid[1] < own[1] {
            return Err(Error::input(format!(
                "{} × {} codes were asked for, but this prior draws at least {} × {}",
                grid[0], grid[1], own[0], own[1]
            )));
        }
        if grid != own && !config.network.is_gpt() {
            return Err(Error::input(format!(
                "{} × {} codes were asked for, but this prior, a pixelsnail, draws its own {} × {} only",
                grid[0], grid[1], own[0], own[1]
            )));
        }
        Ok(grid)
    }
}

/// [`Sampler::draw`] for those who draw once.
pub fn sample_codes(
    prior: impl Into<Prior>,
    config: &PriorConfig,
    codebook_size: usize,
    requests: &[Request],
    options: SampleOptions,
    progress: impl FnMut(&Progress<'_>),
) -> Result<Vec<Vec<i64>>> {
    Sampler::new(prior, config, codebook_size, options)?.draw(requests, progress)
}

/// Codes of `rows` × `columns` each, to pictures.
pub fn decode_pictures(
    model: &Model,
    codes: &[Vec<i64>],
    [rows, columns]: [usize; 2],
    batch: usize,
) -> Vec<RgbImage> {
    let device = model.device();
    let [height, width] = model.tokenizer_config.pixels_of([rows, columns]);
    let mut pictures = Vec::with_capacity(codes.len());
    for chunk in codes.chunks(batch.max(1)) {
        let shape = Shape::from([chunk.len(), rows, columns]);
        let codes = Tensor::from_data(TensorData::new(chunk.concat(), shape), &device);
        let pixels = host_values(model.tokenizer.decode_codes(codes));
        for picture in pixels.chunks(height * width * 3) {
            pictures.push(data::to_image(picture, height, width));
        }
    }
    pictures
}

#[cfg(test)]
mod tests;
