//! Whether a picture runs at once or in tiles, how many levels do, and how large the tiles are.

use super::area::Area;
use super::memory::Memory;
use super::tile::{Tile, partition, spread};
use crate::error::{Error, Result};
use crate::memory::of_machine;
use crate::model::Model;
use crate::tokenizer::family::{Decoder, Encoder};
use crate::training::plan::bytes;

/// How much memory maps may take, in bytes, if nothing else is said.
pub const BUDGET: f64 = 2e9;

/// Side of the tiles of a sample, in pixels: so small that many different places are seen.
const SAMPLE: usize = 32;

/// When pictures run in tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tiling {
    /// Pictures whose maps would take more than the budget.
    #[default]
    Auto,
    /// All, in tiles of at most this many pixels a side, rounded up to whole cells.
    Side(usize),
    /// None.
    Off,
}

impl Tiling {
    /// `auto`, `off`, or the side of a tile.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "off" => Some(Self::Off),
            side => side.parse().ok().filter(|&side| side > 0).map(Self::Side),
        }
    }
}

/// How pictures run in tiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TileOptions {
    pub tiling: Tiling,
    /// Take the statistics of normalisations from all of the picture instead of a sample. It costs a run of the tiles
    /// for every normalisation, and gives what the picture at once would give, up to rounding.
    pub exact: bool,
    /// Bytes that maps may take; see [`BUDGET`].
    pub budget: f64,
    /// Bytes that the machine has: what would take more is refused, whatever was asked for.
    pub memory: f64,
}

impl Default for TileOptions {
    fn default() -> Self {
        Self {
            tiling: Tiling::Auto,
            exact: false,
            budget: BUDGET,
            memory: of_machine().unwrap_or(f64::INFINITY),
        }
    }
}

/// How a picture goes through an encoder or a decoder.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Height and width in pixels, multiples of f.
    pub(super) size: [usize; 2],
    pub(super) tiles: Option<Tiles>,
}

impl Plan {
    /// At once, for a picture of `[height, width]`.
    pub fn at_once(model: &Model, size: [usize; 2]) -> Self {
        Self {
            size: padded(model, size),
            tiles: None,
        }
    }

    /// Through the encoder, for a picture of `[height, width]`.
    ///
    /// # Errors
    /// Tiles were asked for that this network cannot have, no tiles make the picture small enough, or it would take
    /// more memory than the machine has.
    pub fn encoder(model: &Model, size: [usize; 2], options: &TileOptions) -> Result<Self> {
        let tokenizer = &model.tokenizer;
        let Encoder::Taming(encoder) = &tokenizer.encoder else {
            return Ok(Self::at_once(model, size));
        };
        let memory = Memory::of_encoder(encoder, tokenizer.precision);
        Self::new(Direction::Down, memory, padded(model, size), options)
    }

    /// Through the decoder, to a picture of `[height, width]`. Errors as for [`Self::encoder`].
    pub fn decoder(model: &Model, size: [usize; 2], options: &TileOptions) -> Result<Self> {
        let tokenizer = &model.tokenizer;
        let Decoder::Taming(decoder) = &tokenizer.decoder else {
            return Ok(Self::at_once(model, size));
        };
        let memory = Memory::of_decoder(decoder, tokenizer.precision);
        Self::new(Direction::Up, memory, padded(model, size), options)
    }

    pub(super) fn new(
        direction: Direction,
        memory: Memory,
        size: [usize; 2],
        options: &TileOptions,
    ) -> Result<Self> {
        let levels = choose_levels(&memory, size, options)?;
        if levels == 0 {
            return Ok(Self { size, tiles: None });
        }
        let mut tiles = Tiles {
            direction,
            memory,
            size,
            levels,
            side: 1,
            exact: options.exact,
            room: 0.0,
        };
        // The map between the levels in tiles and the others is there all the while.
        tiles.room = (options.budget - tiles.between()).max(options.budget / 4.0);
        tiles.side = match options.tiling {
            Tiling::Side(side) => side.div_ceil(1 << levels).min(tiles.longest()),
            Tiling::Auto | Tiling::Off => tiles.largest_side(),
        };
        Ok(Self {
            size,
            tiles: Some(tiles),
        })
    }

    /// How many tiles there are; 1 for a picture at once.
    pub fn tiles(&self) -> usize {
        self.tiles.as_ref().map_or(1, |tiles| tiles.all().len())
    }

