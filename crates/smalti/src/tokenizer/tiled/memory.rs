//! What a network holds in memory while it runs: how many maps at a time, and how large they are.
//!
//! While a residual block runs, there are its input, the map between its convolutions and either the widened input or
//! the output; while attention runs, its input, queries, keys, values and output. Everything else is small beside
//! these.

use super::tile::Tile;
use crate::ops::Precision;
use crate::tokenizer::blocks::{AttnBlock, ResnetBlock};
use crate::tokenizer::decoder::Decoder;
use crate::tokenizer::encoder::Encoder;

/// Queries whose scores a thread holds at a time (`smalti-kernels/src/attention.rs`).
const QUERIES: usize = 64;

/// What of a level decides how much memory it takes.
#[derive(Debug, Clone)]
pub(super) struct Level {
    /// Inputs and outputs of its residual blocks; there is at least one.
    pub blocks: Vec<[usize; 2]>,
    /// Whether it looks over the whole map.
    pub attention: bool,
}

impl Level {
    /// Channels of its map at the end.
    pub fn width(&self) -> usize {
        self.blocks.last().map_or(0, |&[_, outputs]| outputs)
    }

    /// Values for each position, of a map that runs by itself.
    fn alone(&self) -> usize {
        let block = |&[inputs, outputs]: &[usize; 2]| 2 * outputs + inputs.max(outputs);
        self.blocks.iter().map(block).max().unwrap_or(0)
    }

    /// The same, of maps that run together, one after the other through each layer.
    fn together(&self) -> usize {
        let block = |&[inputs, outputs]: &[usize; 2]| inputs + outputs;
        self.blocks.iter().map(block).max().unwrap_or(0)
    }
}

/// Encoder or decoder, as far as memory goes.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// From the highest resolution to the lowest.
    pub levels: Vec<Level>,
    pub precision: Precision,
}

impl Memory {
    pub fn of_encoder(encoder: &Encoder, precision: Precision) -> Self {
        let levels = encoder.down.iter();
        Self::of(
            levels.map(|level| (&level.block[..], &level.attn[..])),
            precision,
        )
    }

    pub fn of_decoder(decoder: &Decoder, precision: Precision) -> Self {
        let levels = decoder.up.iter();
        Self::of(
            levels.map(|level| (&level.block[..], &level.attn[..])),
            precision,
        )
    }

    fn of<'a>(
        levels: impl ExactSizeIterator<Item = (&'a [ResnetBlock], &'a [AttnBlock])>,
        precision: Precision,
    ) -> Self {
        let count = levels.len();
        let levels = levels
            .enumerate()
            .map(|(index, (blocks, attention))| Level {
                blocks: blocks.iter().map(widths).collect(),
                // The middle block looks over the whole map, and lies at the lowest resolution.
                attention: !attention.is_empty() || index + 1 == count,
            });
        Self {
            levels: levels.collect(),
            precision,
        }
    }

    /// How many levels can run in tiles: those before the first that looks over the whole map.
    pub fn most_levels(&self) -> usize {
        let first = self.levels.iter().position(|level| level.attention);
        first.unwrap_or(self.levels.len())
    }

    /// Bytes for a picture of `size` pixels, of the levels from number `first` on, which run whole.
    pub fn whole(&self, first: usize, size: [usize; 2]) -> f64 {
        let level = |(index, level): (usize, &Level)| {
            let positions = positions(size, index);
            let blocks = self.bytes(level.alone() as f64 * positions);
            if level.attention {
                blocks.max(self.attention(level.width(), positions))
            } else {
                blocks
            }
        };
        let levels = self.levels.iter().enumerate().skip(first);
        levels.map(level).fold(0.0, f64::max)
    }

    /// Bytes of a tile.
    pub fn tile(&self, tile: &Tile) -> f64 {
        self.largest(tile, Level::alone)
    }

    /// Bytes that a tile adds to others that run together with it.
    pub fn sampled(&self, tile: &Tile) -> f64 {
        self.largest(tile, Level::together)
    }

    fn largest(&self, tile: &Tile, values: impl Fn(&Level) -> usize) -> f64 {
        let maps = self.levels.iter().zip(&tile.maps);
        let maps = maps.map(|(level, map)| values(level) as f64 * map.positions() as f64);
        self.bytes(maps.fold(0.0, f64::max))
    }

    fn bytes(&self, values: f64) -> f64 {
        match self.precision {
            Precision::F32 => 4.0 * values,
            Precision::Bf16 => 2.0 * values,
        }
    }

    /// Attention computes in f32, with copies of what is not.
    fn attention(&self, channels: usize, positions: f64) -> f64 {
        let maps = match self.precision {
            Precision::F32 => 5.0 * 4.0,
            Precision::Bf16 => 5.0 * 2.0 + 4.0 * 4.0,
        };
        let scores = 4.0 * (QUERIES * rayon::current_num_threads()) as f64 * positions;
        maps * channels as f64 * positions + scores
    }
}

/// Inputs and outputs.
fn widths(block: &ResnetBlock) -> [usize; 2] {
    let [outputs, inputs, ..] = block.conv1.weight.dims();
    [inputs, outputs]
}

fn positions([height, width]: [usize; 2], level: usize) -> f64 {
    (height >> level) as f64 * (width >> level) as f64
}
