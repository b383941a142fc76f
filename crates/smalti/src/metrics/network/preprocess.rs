//! From pictures of any size to what a classifier reads. Figures depend on how this is done, in the second digit
//! even, so every program's way has its name here (Parmar et al., "On Aliased Resizing and Surprising Subtleties in
//! GAN Evaluation", 2022).

use crate::checkpoint::host_values;
use crate::error::{Error, Result};
use burn::tensor::{Shape, Tensor, TensorData};
use rayon::prelude::*;
use std::fmt;

/// The largest side a picture is scaled to.
const MAX_SIDE: usize = 4096;

/// How a picture is scaled. Pixels are squares, and their centres are what lies on one another, unless it says
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resampling {
    /// Linear between the two nearest pixels, whatever lies between when it is scaled down: PyTorch's `interpolate`.
    Bilinear,
    /// The same with pixels as points, of which the upper left ones lie on one another: TensorFlow 1.
    BilinearCorner,
    /// Linear, and over all that a new pixel covers: Pillow, and torchvision's transforms.
    BilinearAntialiased,
    /// Cubic (Catmull-Rom), and over all that a new pixel covers: Pillow.
    BicubicAntialiased,
}

impl Resampling {
    /// The name that goes with figures.
    pub fn name(self) -> &'static str {
        match self {
            Resampling::Bilinear => "bilinear",
            Resampling::BilinearCorner => "bilinear-corner",
            Resampling::BilinearAntialiased => "bilinear-antialiased",
            Resampling::BicubicAntialiased => "bicubic-antialiased",
        }
    }
}

/// What is done to a picture before a classifier sees it: the whole of it is stretched to `side` × `side` pixels,
/// then of every level from 0 to 255 `centre` is subtracted, and the rest divided by `span`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocessing {
    pub side: usize,
    pub resampling: Resampling,
    pub centre: f32,
    pub span: f32,
}

impl Preprocessing {
    /// pytorch-fid's.
    pub const PYTORCH_FID: Self = Self::new(299, Resampling::Bilinear, 127.5, 127.5);

    /// torch-fidelity's and that of the first FID program (bioinf-jku/TTUR): what the paper's FIDs were measured with.
    pub const TORCH_FIDELITY: Self = Self::new(299, Resampling::BilinearCorner, 128.0, 128.0);

    /// clean-fid's.
    pub const CLEAN_FID: Self = Self::new(299, Resampling::BicubicAntialiased, 128.0, 128.0);

    /// torchvision's for its Inception-v3, without the crop: of a generated picture all counts.
    pub const TORCHVISION: Self = Self::new(299, Resampling::BilinearAntialiased, 127.5, 127.5);

    /// That of EfficientNet-lite0, without the crop.
    pub const EFFICIENTNET_LITE0: Self =
        Self::new(224, Resampling::BilinearAntialiased, 127.0, 128.0);

    const fn new(side: usize, resampling: Resampling, centre: f32, span: f32) -> Self {
        Self {
            side,
            resampling,
            centre,
            span,
        }
    }

    /// Whether there is a picture of so many pixels, and a range of levels.
    ///
    /// # Errors
    /// When there is not.
    pub fn check(&self) -> Result<()> {
        let finite = self.centre.is_finite() && self.span.is_finite();
        if self.side == 0 || self.side > MAX_SIDE || !finite || self.span == 0.0 {
            return Err(Error::input(format!(
                "no picture can be prepared so: {self} (sides are from 1 to {MAX_SIDE})"
            )));
        }
        Ok(())
    }

    /// Pictures `[n, h, w, 3 or 1]` in [-1, 1] to `[n, side, side, 3]`, f32, on the same device and without autodiff.
    /// One channel becomes three.
    ///
    /// # Errors
    /// What [`Self::check`] says, and when there are other numbers of channels, or no pixels.
    pub fn apply(&self, pixels: Tensor<4>) -> Result<Tensor<4>> {
        self.check()?;
        let [count, height, width, channels] = pixels.dims();
        if !(channels == 1 || channels == 3) || height == 0 || width == 0 {
            return Err(Error::input(format!(
                "pictures of {width}×{height} with {channels} channels have no features: three channels or one are needed"
            )));
        }
        let device = pixels.device().inner();
        let scaling = Scaling {
            rows: taps(self.resampling, height, self.side),
            columns: taps(self.resampling, width, self.side),
            channels,
        };
        let values = host_values(pixels);
        // Levels are (x + 1) · 127.5.
        let (factor, offset) = (127.5 / self.span, (127.5 - self.centre) / self.span);
        let mut scaled = vec![0.0; count * self.side * self.side * 3];
        scaled
            .par_chunks_mut(self.side * self.side * 3)
            .zip(values.par_chunks(height * width * channels))
            .for_each(|(target, picture)| {
                scaling.run(picture, width, target);
                target
                    .iter_mut()
                    .for_each(|value| *value = *value * factor + offset);
            });
        let shape = Shape::from([count, self.side, self.side, 3]);
        Ok(Tensor::from_data(TensorData::new(scaled, shape), &device))
    }
}