    /// How often progress is reported: not at all for a picture at once.
    pub fn steps(&self) -> usize {
        let Some(tiles) = &self.tiles else { return 0 };
        let count = tiles.all().len();
        match tiles.statistics() {
            Statistics::Sample(_) => 1 + count,
            Statistics::Everything => (1 + tiles.norms()) * count,
        }
    }

    /// A line about the tiles, if there are any.
    pub fn describe(&self) -> Option<String> {
        let tiles = self.tiles.as_ref()?;
        let side = tiles.side << tiles.levels;
        let statistics = match tiles.statistics() {
            Statistics::Sample(sample) if sample.len() > 1 => {
                format!(
                    "statistics from {} samples (--exact: from all of it)",
                    sample.len()
                )
            }
            Statistics::Sample(_) | Statistics::Everything => "statistics from all of it".into(),
        };
        Some(format!(
            "{} tiles of at most {side} × {side} pixels, {statistics}",
            self.tiles()
        ))
    }
}

/// The sides of a picture as the network sees it.
fn padded(model: &Model, size: [usize; 2]) -> [usize; 2] {
    let factor = model.tokenizer_config.factor();
    size.map(|side| side.next_multiple_of(factor))
}

/// How many levels run in tiles, as few as the budget allows; 0 if the picture runs at once.
fn choose_levels(memory: &Memory, size: [usize; 2], options: &TileOptions) -> Result<usize> {
    let most = memory.most_levels();
    let fits = |levels: &usize| memory.whole(*levels, size) <= options.budget;
    let levels = match options.tiling {
        Tiling::Off => 0,
        Tiling::Side(_) if most == 0 => {
            return Err(Error::input(
                "this network looks over the whole picture at its highest resolution, so it cannot run in tiles: say \
                 --tile off",
            ));
        }
        Tiling::Side(_) => (1..=most).find(fits).unwrap_or(most),
        Tiling::Auto => (0..=most).find(fits).unwrap_or(most),
    };
    let needed = memory.whole(levels, size);
    if needed > options.memory {
        return Err(beyond_the_machine(size, needed, options));
    }
    if options.tiling == Tiling::Auto && needed > 4.0 * options.budget {
        return Err(too_large(memory, size));
    }
    Ok(levels)
}

fn beyond_the_machine([height, width]: [usize; 2], needed: f64, options: &TileOptions) -> Error {
    let (how, advice) = match options.tiling {
        Tiling::Off => ("at once", "say --tile auto, or scale it down"),
        _ => ("in tiles or not", "choose a smaller size"),
    };
    Error::input(format!(
        "a picture of {width} × {height} pixels would take about {}, {how}, and this machine has {} of memory: \
         {advice}",
        bytes(needed),
        bytes(options.memory)
    ))
}

fn too_large(memory: &Memory, size: [usize; 2]) -> Error {
    let most = memory.most_levels();
    let [height, width] = size;
    let [rows, columns] = size.map(|side| side >> most);
    let anyway = if most == 0 {
        "--tile off"
    } else {
        "--tile 1024"
    };
    Error::input(format!(
        "a picture of {width} × {height} pixels would take about {}, in tiles or not: this network looks over all of \
         it at once from {columns} × {rows} positions on; scale it down, or try it with {anyway}",
        bytes(memory.whole(most, size))
    ))
}

/// Which half of a tokenizer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The encoder.
    Down,
    /// The decoder.
    Up,
}

/// Where the statistics of normalisations come from.
#[derive(Debug)]
pub(super) enum Statistics {
    /// From tiles that run together: one that is the whole picture, or many small ones.
    Sample(Vec<Tile>),
    /// From the tiles themselves, once for every normalisation.
    Everything,
}

/// The tiles of a picture.
#[derive(Debug, Clone)]
pub(super) struct Tiles {
    direction: Direction,
    memory: Memory,
    /// Of the picture, in pixels.
    size: [usize; 2],
    /// How many levels run in tiles.
    pub levels: usize,
    /// Of a tile, in cells.
    pub side: usize,
    pub exact: bool,
    /// Bytes that the maps of tiles may take.
    pub room: f64,
}

impl Tiles {
    /// Rows and columns of the map between the levels in tiles and the others, whose positions are the cells.
    pub fn cells(&self) -> [usize; 2] {
        self.size.map(|side| side >> self.levels)
    }

