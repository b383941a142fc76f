//! The squares that codes are made of: cut from pictures, with the same square of what belongs to these (a label map,
//! depth), and where they were cut.

use crate::data::{BadFile, Crop, Item, Kind, Place, Raster, Transform, reason};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// How squares are cut from pictures.
#[derive(Debug, Clone)]
pub struct Cutter<'a> {
    /// How a picture is scaled, and the side of a square.
    pub transform: Transform,
    /// Squares per picture: one is the middle, more are at random places.
    pub crops: usize,
    /// Of the random places.
    pub seed: u64,
    /// What shows through transparent pixels, red, green, blue.
    pub background: [u8; 3],
    /// What belongs to the pictures, a file each.
    pub companions: Option<Companions<'a>>,
}

/// Files that belong to pictures.
#[derive(Debug, Clone, Copy)]
pub struct Companions<'a> {
    pub kind: Kind,
    pub paths: &'a [PathBuf],
}

/// Where a square was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Which picture.
    pub item: usize,
    /// Which square of the data set: what is drawn by chance for it follows from this and a seed.
    pub number: u64,
    /// Where in the scaled picture, and whether it is mirrored.
    pub place: Place,
    /// Width and height of the scaled picture.
    pub sides: (u32, u32),
}

/// Squares of one size.
#[derive(Debug, Clone, Default)]
pub struct Squares {
    pub pictures: Vec<Raster>,
    /// One for each picture, or none at all.
    pub companions: Vec<Raster>,
    pub cuts: Vec<Cut>,
}

struct Square {
    picture: Raster,
    companion: Option<Raster>,
    cut: Cut,
}

impl Cut {
    /// The square's first row and column of pixels in the picture, or in the mirrored picture where it is mirrored.
    pub fn corner(&self, side: usize) -> [usize; 2] {
        let left = if self.place.mirrored {
            self.sides.0 as usize - side - self.place.x as usize
        } else {
            self.place.x as usize
        };
        [self.place.y as usize, left]
    }
}

impl Cutter<'_> {
    /// The squares of `items`, of which the first is number `first` of its data set, picture by picture, and the
    /// pictures that cannot be used.
    ///
    /// # Errors
    /// Settings that make no sense together.
    pub fn cut(&self, items: &[Item], first: usize) -> Result<(Squares, Vec<BadFile>)> {
        self.transform.check()?;
        let results: Vec<Result<Vec<Square>>> = items
            .par_iter()
            .enumerate()
            .map(|(index, item)| self.squares_of(first + index, &item.path))
            .collect();
        let (mut squares, mut bad) = (Squares::default(), Vec::new());
        for (item, result) in items.iter().zip(results) {
            match result {
                Ok(found) => found.into_iter().for_each(|square| squares.push(square)),
                Err(error) => bad.push((item.path.clone(), reason(error))),
            }
        }
        Ok((squares, bad))
    }

    /// What is wrong with the first of `items`, if none of them can be used.
    ///
    /// # Errors
    /// Settings that make no sense together.
    pub fn all_bad(&self, items: &[Item]) -> Result<Option<BadFile>> {
        let mut first = None;
        for (index, item) in items.iter().enumerate() {
            let (squares, bad) = self.cut(std::slice::from_ref(item), index)?;
            if !squares.is_empty() {
                return Ok(None);
            }
            first = first.or(bad.into_iter().next());
        }
        Ok(first)
    }

    fn squares_of(&self, item: usize, path: &Path) -> Result<Vec<Square>> {
        let picture = Raster::read(path, Kind::Pictures, self.background)?;
        let (picture, companion) = match self.companion(item)? {
            Some(companion) => {
                let (picture, companion) = self.transform.scaled_pair(picture, companion)?;
                (picture, Some(companion))
            }
            None => (self.transform.scaled(picture)?, None),
        };
        let sides = picture.dimensions();
        let square = |crop: usize| -> Result<Square> {
            let number = (item * self.crops.max(1) + crop) as u64;
            let place = self.place(sides, number)?;
            let cut = |raster: &Raster| self.transform.cut(raster, place);
            Ok(Square {
                picture: cut(&picture)?,
                companion: companion.as_ref().map(cut).transpose()?,
                cut: Cut {
                    item,
                    number,
                    place,
                    sides,
                },
            })
        };
        (0..self.crops.max(1)).map(square).collect()
    }

    /// What belongs to a picture.
    fn companion(&self, item: usize) -> Result<Option<Raster>> {
        let Some(companions) = self.companions else {
            return Ok(None);
        };
        let Some(path) = companions.paths.get(item) else {
            return Err(Error::input("no file belongs to it"));
        };
        Raster::read(path, companions.kind, self.background)
            .map(Some)
            // The path is that of another file than the one that is reported as bad.
            .map_err(|error| Error::input(error.to_string()))
    }

    fn place(&self, sides: (u32, u32), number: u64) -> Result<Place> {
        if self.crops <= 1 {
            return self.transform.center_place(sides);
        }
        let random = Transform {
            crop: Crop::Random,
            flip: false,
            ..self.transform
        };
        random.place(sides, self.seed, number)
    }
}

impl Squares {
    /// How many.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// Their side in pixels.
    pub fn side(&self) -> usize {
        let first = self.pictures.first();
        first.map_or(0, |picture| picture.dimensions().0 as usize)
    }

    fn push(&mut self, square: Square) {
        self.pictures.push(square.picture);
        self.companions.extend(square.companion);
        self.cuts.push(square.cut);
    }

