//! The high-resolution levels of encoder and decoder, run for tiles instead of whole pictures.

use super::area::Area;
use super::tile::Tile;
use crate::layers::{Conv2d, GroupNorm};
use crate::tokenizer::blocks::ResnetBlock;
use crate::tokenizer::decoder::{Decoder, UpLevel};
use crate::tokenizer::encoder::{DownLevel, Encoder};
use burn::tensor::Tensor;

/// What a tile has of a level's map.
pub(super) struct Piece {
    /// `[1, rows, columns, channels]`.
    pub values: Tensor<4>,
    pub area: Area,
    pub level: usize,
}

impl Piece {
    /// The values of a part of it, `[1, rows, columns, channels]`.
    pub fn part(&self, area: &Area) -> Tensor<4> {
        cut(&self.values, &area.within(&self.area))
    }

    /// The piece without what lies outside of `area`.
    fn cropped(self, area: &Area) -> Self {
        if self.area == *area {
            return self;
        }
        Self {
            values: compact(self.part(area)),
            area: area.clone(),
            level: self.level,
        }
    }
}

/// A part of a map `[1, rows, columns, channels]`.
fn cut(map: &Tensor<4>, area: &Area) -> Tensor<4> {
    let channels = map.dims()[3];
    let (rows, columns) = (area.rows.clone(), area.columns.clone());
    map.clone().slice([0..1, rows, columns, 0..channels])
}

/// A copy that holds nothing but its own values: a slice keeps all of what it was cut from, and is copied whenever it
/// is read.
fn compact(values: Tensor<4>) -> Tensor<4> {
    let (device, dtype) = (values.device(), values.dtype());
    Tensor::from_data(values.into_data(), (&device, dtype))
}

/// Sees what a normalisation is about to read, of all tiles that run together. `None` ends the run.
pub(super) type See<'a> = dyn FnMut(&mut GroupNorm, &[Piece]) -> Option<()> + 'a;

/// Levels that run in tiles.
pub(super) trait Levels {
    /// Runs tiles together, layer by layer, and returns what becomes of their cores, in the order of the tiles.
    fn run(&mut self, tiles: &[Tile], see: &mut See<'_>) -> Option<Vec<Piece>>;

    /// The normalisations, in the order in which a run comes to them.
    fn norms(&mut self) -> Vec<&mut GroupNorm>;

    /// Runs a tile by itself.
    fn run_one(&mut self, tile: &Tile) -> Option<Piece> {
        let pieces = self.run(std::slice::from_ref(tile), &mut |_, _| Some(()));
        pieces.and_then(|mut pieces| pieces.pop())
    }
}

/// The first levels of an encoder: pictures to the map that its first whole level reads.
pub(super) struct Down<'a> {
    conv_in: Conv2d,
    levels: Vec<DownLevel>,
    /// Pixels `[1, rows, columns, channels]` of a part of the picture.
    pixels: &'a dyn Fn(&Area) -> Tensor<4>,
}

impl<'a> Down<'a> {
    pub fn new(encoder: &Encoder, levels: usize, pixels: &'a dyn Fn(&Area) -> Tensor<4>) -> Self {
        Self {
            conv_in: encoder.conv_in.clone(),
            levels: encoder.down[..levels].to_vec(),
            pixels,
        }
    }
}

impl Levels for Down<'_> {
    fn run(&mut self, tiles: &[Tile], see: &mut See<'_>) -> Option<Vec<Piece>> {
        let read = |tile: &Tile| Piece {
            values: self.conv_in.forward((self.pixels)(&tile.reads)),
            area: tile.reads.clone(),
            level: 0,
        };
        let mut pieces: Vec<Piece> = tiles.iter().map(read).collect();
        for (index, level) in self.levels.iter_mut().enumerate() {
            for block in &mut level.block {
                pieces = residual(block, pieces, see)?;
            }
            let downsample = level.downsample.as_ref()?;
            let lower = |(piece, tile): (Piece, &Tile)| {
                let halved = Piece {
                    values: downsample.forward(piece.values),
                    area: piece.area.halved(),
                    level: index + 1,
                };
                halved.cropped(&tile.kept[index].halved())
            };
            pieces = pieces.into_iter().zip(tiles).map(lower).collect();
        }
        Some(pieces)
    }

    fn norms(&mut self) -> Vec<&mut GroupNorm> {
        let blocks = self.levels.iter_mut().flat_map(|level| &mut level.block);
        blocks.flat_map(block_norms).collect()
    }
}

