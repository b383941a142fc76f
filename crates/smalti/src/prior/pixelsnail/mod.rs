//! PixelSNAIL (Chen et al. 2017): causal convolutions over the grid of codes, with attention over all codes before. It
//! is what "Taming Transformers" compares its transformer with (table 1), and the prior of VQ-VAE-2. Layers are plain
//! where the authors normalise their weights.

mod attention;
mod condition;
mod config;
mod residual;
#[cfg(test)]
mod tests;

pub use attention::AttentionBlock;
pub use condition::ConditionMap;
pub use config::PixelSnailConfig;
pub use residual::GatedResidual;

use super::codes::token_tensor;
use super::condition::Condition;
use super::config::PriorConfig;
use crate::checkpoint::host_values;
use crate::initializer::Initializer;
use crate::layers::{Conv2d, Embedding};
use crate::ops::{self, Convolution, Padding};
use attention::BACKGROUND;
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};

/// Predicts every code of a grid from those before it in reading order.
#[derive(Module, Debug)]
pub struct PixelSnail {
    pub codes: Embedding,
    /// The first layer: of rows above only, and of columns to the left only.
    pub above: Conv2d,
    pub left: Conv2d,
    pub blocks: Vec<Block>,
    pub mix: Conv2d,
    pub head: Conv2d,
    /// Where there is a condition.
    pub condition: Option<ConditionMap>,
    drop: Dropout,
    /// Rows and columns of codes.
    #[module(skip)]
    grid: [usize; 2],
    /// Tokens before the codes. Without a condition there is one, which is not read.
    #[module(skip)]
    condition_tokens: usize,
}

/// Gated residual blocks, then attention.
#[derive(Module, Debug)]
pub struct Block {
    pub residual: Vec<GatedResidual>,
    pub attention: AttentionBlock,
}

/// A convolution of the first layer, `kernel` rows and columns.
fn shifted(init: &mut Initializer, width: usize, kernel: [usize; 2], padding: Padding) -> Conv2d {
    let bound = 1.0 / ((width * kernel[0] * kernel[1]) as f32).sqrt();
    Conv2d {
        weight: init.uniform([width, width, kernel[0], kernel[1]], bound),
        bias: Some(init.uniform([width], bound)),
        convolution: Convolution { stride: 1, padding },
    }
}

impl PixelSnail {
    /// A new network; `config` must have passed [`PriorConfig::check`].
    pub fn new(init: &mut Initializer, config: &PriorConfig, shape: &PixelSnailConfig) -> Self {
        let (width, kernel) = (config.width, shape.kernel);
        // One row, and one column, more than keeps the size: the last, which sees all the others, is cut off.
        let above = Padding {
            top: kernel,
            bottom: 0,
            left: kernel - 1,
            right: kernel - 1,
        };
        let left = Padding {
            top: kernel - 1,
            left: kernel,
            ..Padding::default()
        };
        Self {
            codes: Embedding {
                weight: init.normal([config.vocabulary_size, width], 1.0),
            },
            above: shifted(init, width, [kernel, 2 * kernel - 1], above),
            left: shifted(init, width, [kernel, kernel], left),
            blocks: (0..config.layers)
                .map(|_| Block::new(init, config, shape))
                .collect(),
            mix: Conv2d::pointwise(init, [width, width]),
            head: Conv2d::pointwise(init, [width, config.vocabulary_size]),
            condition: ConditionMap::new(init, config),
            drop: DropoutConfig::new(config.embedding_dropout).init(),
            grid: [config.rows, config.columns],
            condition_tokens: config.condition.tokens_before(),
        }
    }