    /// Adds all of them once more, seen in a mirror.
    pub fn add_mirrored(&mut self) {
        for rasters in [&mut self.pictures, &mut self.companions] {
            let mirrored: Vec<Raster> = rasters.par_iter().map(Raster::mirrored).collect();
            rasters.extend(mirrored);
        }
        let mirrored = |cut: &Cut| Cut {
            place: Place {
                mirrored: !cut.place.mirrored,
                ..cut.place
            },
            ..*cut
        };
        let mirrored: Vec<Cut> = self.cuts.iter().map(mirrored).collect();
        self.cuts.extend(mirrored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use std::fs;

    /// Pictures whose red is the column and whose green is the row, and label maps of the columns.
    fn files(folder: &Path, sizes: &[(u32, u32)]) -> (Vec<Item>, Vec<PathBuf>) {
        let mut items = Vec::new();
        let mut maps = Vec::new();
        for (index, &(width, height)) in sizes.iter().enumerate() {
            let (path, map) = (
                folder.join(format!("{index}.png")),
                folder.join(format!("{index}.map.png")),
            );
            let picture = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0]));
            picture.save(&path).unwrap();
            let labels = GrayImage::from_fn(width, height, |x, _| Luma([x as u8]));
            labels.save(&map).unwrap();
            items.push(Item { path, class: None });
            maps.push(map);
        }
        (items, maps)
    }

    fn cutter(crops: usize) -> Cutter<'static> {
        Cutter {
            transform: Transform::middle(8, false),
            crops,
            seed: 3,
            background: [0; 3],
            companions: None,
        }
    }

    fn corner(raster: &Raster) -> [u32; 2] {
        let Raster::Rgb(image) = raster else {
            panic!("a picture stays one");
        };
        let [red, green, _] = image.get_pixel(0, 0).0;
        [green, red].map(u32::from)
    }

    #[test]
    fn one_square_is_the_middle_and_more_are_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let (items, _) = files(folder.path(), &[(20, 8), (8, 8), (8, 30)]);
        let (middle, bad) = cutter(1).cut(&items, 0).unwrap();
        assert!(bad.is_empty());
        let corners: Vec<[u32; 2]> = middle.pictures.iter().map(corner).collect();
        assert_eq!(corners, [[0, 6], [0, 0], [11, 0]]);
        let (several, _) = cutter(5).cut(&items, 0).unwrap();
        assert_eq!(several.len(), 15);
        for (square, cut) in several.pictures.iter().zip(&several.cuts) {
            assert_eq!(corner(square), [cut.place.y, cut.place.x]);
            assert_eq!(cut.corner(8), [cut.place.y as usize, cut.place.x as usize]);
        }
        let first = several.cuts.iter().filter(|cut| cut.item == 0);
        assert!(
            first
                .map(|cut| cut.place.x)
                .any(|x| x != several.cuts[0].place.x)
        );
        // The same square, wherever its picture stands in the list that is read.
        let (last, _) = cutter(5).cut(&items[2..], 2).unwrap();
        assert_eq!(last.cuts, several.cuts[10..]);
    }

    #[test]
    fn what_belongs_to_a_picture_is_cut_and_mirrored_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (items, maps) = files(folder.path(), &[(20, 12), (9, 8)]);
        let cutter = Cutter {
            transform: Transform {
                resize: crate::data::Resize::None,
                ..Transform::middle(8, false)
            },
            companions: Some(Companions {
                kind: Kind::Labels {
                    classes: 20,
                    ignore: None,
                },
                paths: &maps,
            }),
            ..cutter(3)
        };
        let (mut squares, bad) = cutter.cut(&items, 0).unwrap();
        assert!(bad.is_empty());
        squares.add_mirrored();
        assert_eq!((squares.len(), squares.companions.len()), (12, 12));
        let pairs = squares.pictures.iter().zip(&squares.companions);
        for ((picture, map), cut) in pairs.zip(&squares.cuts) {
            let (Raster::Rgb(picture), Raster::Labels { map, .. }) = (picture, map) else {
                panic!("both stay what they are");
            };
            let red = picture.pixels().map(|pixel| u16::from(pixel.0[0]));
            assert!(red.eq(map.as_raw().iter().copied()));
            // Seen in a mirror, the picture begins with its last column.
            let left = if cut.place.mirrored {
                cut.sides.0 - 1 - cut.corner(8)[1] as u32
            } else {
                cut.corner(8)[1] as u32
            };
            assert_eq!(u32::from(picture.get_pixel(0, 0).0[0]), left);
        }
    }

    #[test]
    fn bad_files_are_named_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (items, maps) = files(folder.path(), &[(8, 8), (8, 8), (4, 4)]);
        fs::write(&items[0].path, "no picture").unwrap();
        let labels = |classes| Companions {
            kind: Kind::Labels {
                classes,
                ignore: None,
            },
            paths: &maps,
        };
        let with = |classes| Cutter {
            companions: Some(labels(classes)),
            ..cutter(1)
        };
        let (squares, bad) = with(20).cut(&items, 0).unwrap();
        assert_eq!((squares.len(), squares.cuts[0].item), (1, 1));
        assert!(bad[0].0.ends_with("0.png") && bad[1].0.ends_with("2.png"));
        assert!(with(20).all_bad(&items).unwrap().is_none());
        let (path, reason) = with(4).all_bad(&items).unwrap().unwrap();
        assert!(path.ends_with("0.png"), "{reason}");
        let (none, bad) = with(4).cut(&items, 0).unwrap();
        assert!(none.is_empty());
        assert!(bad[1].1.contains("1.map.png"), "{}", bad[1].1);
    }
}