/// The last levels of a decoder: the map that its last whole level makes, to pictures.
pub(super) struct Up {
    /// From the highest resolution to the first level that runs whole, of which only the upsampling is used.
    levels: Vec<UpLevel>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    /// `[1, rows, columns, channels]`.
    pub map: Tensor<4>,
}

impl Up {
    pub fn new(decoder: &Decoder, levels: usize, map: Tensor<4>) -> Self {
        Self {
            levels: decoder.up[..=levels].to_vec(),
            norm_out: decoder.norm_out.clone(),
            conv_out: decoder.conv_out.clone(),
            map,
        }
    }
}

impl Levels for Up {
    fn run(&mut self, tiles: &[Tile], see: &mut See<'_>) -> Option<Vec<Piece>> {
        let whole = self.levels.len() - 1;
        let read = |tile: &Tile| Piece {
            values: compact(cut(&self.map, &tile.reads)),
            area: tile.reads.clone(),
            level: whole,
        };
        let mut pieces: Vec<Piece> = tiles.iter().map(read).collect();
        for index in (0..whole).rev() {
            let upsample = self.levels[index + 1].upsample.as_ref()?;
            let higher = |piece: Piece| Piece {
                values: upsample.forward(piece.values),
                area: piece.area.doubled(1),
                level: index,
            };
            pieces = pieces.into_iter().map(higher).collect();
            for block in &mut self.levels[index].block {
                pieces = residual(block, pieces, see)?;
            }
            if index > 0 {
                let crop = |(piece, tile): (Piece, &Tile)| piece.cropped(&tile.kept[index]);
                pieces = pieces.into_iter().zip(tiles).map(crop).collect();
            }
        }
        see(&mut self.norm_out, &pieces)?;
        let last = |(piece, tile): (Piece, &Tile)| {
            let input = piece.values;
            let output = Piece {
                values: self
                    .conv_out
                    .forward_normalized(&self.norm_out, input, None),
                ..piece
            };
            output.cropped(&tile.kept[0])
        };
        Some(pieces.into_iter().zip(tiles).map(last).collect())
    }

    fn norms(&mut self) -> Vec<&mut GroupNorm> {
        let whole = self.levels.len() - 1;
        let levels = self.levels[..whole].iter_mut().rev();
        let blocks = levels.flat_map(|level| &mut level.block);
        let mut norms: Vec<&mut GroupNorm> = blocks.flat_map(block_norms).collect();
        norms.push(&mut self.norm_out);
        norms
    }
}

fn block_norms(block: &mut ResnetBlock) -> [&mut GroupNorm; 2] {
    [&mut block.norm1, &mut block.norm2]
}

fn residual(block: &mut ResnetBlock, inputs: Vec<Piece>, see: &mut See<'_>) -> Option<Vec<Piece>> {
    see(&mut block.norm1, &inputs)?;
    let first = |input: &Piece| Piece {
        values: block.first(input.values.clone()),
        area: input.area.clone(),
        level: input.level,
    };
    let hidden: Vec<Piece> = inputs.iter().map(first).collect();
    see(&mut block.norm2, &hidden)?;
    let second = |(hidden, input): (Piece, Piece)| Piece {
        values: block.second(hidden.values, input.values),
        ..hidden
    };
    Some(hidden.into_iter().zip(inputs).map(second).collect())
}
