//! Tiles against pictures at once.

use super::plan::Direction;
use super::statistics::Moments;
use super::tile::{Tile, partition};
use super::*;
use crate::checkpoint::host_codes;
use crate::data::bytes_to_floats;
use crate::initializer::Initializer;
use crate::layers::{Conv2d, GroupNorm};
use crate::model::{Model, ModelInfo};
use crate::ops::Precision;
use crate::tokenizer::TokenizerConfig;
use image::{Rgb, RgbImage};
use std::cell::RefCell;

fn device() -> Device {
    Device::flex()
}

/// A small network with attention at the lowest resolution.
fn model(multipliers: &[usize], residual_blocks: usize) -> Model {
    let config = TokenizerConfig {
        resolution: 64,
        channels: 32,
        channel_multipliers: multipliers.to_vec(),
        residual_blocks,
        attention_resolutions: vec![64 >> (multipliers.len() - 1)],
        z_channels: 32,
        codebook_size: 64,
        ..TokenizerConfig::default()
    };
    config.check().unwrap();
    Model {
        tokenizer: Tokenizer::new(&mut Initializer::seeded(&device(), 11), &config),
        tokenizer_config: config,
        prior: None,
        condition: None,
        info: ModelInfo::default(),
    }
}

fn smooth([height, width]: [usize; 2]) -> RgbImage {
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let waves = [x as f32 / 17.0, y as f32 / 23.0, (x + y) as f32 / 29.0];
        Rgb(waves.map(|phase| (128.0 + 90.0 * phase.sin()) as u8))
    })
}

fn rough([height, width]: [usize; 2]) -> RgbImage {
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let value = x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503);
        Rgb([value as u8, (value >> 8) as u8, (value >> 16) as u8])
    })
}

/// Part of a picture whose sides are multiples of f.
fn pixels(picture: &RgbImage, area: &Area) -> Tensor<4> {
    let [rows, columns] = area.size();
    let (left, top) = (area.columns.start as u32, area.rows.start as u32);
    let part = image::imageops::crop_imm(picture, left, top, columns as u32, rows as u32);
    let floats = bytes_to_floats(part.to_image().as_raw());
    let shape = Shape::from([1, rows, columns, 3]);
    Tensor::from_data(TensorData::new(floats, shape), &device())
}

/// How a picture goes through one half of a network, in tiles of `side` cells in the first `levels` levels.
fn tiled(
    model: &Model,
    direction: Direction,
    size: [usize; 2],
    [levels, side]: [usize; 2],
) -> Plan {
    let options = TileOptions {
        tiling: Tiling::Side(8),
        ..TileOptions::default()
    };
    let plan = match direction {
        Direction::Down => Plan::encoder(model, size, &options),
        Direction::Up => Plan::decoder(model, size, &options),
    };
    let mut plan = plan.unwrap();
    let tiles = plan.tiles.as_mut().unwrap();
    (tiles.levels, tiles.side) = (levels, side);
    plan
}

/// The vectors before quantisation, and how often progress was reported.
fn vectors(model: &Model, picture: &RgbImage, plan: &Plan) -> (Tensor<4>, usize) {
    let mut steps = 0;
    let read = |area: &Area| pixels(picture, area);
    let hidden = encode(&model.tokenizer, plan, &read, &mut || steps += 1);
    (model.tokenizer.vectors_of(hidden), steps)
}

/// The values of the picture that a latent stands for, and how often progress was reported.
fn decoded(model: &Model, latent: &Tensor<4>, plan: &Plan) -> (Vec<f32>, usize) {
    let [height, width] = plan.size;
    let mut picture = vec![f32::NAN; height * width * 3];
    let mut put = |area: &Area, values: &[f32]| {
        let rows = values.chunks_exact(3 * area.columns.len());
        for (row, values) in area.rows.clone().zip(rows) {
            let first = 3 * (row * width + area.columns.start);
            picture[first..first + values.len()].copy_from_slice(values);
        }
    };
    let mut steps = 0;
    let latent = latent.clone();
    decode(&model.tokenizer, plan, latent, &mut put, &mut || steps += 1);
    (picture, steps)
}

/// The largest difference.
fn largest(ours: &[f32], truth: &[f32]) -> f32 {
    assert_eq!(ours.len(), truth.len());
    assert!(
        ours.iter().all(|value| value.is_finite()),
        "values are missing"
    );
    let differences = ours
        .iter()
        .zip(truth)
        .map(|(ours, truth)| (ours - truth).abs());
    differences.fold(0.0, f32::max)
}

/// Root of the mean square of the difference, relative to the standard deviation of the truth.
fn relative(ours: &[f32], truth: &[f32]) -> f32 {
    let count = truth.len() as f32;
    let mean = truth.iter().sum::<f32>() / count;
    let deviation = truth
        .iter()
        .map(|truth| (truth - mean).powi(2))
        .sum::<f32>();
    let differences = ours
        .iter()
        .zip(truth)
        .map(|(ours, truth)| (ours - truth).powi(2));
    (differences.sum::<f32>() / deviation).sqrt()
}

