//! Skeletons drawn from key points: what COCO's `person_keypoints` files say of the people in a picture (Lin et al.,
//! "Microsoft COCO", ECCV 2014), as lines in fixed colours on black. The paper draws people under such pictures
//! (section 4.1).

mod coco;
mod draw;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use image::RgbImage;

use crate::data::drawn::color;
use crate::error::{Error, Result};
use coco::Entry;
use draw::{Pen, line};

pub use coco::{POINTS, Person, Point, Visibility};

/// Which key points are joined, counted from 0: COCO's own list. Nose, eyes, ears, shoulders, elbows, wrists, hips,
/// knees and ankles are points 0 to 16, the left one of two first.
pub const LIMBS: [[usize; 2]; 19] = [
    [15, 13],
    [13, 11],
    [16, 14],
    [14, 12],
    [11, 12],
    [5, 11],
    [6, 12],
    [5, 6],
    [5, 7],
    [6, 8],
    [7, 9],
    [8, 10],
    [1, 2],
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 4],
    [3, 5],
    [4, 6],
];

/// How skeletons are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// How wide lines are, as a share of the picture's shorter side; at least one pixel.
    pub line_width: f64,
    /// Whether points that are known but hidden are left out.
    pub visible_only: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            line_width: 0.0125,
            visible_only: false,
        }
    }
}

impl Style {
    /// Whether lines can be drawn so.
    ///
    /// # Errors
    /// When lines are not wider than nothing or wider than the picture.
    pub fn check(&self) -> Result<()> {
        if self.line_width > 0.0 && self.line_width <= 1.0 {
            return Ok(());
        }
        Err(Error::input(format!(
            "lines of {} of a picture's shorter side cannot be drawn: it must be more than 0 and at most 1",
            self.line_width
        )))
    }
}

/// The people of a data set.
#[derive(Debug)]
pub struct Skeletons {
    entries: Vec<Entry>,
    /// Places in `entries`, by the name of the picture without its ending.
    by_name: HashMap<OsString, Vec<usize>>,
}

impl Skeletons {
    /// Reads a `person_keypoints` file.
    ///
    /// # Errors
    /// When the file cannot be read, is not such a file, or has impossible key points.
    pub fn read(file: &Path) -> Result<Self> {
        let entries = coco::read(file)?;
        let mut by_name: HashMap<OsString, Vec<usize>> = HashMap::new();
        for (place, entry) in entries.iter().enumerate() {
            if let Some(name) = entry.stem.file_name() {
                by_name.entry(name.to_owned()).or_default().push(place);
            }
        }
        Ok(Self { entries, by_name })
    }

    /// The skeletons of the people in `image`, which is the picture at `path`: found by its name without the ending,
    /// and by the folders before it where the file of key points has some. A picture without people is black.
    ///
    /// # Errors
    /// When the file of key points does not list the picture, or gives it other sides.
    pub fn draw(&self, path: &Path, image: &RgbImage, style: &Style) -> Result<RgbImage> {
        let entry = self.entry(path)?;
        let (width, height) = image.dimensions();
        if [entry.width, entry.height] != [width, height] {
            let message = format!(
                "it has {width}×{height} pixels, but its key points are given for {}×{}",
                entry.width, entry.height
            );
            return Err(Error::file(path, message));
        }
        Ok(skeletons(&entry.people, [width, height], style))
    }

    fn entry(&self, path: &Path) -> Result<&Entry> {
        let stem = path.with_extension("");
        let places = stem.file_name().and_then(|name| self.by_name.get(name));
        let entries = places
            .into_iter()
            .flatten()
            .map(|&place| &self.entries[place]);
        let fitting = entries.filter(|entry| stem.ends_with(&entry.stem));
        fitting
            .max_by_key(|entry| entry.stem.components().count())
            .ok_or_else(|| Error::file(path, "the file of key points does not list it"))
    }
}

/// People as skeletons on black, the largest in front.
pub fn skeletons(people: &[Person], [width, height]: [u32; 2], style: &Style) -> RgbImage {
    let mut canvas = RgbImage::new(width, height);
    let line_width = (style.line_width * f64::from(width.min(height))).max(1.0);
    let mut people: Vec<&Person> = people.iter().collect();
    people.sort_by(|left, right| left.area.total_cmp(&right.area));
    for person in people {
        person_on(&mut canvas, person, line_width, style.visible_only);
    }
    canvas
}

fn person_on(canvas: &mut RgbImage, person: &Person, line_width: f64, visible_only: bool) {
    let place = |index: usize| {
        let point = person.points[index];
        let shown = match point.visibility {
            Visibility::Unknown => false,
            Visibility::Hidden => !visible_only,
            Visibility::Visible => true,
        };
        shown.then_some([point.x, point.y])
    };
    for (number, limb) in LIMBS.into_iter().enumerate() {
        let pen = Pen {
            radius: line_width / 2.0,
            color: hue(number, LIMBS.len(), 1.0),
        };
        if let [Some(from), Some(to)] = limb.map(place) {
            line(canvas, from, to, &pen);
        }
    }
    for number in 0..POINTS {
        // Paler and thicker than the lines that end there.
        let pen = Pen {
            radius: 0.8 * line_width,
            color: hue(number, POINTS, 0.5),
        };
        if let Some(point) = place(number) {
            line(canvas, point, point, &pen);
        }
    }
}

/// Colour `number` of `count` that go round the circle.
fn hue(number: usize, count: usize, saturation: f32) -> [f64; 3] {
    let hue = number as f32 / count as f32 * 6.0;
    color(hue, saturation, 1.0).map(|part| f64::from(part * 255.0).round())
}

/// A path without its ending.
fn without_ending(name: &str) -> PathBuf {
    Path::new(name).with_extension("")
}

#[cfg(test)]
mod tests;