/// The words that go with figures: `bilinear to 299×299, (level - 127.5) / 127.5`.
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            side,
            resampling,
            centre,
            span,
        } = self;
        let name = resampling.name();
        write!(f, "{name} to {side}×{side}, (level - {centre}) / {span}")
    }
}

/// The pixels that a new one is made of: the first of them, and their shares.
struct Taps {
    first: usize,
    shares: Vec<f32>,
}

/// The taps of every new pixel of one axis.
fn taps(resampling: Resampling, extent: usize, side: usize) -> Vec<Taps> {
    match resampling {
        Resampling::Bilinear => between(extent, side, 0.5),
        Resampling::BilinearCorner => between(extent, side, 0.0),
        Resampling::BilinearAntialiased => covering(extent, side, 1.0, |x| 1.0 - x),
        Resampling::BicubicAntialiased => covering(extent, side, 2.0, catmull_rom),
    }
}

/// Two pixels each. The place that lies on the same place of the old pixel and the new one is `anchor`. In f32
/// throughout, as the programs whose numbers these are have it.
fn between(extent: usize, side: usize, anchor: f32) -> Vec<Taps> {
    let scale = extent as f32 / side as f32;
    let place = |new: usize| ((new as f32 + anchor) * scale - anchor).max(0.0);
    (0..side)
        .map(|new| {
            let place = place(new);
            let first = (place as usize).min(extent - 1);
            let share = place - first as f32;
            let shares = match first + 1 < extent {
                true => vec![1.0 - share, share],
                false => vec![1.0],
            };
            Taps { first, shares }
        })
        .collect()
}

/// All pixels under a kernel that reaches `reach` old or new pixels to either side, whichever are larger; `kernel` is a
/// function of the distance.
fn covering(extent: usize, side: usize, reach: f64, kernel: fn(f64) -> f64) -> Vec<Taps> {
    let scale = extent as f64 / side as f64;
    let stretch = scale.max(1.0);
    (0..side)
        .map(|new| {
            let centre = (new as f64 + 0.5) * scale;
            let (start, end) = (centre - reach * stretch, centre + reach * stretch);
            let first = (start + 0.5).max(0.0) as usize;
            let last = ((end + 0.5) as usize).clamp(first + 1, extent);
            let share = |old: usize| {
                let distance = ((old as f64 + 0.5 - centre) / stretch).abs();
                if distance < reach {
                    kernel(distance)
                } else {
                    0.0
                }
            };
            let shares: Vec<f64> = (first..last).map(share).collect();
            let sum: f64 = shares.iter().sum();
            let shares = shares.into_iter().map(|share| (share / sum) as f32);
            Taps {
                first,
                shares: shares.collect(),
            }
        })
        .collect()
}

/// The cubic of Catmull and Rom, at a distance below 2.
fn catmull_rom(x: f64) -> f64 {
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    }
}

/// A scaling of both axes.
struct Scaling {
    rows: Vec<Taps>,
    columns: Vec<Taps>,
    channels: usize,
}

