//! Big pictures in bounded memory: the high-resolution levels run tile by tile, the others once.
//!
//! A network's memory goes into its high-resolution levels, whose maps are large and whose convolutions see a few
//! pixels around. What looks at the whole picture, the attention, lies in the low-resolution levels, whose maps are
//! small. So the first levels run for one tile after the other, each with as much around it as the convolutions reach
//! (`tile`); the rest runs on the whole map, as ever. What is left to be shared is the statistics of group
//! normalisation: they are taken before (`statistics`) and then fixed, so tiles agree wherever they meet.
//!
//! With the picture's own statistics the result is that of the picture at once, up to rounding; with those of a sample
//! it differs a little, the same way everywhere.

mod area;
mod levels;
mod memory;
mod plan;
mod statistics;
#[cfg(test)]
mod tests;
mod tile;

pub use area::Area;
pub use plan::{BUDGET, Plan, TileOptions, Tiling};

use super::family::{Decoder, Encoder};
use super::network::Tokenizer;
use crate::checkpoint::host_values;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use levels::{Down, Levels, Piece, Up};
use plan::{Statistics, Tiles};
use statistics::{fix_by_everything, fix_by_sample};

/// Runs the encoder: what it makes of a picture, `[1, h/f, w/f, z_channels]`. `pixels` gives a part of the picture,
/// padded to whole multiples of f, as `[1, rows, columns, 3]` in [-1, 1]; `progress` is called [`Plan::steps`] times.
pub fn encode(
    tokenizer: &Tokenizer,
    plan: &Plan,
    pixels: &dyn Fn(&Area) -> Tensor<4>,
    progress: &mut dyn FnMut(),
) -> Tensor<4> {
    let precision = tokenizer.precision;
    let read = |area: &Area| precision.of(pixels(area));
    let (Some(tiles), Encoder::Taming(encoder)) = (&plan.tiles, &tokenizer.encoder) else {
        return tokenizer.encoder.forward(read(&Area::whole(plan.size)));
    };
    let mut down = Down::new(encoder, tiles.levels, &read);
    fix(&mut down, tiles, progress);
    let mut map = Map::new(tiles.cells());
    for tile in tiles.all() {
        if let Some(piece) = down.run_one(&tile) {
            map.put(piece);
        }
        progress();
    }
    let device = encoder.conv_in.weight.val().device();
    encoder.forward_from(tiles.levels, precision.of(map.into_tensor(&device)))
}

/// Runs the decoder on quantised latents `[1, rows, columns, embed_dim]`. `put` gets the picture in parts, each as
/// `rows · columns · 3` values; `progress` is called [`Plan::steps`] times.
pub fn decode(
    tokenizer: &Tokenizer,
    plan: &Plan,
    latent: Tensor<4>,
    put: &mut dyn FnMut(&Area, &[f32]),
    progress: &mut dyn FnMut(),
) {
    let (Some(tiles), Decoder::Taming(decoder)) = (&plan.tiles, &tokenizer.decoder) else {
        let pixels = host_values(tokenizer.decode(latent));
        return put(&Area::whole(plan.size), &pixels);
    };
    let map = decoder.forward_to(tiles.levels, tokenizer.decoder_input(latent));
    let mut up = Up::new(decoder, tiles.levels, map);
    fix(&mut up, tiles, progress);
    for tile in tiles.all() {
        if let Some(piece) = up.run_one(&tile) {
            put(&piece.area, &host_values(piece.values));
        }
        progress();
    }
}

fn fix(levels: &mut impl Levels, tiles: &Tiles, progress: &mut dyn FnMut()) {
    match tiles.statistics() {
        Statistics::Sample(sample) => {
            fix_by_sample(levels, &sample);
            progress();
        }
        Statistics::Everything => fix_by_everything(levels, &tiles.all(), progress),
    }
}

/// A map that is put together from pieces.
struct Map {
    size: [usize; 2],
    channels: usize,
    values: Vec<f32>,
}

impl Map {
    fn new(size: [usize; 2]) -> Self {
        Self {
            size,
            channels: 0,
            values: Vec::new(),
        }
    }

    fn put(&mut self, piece: Piece) {
        let [rows, columns] = self.size;
        let channels = piece.values.dims()[3];
        self.channels = channels;
        self.values.resize(rows * columns * channels, 0.0);
        let values = host_values(piece.values);
        let width = piece.area.columns.len() * channels;
        for (row, values) in piece.area.rows.clone().zip(values.chunks_exact(width)) {
            let first = (row * columns + piece.area.columns.start) * channels;
            self.values[first..first + width].copy_from_slice(values);
        }
    }

    fn into_tensor(self, device: &Device) -> Tensor<4> {
        let [rows, columns] = self.size;
        let shape = Shape::from([1, rows, columns, self.channels]);
        Tensor::from_data(TensorData::new(self.values, shape), device)
    }
}
