//! What a tile computes at every level, so that what it is for comes out as it would in the whole picture.
//!
//! Tiles lie on the grid of the first level that runs whole; a position of it is called a cell, and is 2^levels pixels
//! wide if so many levels run in tiles. At the border of what a tile computes, its convolutions see zeros where the
//! picture goes on, and every 3×3 convolution spoils one position more. A tile therefore computes as much more, at
//! every level, as the convolutions from there on spoil. At the picture's own border there is nothing more: the zeros
//! are the network's padding.

use super::area::Area;

/// A part of a picture on its way through the levels that run in tiles, which are counted from the highest resolution.
#[derive(Debug, Clone)]
pub(super) struct Tile {
    /// What it is for, in cells.
    pub core: Area,
    /// What it reads: pixels (encoder) or cells (decoder).
    pub reads: Area,
    /// What its map of each level covers.
    pub maps: Vec<Area>,
    /// What of the map of each level is right up to the level's end, and goes on from there.
    pub kept: Vec<Area>,
}

impl Tile {
    /// A tile of an encoder that reads a picture of `size` pixels; `blocks` counts the residual blocks of each level.
    pub fn down(core: Area, blocks: &[usize], size: [usize; 2]) -> Self {
        let (mut maps, mut kept) = (Vec::new(), Vec::new());
        let mut wanted = core.clone();
        for (level, &count) in blocks.iter().enumerate().rev() {
            let read = wanted.doubled(1);
            // Two convolutions per block, and downsampling reads one position more below and to the right. Maps begin
            // at even positions, as the strides of the whole picture do.
            wanted = read.grown([2 * count, 2 * count + 1], size.map(|side| side >> level));
            kept.push(read);
            maps.push(wanted.clone());
        }
        // The first convolution.
        let reads = wanted.grown([2, 1], size);
        if let Some(first) = maps.last_mut() {
            first.clone_from(&reads);
        }
        maps.reverse();
        kept.reverse();
        Self {
            core,
            reads,
            maps,
            kept,
        }
    }

    /// A tile of a decoder that writes a picture of `size` pixels.
    pub fn up(core: Area, blocks: &[usize], size: [usize; 2]) -> Self {
        let (mut maps, mut kept) = (Vec::new(), Vec::new());
        let mut wanted = core.doubled(blocks.len());
        for (level, &count) in blocks.iter().enumerate() {
            // Two convolutions per block, and the last one of all.
            let around = 2 * count + usize::from(level == 0);
            let read = wanted.grown([around; 2], size.map(|side| side >> level));
            let source = read.upsampled_from(size.map(|side| side >> (level + 1)));
            kept.push(wanted);
            maps.push(source.doubled(1));
            wanted = source;
        }
        Self {
            core,
            reads: wanted,
            maps,
            kept,
        }
    }

    /// Where its core lies in the map of a level.
    pub fn core_at(&self, level: usize) -> Area {
        self.core.doubled(self.maps.len() - level)
    }
}

/// Areas of nearly equal size, at most `side` wide and high, that make up a map of `[rows, columns]`.
pub(super) fn partition([rows, columns]: [usize; 2], side: usize) -> Vec<Area> {
    let cuts = |length: usize| {
        let parts = length.div_ceil(side.max(1)).max(1);
        (0..parts).map(move |part| part * length / parts..(part + 1) * length / parts)
    };
    let mut areas = Vec::new();
    for rows in cuts(rows) {
        for columns in cuts(columns) {
            areas.push(Area {
                rows: rows.clone(),
                columns,
            });
        }
    }
    areas
}

/// At most `count` squares of `side` positions, evenly spread over a map of `[rows, columns]`: one after the other they
/// step down evenly, and along by the golden section, which fills a line more evenly than any other step.
pub(super) fn spread([rows, columns]: [usize; 2], side: usize, count: usize) -> Vec<Area> {
    const GOLDEN: f64 = 0.618_034;
    let side = side.clamp(1, rows.min(columns).max(1));
    let [down, along] = [rows, columns].map(|length| length.div_ceil(side));
    let count = count.clamp(1, down * along);
    let square = |index: usize| {
        let share = (index as f64 + 0.5) / count as f64;
        let turn = ((index as f64 + 0.5) * GOLDEN).fract();
        let [row, column] =
            [(share, down), (turn, along)].map(|(at, squares)| (at * squares as f64) as usize);
        Area {
            rows: row * side..(row * side + side).min(rows),
            columns: column * side..(column * side + side).min(columns),
        }
    };
    (0..count).map(square).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each position of a map lies in one of `areas`.
    fn counts([rows, columns]: [usize; 2], areas: &[Area]) -> Vec<usize> {
        let mut counts = vec![0; rows * columns];
        for area in areas {
            for row in area.rows.clone() {
                for column in area.columns.clone() {
                    counts[row * columns + column] += 1;
                }
            }
        }
        counts
    }

    #[test]
    fn a_partition_has_every_position_once() {
        for (size, side) in [([7, 12], 5), ([1, 1], 3), ([9, 4], 1), ([6, 6], 100)] {
            let areas = partition(size, side);
            assert!(counts(size, &areas).iter().all(|&count| count == 1));
            let longest = areas.iter().flat_map(Area::size).max();
            assert!(longest <= Some(side));
        }
    }

    #[test]
    fn a_sample_is_spread_over_all_of_a_map() {
        let size = [64, 96];
        let areas = spread(size, 4, 48);
        assert_eq!(areas.len(), 48);
        assert!(counts(size, &areas).iter().all(|&count| count <= 1));
        // Of 12 large squares each has its share.
        for square in partition(size, 24) {
            let inside = |area: &&Area| {
                square.rows.contains(&area.rows.start)
                    && square.columns.contains(&area.columns.start)
            };
            let count = areas.iter().filter(inside).count();
            assert!((2..=6).contains(&count), "{count} squares in {square:?}");
        }
        // More than there are, or larger than the map.
        assert_eq!(spread([8, 8], 4, 100).len(), 4);
        assert_eq!(spread([3, 8], 4, 1)[0].rows, 0..3);
    }

    #[test]
    fn tiles_reach_as_far_as_the_convolutions() {
        let (core, size) = (partition([64, 64], 8)[27].clone(), [256, 256]);
        assert_eq!((core.rows.clone(), core.columns.clone()), (24..32, 24..32));
        // 2 · 24 - 4 = 44, then 2 · 44 - 4 - 2 = 82; and 2 · 32 + 5 = 69, then 2 · 69 + 5 + 1 = 144.
        let down = Tile::down(core.clone(), &[2, 2], size);
        assert_eq!(down.reads.rows, 82..144);
        assert_eq!(down.kept[0].rows, 88..138);
        assert_eq!(down.core_at(0).rows, 96..128);
        // Seven positions around 96..128, of which half; six around that, of which half.
        let up = Tile::up(core, &[3, 3], size);
        assert_eq!(up.kept[0].rows, 96..128);
        assert_eq!(up.kept[1].rows, 44..68);
        assert_eq!(up.reads.rows, 18..38);
        // A whole picture needs nothing around it.
        for tile in [Tile::down, Tile::up].map(|of| of(Area::whole([64, 64]), &[2, 2], size)) {
            assert_eq!(tile.maps[0], Area::whole(size));
            assert_eq!(tile.maps[1], Area::whole([128, 128]));
        }
    }
}