    /// Logits `[b, codes, vocabulary]` of every code of `tokens` `[b, condition + codes]`, given the condition and the
    /// codes before it. The codes are whole rows from the first on, at most as many as the grid has.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let hidden = self.hidden(tokens);
        let [batch, rows, columns, _] = hidden.dims();
        let logits = self.logits(hidden);
        let vocabulary = logits.dims()[3];
        logits.reshape([batch, rows * columns, vocabulary])
    }

    /// The logits `[sequences, vocabulary]` of the code after each of some sequences, which hold a condition and fewer
    /// codes than the grid has.
    pub(crate) fn next_codes(&self, sequences: &[Vec<i64>]) -> Vec<f32> {
        let place = |sequence: &Vec<i64>| sequence.len() - self.condition_tokens;
        let furthest = sequences.iter().map(place).max().unwrap_or(0);
        // Rows below are not seen.
        let rows = furthest / self.grid[1] + 1;
        let length = self.condition_tokens + rows * self.grid[1];
        let filled = |sequence: &Vec<i64>| {
            let mut tokens = sequence.clone();
            tokens.resize(length, 0);
            tokens
        };
        let tokens: Vec<Vec<i64>> = sequences.iter().map(filled).collect();
        let device = self.codes.weight.val().device();
        let hidden = self.hidden(token_tensor(&tokens, &device));
        let [batch, rows, columns, width] = hidden.dims();
        let hidden = hidden.reshape([batch, rows * columns, width]);
        let cell = |(row, sequence): (usize, &Vec<i64>)| {
            let place = place(sequence);
            hidden
                .clone()
                .slice([row..row + 1, place..place + 1, 0..width])
        };
        let cells: Vec<Tensor<3>> = sequences.iter().enumerate().map(cell).collect();
        let cells = Tensor::cat(cells, 0).reshape([batch, 1, 1, width]);
        host_values(self.logits(cells))
    }

    /// The key of a parameter in our files.
    pub fn file_key(path: &str) -> String {
        format!("pixelsnail.{path}")
    }

    /// Whether AdamW decays a parameter: weights of convolutions only, neither biases nor tables.
    pub fn decays(path: &str) -> bool {
        path.ends_with(".weight") && path != "codes.weight" && path != "condition.table.weight"
    }

    /// What is known at every position of the codes before it, `[b, rows, columns, width]`.
    fn hidden(&self, tokens: Tensor<2, Int>) -> Tensor<4> {
        let [batch, length] = tokens.dims();
        let (first, columns) = (self.condition_tokens, self.grid[1]);
        let rows = (length - first) / columns;
        let given = tokens.clone().slice([0..batch, 0..first]);
        let condition = self.condition.as_ref().map(|map| map.forward(given, rows));
        let codes = self.codes.forward(tokens.slice([0..batch, first..length]));
        let width = codes.dims()[2];
        let codes = self
            .drop
            .forward(codes)
            .reshape([batch, rows, columns, width]);
        let background = self.background([batch, rows], &codes.device());
        let mut hidden = self.before(codes.clone());
        for block in &self.blocks {
            hidden = block.forward(&codes, hidden, &background, condition.as_ref());
        }
        hidden
    }

    /// The first layer: what stands above a position and to the left of it.
    fn before(&self, codes: Tensor<4>) -> Tensor<4> {
        let [batch, rows, columns, width] = codes.dims();
        let place = [0..batch, 0..rows, 0..columns, 0..width];
        let above = self.above.forward(codes.clone()).slice(place.clone());
        above + self.left.forward(codes).slice(place)
    }

    /// Row and column of every cell, from -½ to below ½, `[b, rows, columns, 2]`.
    fn background(&self, [batch, rows]: [usize; 2], device: &Device) -> Tensor<4> {
        let [all_rows, columns] = self.grid;
        let centred = |place: usize, count: usize| place as f32 / count as f32 - 0.5;
        let values: Vec<f32> = (0..rows * columns)
            .flat_map(|cell| {
                [
                    centred(cell / columns, all_rows),
                    centred(cell % columns, columns),
                ]
            })
            .collect();
        let shape = Shape::from([1, rows, columns, BACKGROUND]);
        Tensor::<4>::from_data(TensorData::new(values, shape), device).repeat_dim(0, batch)
    }

    /// `[b, h, w, width]` to `[b, h, w, vocabulary]`.
    fn logits(&self, hidden: Tensor<4>) -> Tensor<4> {
        let mixed = self.mix.forward(ops::elu(hidden));
        self.head.forward(ops::elu(mixed))
    }
}

impl Block {
    fn new(init: &mut Initializer, config: &PriorConfig, shape: &PixelSnailConfig) -> Self {
        let conditional = !matches!(config.condition, Condition::None(_));
        let residual = (0..shape.residual_blocks).map(|_| {
            let channels = [config.width; 2];
            let block = GatedResidual::new(init, channels, shape.kernel, config.residual_dropout);
            match conditional {
                true => block.with_condition(init, config.width),
                false => block,
            }
        });
        Self {
            residual: residual.collect(),
            attention: AttentionBlock::new(init, config, shape.attention_width),
        }
    }

    fn forward(
        &self,
        codes: &Tensor<4>,
        mut hidden: Tensor<4>,
        background: &Tensor<4>,
        condition: Option<&Tensor<4>>,
    ) -> Tensor<4> {
        for block in &self.residual {
            hidden = block.forward(hidden, None, condition);
        }
        self.attention
            .forward(codes.clone(), hidden, background.clone())
    }
}