/// Compares a picture in tiles with the picture at once: codes and pixels.
fn compare(model: &Model, picture: &RgbImage, change: impl Fn(&mut Tiles), shapes: &[[usize; 2]]) {
    let size = [picture.height() as usize, picture.width() as usize];
    let once = Plan::at_once(model, size);
    let (truth, _) = vectors(model, picture, &once);
    let quantized = model.tokenizer.quantize.forward(truth.clone());
    let (codes, truth) = (host_codes(quantized.codes), host_values(truth));
    let (pixels, _) = decoded(model, &quantized.latent, &once);
    for &shape in shapes {
        let mut down = tiled(model, Direction::Down, size, shape);
        let mut up = tiled(model, Direction::Up, size, shape);
        change(down.tiles.as_mut().unwrap());
        change(up.tiles.as_mut().unwrap());
        let (ours, steps) = vectors(model, picture, &down);
        assert_eq!(steps, down.steps());
        let difference = largest(&host_values(ours.clone()), &truth);
        assert!(
            difference <= 1e-4,
            "vectors of {size:?} in {shape:?}: {difference}"
        );
        let ours = host_codes(model.tokenizer.quantize.forward(ours).codes);
        assert_eq!(ours, codes, "{size:?} in {shape:?}");
        let (ours, steps) = decoded(model, &quantized.latent, &up);
        assert_eq!(steps, up.steps());
        let difference = largest(&ours, &pixels);
        assert!(
            difference <= 1e-4,
            "pixels of {size:?} in {shape:?}: {difference}"
        );
    }
}

fn taming_encoder(model: &Model) -> &crate::tokenizer::encoder::Encoder {
    match &model.tokenizer.encoder {
        Encoder::Taming(encoder) => encoder,
        _ => panic!("the default family is the paper's"),
    }
}

fn taming_decoder(model: &Model) -> &crate::tokenizer::decoder::Decoder {
    match &model.tokenizer.decoder {
        Decoder::Taming(decoder) => decoder,
        _ => panic!("the default family is the paper's"),
    }
}

#[test]
fn with_the_statistics_of_all_of_it_tiles_give_what_the_picture_at_once_gives() {
    let f4 = model(&[1, 2, 1], 1);
    for size in [[44, 60], [68, 36]] {
        compare(
            &f4,
            &rough(size),
            |_| (),
            &[[1, 3], [1, 50], [2, 1], [2, 4]],
        );
    }
    let f8 = model(&[1, 1, 2, 1], 2);
    let shapes = [[1, 7], [2, 5], [3, 2], [3, 50]];
    compare(&f8, &smooth([72, 56]), |_| (), &shapes);
}

#[test]
fn statistics_taken_one_after_the_other_are_those_of_all_of_it() {
    let model = model(&[1, 2, 1], 1);
    let exact = |tiles: &mut Tiles| {
        // No room for a sample of the whole.
        (tiles.exact, tiles.room) = (true, 0.0);
    };
    compare(&model, &rough([44, 52]), exact, &[[1, 9], [2, 5]]);
}

#[test]
fn bf16_stays_near_the_picture_at_once() {
    let mut model = model(&[1, 1], 1);
    model.tokenizer = model.tokenizer.with_precision(Precision::Bf16);
    let (picture, size) = (rough([36, 44]), [36, 44]);
    let (truth, _) = vectors(&model, &picture, &Plan::at_once(&model, size));
    let plan = tiled(&model, Direction::Down, size, [1, 5]);
    let (ours, _) = vectors(&model, &picture, &plan);
    let difference = relative(&host_values(ours), &host_values(truth));
    assert!(difference < 0.03, "{difference}");
}

#[test]
fn a_sample_gives_nearly_the_picture_at_once_and_no_seams() {
    let (model, size) = (model(&[1, 1, 1], 1), [224, 256]);
    let picture = smooth(size);
    let once = Plan::at_once(&model, size);
    let (truth, _) = vectors(&model, &picture, &once);
    let latent = model.tokenizer.quantize.forward(truth.clone()).latent;
    let (pixels, _) = decoded(&model, &latent, &once);
    let sampled = |direction, side| {
        let mut plan = tiled(&model, direction, size, [1, side]);
        // Not for the whole picture, but for some twenty parts of it.
        plan.tiles.as_mut().unwrap().room = 10e6;
        let text = plan.describe().unwrap();
        assert!(text.contains("samples"), "{text}");
        plan
    };
    let encoded = |side| host_values(vectors(&model, &picture, &sampled(Direction::Down, side)).0);
    let painted = |side| decoded(&model, &latent, &sampled(Direction::Up, side)).0;
    let whole = [encoded(200), painted(200)];
    for (what, ours, truth, bound) in [
        ("vectors", &whole[0], &host_values(truth), 0.6),
        ("pixels", &whole[1], &pixels, 0.9),
    ] {
        let difference = relative(ours, truth);
        println!("{what} with statistics of a sample: {difference} of their deviation");
        assert!(difference > 1e-4, "{what}: the sample was everything");
        assert!(difference < bound, "{what}: {difference}");
    }
    // The borders of tiles leave no trace: fewer tiles give the same picture.
    for (one, many) in whole.iter().zip([encoded(13), painted(13)]) {
        let difference = largest(&many, one);
        assert!(difference <= 1e-4, "{difference}");
    }
}