    /// All tiles.
    pub fn all(&self) -> Vec<Tile> {
        let cores = partition(self.cells(), self.side).into_iter();
        cores.map(|core| self.tile(core, self.size)).collect()
    }

    /// Where the statistics come from: from all of the picture if it fits or must.
    pub fn statistics(&self) -> Statistics {
        let whole = self.tile(Area::whole(self.cells()), self.size);
        if self.memory.tile(&whole) <= self.room {
            return Statistics::Sample(vec![whole]);
        }
        if self.exact {
            return Statistics::Everything;
        }
        let side = (SAMPLE >> self.levels).max(1);
        let count = self.room / self.memory.sampled(&self.inner(side));
        let cores = spread(self.cells(), side, count as usize).into_iter();
        Statistics::Sample(cores.map(|core| self.tile(core, self.size)).collect())
    }

    /// How many normalisations the levels in tiles have.
    fn norms(&self) -> usize {
        let last = usize::from(self.direction == Direction::Up);
        2 * self.blocks().iter().sum::<usize>() + last
    }

    /// Bytes of the map between the levels in tiles and the others.
    fn between(&self) -> f64 {
        let level = match self.direction {
            Direction::Down => self.levels - 1,
            Direction::Up => self.levels,
        };
        let [rows, columns] = self.cells();
        // Kept in f32 whatever the network computes in.
        4.0 * (rows * columns) as f64 * self.memory.levels[level].width() as f64
    }

    /// The longest side, in cells, of a tile that has room.
    fn largest_side(&self) -> usize {
        let fits = |side: &usize| self.memory.tile(&self.inner(*side)) <= self.room;
        let sides = 1..=self.longest();
        sides.take_while(fits).last().unwrap_or(1)
    }

    /// The longer side of the picture, in cells.
    fn longest(&self) -> usize {
        let [rows, columns] = self.cells();
        rows.max(columns)
    }

    /// A tile with nothing but picture around it.
    fn inner(&self, side: usize) -> Tile {
        const FAR: usize = 1 << 24;
        let first = (FAR / 2) >> self.levels;
        let core = Area {
            rows: first..first + side,
            columns: first..first + side,
        };
        self.tile(core, [FAR; 2])
    }

    fn tile(&self, core: Area, size: [usize; 2]) -> Tile {
        match self.direction {
            Direction::Down => Tile::down(core, &self.blocks(), size),
            Direction::Up => Tile::up(core, &self.blocks(), size),
        }
    }

    /// Residual blocks of each level in tiles.
    fn blocks(&self) -> Vec<usize> {
        let levels = self.memory.levels[..self.levels].iter();
        levels.map(|level| level.blocks.len()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Level;
    use super::*;
    use crate::ops::Precision;

    /// On a machine with any amount of memory.
    fn anywhere(tiling: Tiling) -> TileOptions {
        TileOptions {
            tiling,
            memory: f64::INFINITY,
            ..TileOptions::default()
        }
    }

    /// The shape of the authors' networks: two residual blocks in the encoder, three in the decoder, attention at the
    /// lowest resolution.
    fn memory(direction: Direction, multipliers: &[usize]) -> Memory {
        let widths: Vec<usize> = multipliers.iter().map(|by| 128 * by).collect();
        let last = widths.len() - 1;
        let level = |index: usize| {
            let [before, count] = match direction {
                Direction::Down => [index.saturating_sub(1), 2],
                Direction::Up => [(index + 1).min(last), 3],
            };
            let mut blocks = vec![[widths[index]; 2]; count];
            blocks[0][0] = widths[before];
            Level {
                blocks,
                attention: index == last,
            }
        };
        Memory {
            levels: (0..=last).map(level).collect(),
            precision: Precision::F32,
        }
    }

    /// On two threads: each of them takes some memory.
    fn on_two_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2);
        pool.build().unwrap().install(work)
    }

    fn plan(direction: Direction, multipliers: &[usize], side: usize) -> Result<Plan> {
        let memory = memory(direction, multipliers);
        let options = anywhere(Tiling::Auto);
        on_two_threads(|| Plan::new(direction, memory, [side; 2], &options))
    }

    const F16: [usize; 5] = [1, 1, 2, 2, 4];
    const F8: [usize; 4] = [1, 2, 2, 4];