impl Scaling {
    /// Scales one picture `[height, width, channels]` to `[rows, columns, 3]`.
    fn run(&self, picture: &[f32], width: usize, target: &mut [f32]) {
        let narrow = self.columns.len() * self.channels;
        let rows = picture.chunks_exact(width * self.channels);
        let lines: Vec<f32> = rows.flat_map(|row| self.line(row)).collect();
        let mut sums = vec![0.0; narrow];
        for (taps, target) in self
            .rows
            .iter()
            .zip(target.chunks_exact_mut(self.columns.len() * 3))
        {
            sums.fill(0.0);
            let lines = lines[taps.first * narrow..].chunks_exact(narrow);
            for (line, share) in lines.zip(&taps.shares) {
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum += value * share;
                }
            }
            let pixels = sums.chunks_exact(self.channels);
            for (pixel, target) in pixels.zip(target.chunks_exact_mut(3)) {
                // The single value of a grey pixel is that of all three channels.
                let channels = pixel.iter().cycle();
                for (target, value) in target.iter_mut().zip(channels) {
                    *target = *value;
                }
            }
        }
    }

    /// One row scaled to as many pixels as there are columns.
    fn line(&self, row: &[f32]) -> Vec<f32> {
        let mut line = vec![0.0; self.columns.len() * self.channels];
        for (taps, sums) in self
            .columns
            .iter()
            .zip(line.chunks_exact_mut(self.channels))
        {
            let pixels = row[taps.first * self.channels..].chunks_exact(self.channels);
            for (pixel, share) in pixels.zip(&taps.shares) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += value * share;
                }
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::foreign;
    use burn::tensor::Device;
    use std::path::Path;

    const ALL: [Resampling; 4] = [
        Resampling::Bilinear,
        Resampling::BilinearCorner,
        Resampling::BilinearAntialiased,
        Resampling::BicubicAntialiased,
    ];

    fn pictures(shape: [usize; 4], level: impl Fn(usize) -> f32) -> Tensor<4> {
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(level).collect();
        Tensor::from_data(TensorData::new(values, Shape::from(shape)), &Device::flex())
    }

    fn plain(side: usize, resampling: Resampling) -> Preprocessing {
        Preprocessing::new(side, resampling, 127.5, 127.5)
    }

    /// Against PyTorch's `interpolate`; what TensorFlow 1 does is written out in `tests/features/make.py`.
    #[test]
    fn pictures_are_scaled_as_other_programs_scale_them() {
        let fixture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features/resampling.safetensors");
        let fixture = foreign::read(&fixture).unwrap().tensors;
        // The busy picture of `make.py`.
        let (height, width) = (13, 9);
        let picture = pictures([1, height, width, 3], |index| {
            let (c, x, y) = (index % 3, index / 3 % width, index / 3 / width);
            let level = (x * 7 + y * 13 + c * 29 + x * y % 31 * 5) % 256;
            level as f32 / 127.5 - 1.0
        });
        for resampling in ALL {
            for side in [5, 12] {
                let name = format!("{}.{side}", resampling.name());
                let scaled = plain(side, resampling).apply(picture.clone()).unwrap();
                assert_eq!(scaled.dims(), [1, side, side, 3]);
                let ours = host_values(scaled.permute([0, 3, 1, 2]));
                let theirs = fixture[&name].as_f32().unwrap();
                for (ours, theirs) in ours.iter().zip(theirs) {
                    assert!((ours - theirs).abs() < 1e-5, "{name}: {ours}, not {theirs}");
                }
            }
        }
    }

    #[test]
    fn pictures_of_the_right_size_stay_as_they_are_and_grey_ones_become_coloured() {
        for resampling in ALL {
            let picture = pictures([2, 6, 6, 1], |index| index as f32 / 36.0 - 1.0);
            let same = plain(6, resampling).apply(picture.clone()).unwrap();
            let values = host_values(same);
            for (pixel, value) in values.chunks_exact(3).zip(host_values(picture)) {
                let near = |channel: &f32| (channel - value).abs() < 1e-6;
                assert!(pixel.iter().all(near), "{resampling:?}: {pixel:?}");
            }
        }
    }

    #[test]
    fn levels_are_centred_as_each_program_does() {
        let level = |level: f32| pictures([1, 1, 1, 3], |_| level / 127.5 - 1.0);
        let first = |preprocessing: Preprocessing, pixels: Tensor<4>| {
            let prepared = preprocessing.apply(pixels).unwrap();
            assert_eq!(prepared.dims()[1], preprocessing.side);
            host_values(prepared)[0]
        };
        for (preprocessing, black, white) in [
            (Preprocessing::PYTORCH_FID, -1.0, 1.0),
            (Preprocessing::TORCH_FIDELITY, -1.0, 127.0 / 128.0),
            (Preprocessing::CLEAN_FID, -1.0, 127.0 / 128.0),
            (Preprocessing::TORCHVISION, -1.0, 1.0),
            (Preprocessing::EFFICIENTNET_LITE0, -127.0 / 128.0, 1.0),
        ] {
            assert!((first(preprocessing, level(0.0)) - black).abs() < 1e-6);
            assert!((first(preprocessing, level(255.0)) - white).abs() < 1e-6);
        }
        assert_eq!(
            Preprocessing::PYTORCH_FID.to_string(),
            "bilinear to 299×299, (level - 127.5) / 127.5"
        );
    }

    #[test]
    fn what_cannot_be_prepared_is_refused() {
        let refused = |preprocessing: Preprocessing, shape: [usize; 4]| {
            let result = preprocessing.apply(pictures(shape, |_| 0.0));
            result.unwrap_err().to_string()
        };
        let text = refused(Preprocessing::PYTORCH_FID, [1, 4, 5, 2]);
        assert!(text.contains("5×4 with 2 channels"), "{text}");
        let none = plain(0, Resampling::Bilinear);
        assert!(refused(none, [1, 4, 4, 3]).contains("sides are from 1"));
        let flat = Preprocessing {
            span: 0.0,
            ..Preprocessing::PYTORCH_FID
        };
        assert!(flat.check().is_err());
    }
}