/// The piece that a run of the whole picture makes, cut to what tile `tile` is for.
fn part_of_whole(levels: &mut impl Levels, whole: &Tile, area: &Area) -> Vec<f32> {
    let piece: Piece = levels.run_one(whole).unwrap();
    host_values(piece.part(area))
}

#[test]
fn pixels_that_a_tile_does_not_read_do_not_matter_to_it() {
    let (model, size) = (model(&[1, 1, 1], 1), [64, 64]);
    for levels in [1, 2] {
        let picture = RefCell::new(rough(size));
        let read = |area: &Area| pixels(&picture.borrow(), area);
        let mut down = Down::new(taming_encoder(&model), levels, &read);
        let blocks = vec![1; levels];
        let cells = size.map(|side| side >> levels);
        let whole = Tile::down(Area::whole(cells), &blocks, size);
        fix_by_sample(&mut down, std::slice::from_ref(&whole));
        let core = partition(cells, cells[0] / 4)[5].clone();
        let tile = Tile::down(core, &blocks, size);
        let before = part_of_whole(&mut down, &whole, &tile.core);
        let column = (tile.reads.columns.start + tile.reads.columns.end) as u32 / 2;
        let mut changed = |row: usize| {
            let original = picture.borrow().clone();
            let Rgb(colour) = *original.get_pixel(column, row as u32);
            let opposite = colour.map(|value| value.wrapping_add(128));
            picture
                .borrow_mut()
                .put_pixel(column, row as u32, Rgb(opposite));
            let after = part_of_whole(&mut down, &whole, &tile.core);
            *picture.borrow_mut() = original;
            after != before
        };
        assert!(!changed(tile.reads.rows.start - 1));
        assert!(!changed(tile.reads.rows.end));
        assert!(changed((tile.reads.rows.start + tile.reads.rows.end) / 2));
        if levels == 1 {
            // The row before is there for evenness.
            assert!(!changed(tile.reads.rows.start));
            assert!(changed(tile.reads.rows.start + 1));
        }
    }
}

#[test]
fn cells_that_a_tile_does_not_read_do_not_matter_to_it() {
    let (model, size) = (model(&[1, 1, 1], 1), [128, 128]);
    for levels in [1, 2] {
        let cells = size.map(|side| side >> levels);
        let map = Initializer::seeded(&device(), 5).normal([1, cells[0], cells[1], 32], 1.0);
        let map = map.val();
        let mut up = Up::new(taming_decoder(&model), levels, map.clone());
        let blocks = vec![2; levels];
        let whole = Tile::up(Area::whole(cells), &blocks, size);
        fix_by_sample(&mut up, std::slice::from_ref(&whole));
        let core = partition(cells, cells[0] / 4)[5].clone();
        let tile = Tile::up(core, &blocks, size);
        let area = tile.core_at(0);
        let before = part_of_whole(&mut up, &whole, &area);
        let column = (tile.reads.columns.start + tile.reads.columns.end) / 2;
        let mut changed = |row: usize| {
            let place = [0..1, row..row + 1, column..column + 1, 0..32];
            let other = map.clone().slice(place.clone()) + 1.0;
            up.map = map.clone().slice_assign(place, other);
            part_of_whole(&mut up, &whole, &area) != before
        };
        assert!(!changed(tile.reads.rows.start - 1));
        assert!(!changed(tile.reads.rows.end));
        assert!(changed(tile.reads.rows.start));
        assert!(changed(tile.reads.rows.end - 1));
    }
}

#[test]
fn a_normalisation_with_the_statistics_of_its_input_is_the_same_fixed() {
    let mut init = Initializer::seeded(&device(), 3);
    let mut norm = GroupNorm::new(&init, 64);
    norm.weight = init.normal_around([64], 1.0, 0.3);
    norm.bias = init.normal([64], 0.3);
    let convolution = Conv2d::same(&mut init, [64, 32]);
    let input = init.normal_around([1, 9, 7, 64], 2.0, 3.0).val();
    let both = |norm: &GroupNorm| {
        let convolved = convolution.forward_normalized(norm, input.clone(), None);
        [norm.forward_silu(input.clone()), convolved].map(host_values)
    };
    let truth = both(&norm);
    let piece = Piece {
        values: input.clone(),
        area: Area::whole([9, 7]),
        level: 0,
    };
    let mut moments = Moments::default();
    // In two parts, as tiles give them.
    for rows in [0..4, 4..9] {
        moments.add(
            &piece,
            &Area {
                rows,
                columns: 0..7,
            },
        );
    }
    let [means, variances] = moments.of_groups(GroupNorm::GROUPS);
    norm.fix(&means, &variances);
    for (ours, truth) in both(&norm).iter().zip(&truth) {
        let difference = largest(ours, truth);
        assert!(difference < 2e-5, "{difference}");
    }
}