    #[test]
    fn small_pictures_run_at_once_and_large_ones_in_tiles_that_have_room() {
        for direction in [Direction::Down, Direction::Up] {
            for multipliers in [&F16[..], &F8[..]] {
                let small = plan(direction, multipliers, 256).unwrap();
                assert_eq!((small.tiles(), small.steps()), (1, 0));
                let large = plan(direction, multipliers, 4096).unwrap();
                let tiles = large.tiles.as_ref().unwrap();
                assert_eq!(tiles.levels, 3);
                for tile in tiles.all() {
                    assert!(tiles.memory.tile(&tile) + tiles.between() <= BUDGET);
                }
                assert!((9..400).contains(&large.tiles()), "{}", large.tiles());
                let Statistics::Sample(sample) = tiles.statistics() else {
                    panic!("a sample was asked for");
                };
                let taken = sample.iter().map(|tile| tiles.memory.sampled(tile));
                assert!(sample.len() > 50 && taken.sum::<f64>() <= BUDGET);
                assert_eq!(large.steps(), large.tiles() + 1);
            }
        }
    }

    #[test]
    fn four_gigabytes_are_enough_for_4096_pixels() {
        for direction in [Direction::Down, Direction::Up] {
            let whole = on_two_threads(|| memory(direction, &F8).whole(3, [4096; 2]));
            // Five maps of 512 channels, and the scores of 64 queries for each thread.
            assert_eq!(whole, (20.0 * 512.0 + 4.0 * 64.0 * 2.0) * 512.0 * 512.0);
            // Weights and pictures.
            assert!(whole + 0.3e9 + 0.2e9 < 4e9);
        }
    }

    #[test]
    fn what_no_tiles_make_small_enough_is_refused_and_can_be_forced() {
        let error = plan(Direction::Up, &F8, 16384).unwrap_err().to_string();
        for part in ["16384 × 16384", "2048 × 2048", "scale it down", "--tile"] {
            assert!(error.contains(part), "no `{part}` in {error}");
        }
        let forced = anywhere(Tiling::Side(1000));
        let memory = memory(Direction::Up, &F8);
        let plan = Plan::new(Direction::Up, memory, [16384; 2], &forced).unwrap();
        assert_eq!(plan.tiles(), 17 * 17);
    }

    #[test]
    fn what_is_beyond_the_machine_is_refused_whatever_was_asked_for() {
        let refused = |tiling: Tiling, size: usize| {
            let options = TileOptions {
                memory: 4e9,
                ..anywhere(tiling)
            };
            let memory = memory(Direction::Down, &F8);
            match Plan::new(Direction::Down, memory, [size; 2], &options) {
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            }
        };
        // At once, three maps of 128 channels at the highest resolution: 1.6 GB, and 6.4.
        assert_eq!(refused(Tiling::Off, 1024), None);
        let error = refused(Tiling::Off, 2048).unwrap();
        for part in ["2048 × 2048", "6.4 GB", "4.0 GB of memory", "--tile auto"] {
            assert!(error.contains(part), "no `{part}` in {error}");
        }
        assert_eq!(refused(Tiling::Auto, 2048), None);
        for tiling in [Tiling::Auto, Tiling::Side(512)] {
            let error = refused(tiling, 65_536).unwrap();
            assert!(error.contains("a smaller size"), "{error}");
        }
    }

    #[test]
    fn attention_at_the_highest_resolution_leaves_no_tiles() {
        let mut memory = memory(Direction::Down, &F8);
        memory.levels[0].attention = true;
        let options = anywhere(Tiling::Side(64));
        let error = Plan::new(Direction::Down, memory.clone(), [256; 2], &options).unwrap_err();
        assert!(error.to_string().contains("--tile off"), "{error}");
        let auto = Plan::new(Direction::Down, memory, [64; 2], &TileOptions::default());
        assert_eq!(auto.unwrap().tiles(), 1);
    }

    #[test]
    fn tilings_are_read() {
        assert_eq!(Tiling::parse("auto"), Some(Tiling::Auto));
        assert_eq!(Tiling::parse("off"), Some(Tiling::Off));
        assert_eq!(Tiling::parse("512"), Some(Tiling::Side(512)));
        for wrong in ["", "0", "-1", "1.5", "on"] {
            assert_eq!(Tiling::parse(wrong), None);
        }
    }
}
