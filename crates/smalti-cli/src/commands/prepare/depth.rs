//! `smalti prepare depth`: depth maps checked, and written in another form.

use super::{Places, bar, complain, failures};
use crate::{Common, output};
use clap::{Args, ValueEnum};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde_json::json;
use smalti::data::{Dataset, DepthForm};
use smalti::prepare::depth::{DepthFile, DepthRange, convert, inspect};
use smalti::prepare::each;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, ValueEnum)]
enum SourceForm {
    /// packed if a file has four channels whose bytes make plausible floats, else grey
    Auto,
    /// One number per pixel: grey of 8 or 16 bits, or a TIFF
    Grey,
    /// The bytes of red, green, blue and alpha are those of a float, as in the authors' D-RIN files
    Packed,
}

#[derive(Clone, Copy, ValueEnum)]
enum TargetForm {
    /// PNGs of 16-bit grey: whole numbers as they are, others stretched to each map's own range
    Grey,
    /// PNGs whose four bytes are those of a float
    Packed,
    /// TIFFs of floats
    Tiff,
}

#[derive(Args)]
pub struct Depth {
    /// A folder of depth maps, a list of them, or one
    data: PathBuf,
    /// How the depth of a pixel is written down
    #[arg(long, value_enum, default_value_t = SourceForm::Auto)]
    from: SourceForm,
    /// How it is to be written
    #[arg(long, value_enum, requires = "out")]
    to: Option<TargetForm>,
    /// The folder for what is made; below it everything has the path and the name of its map
    #[arg(long, requires = "to")]
    out: Option<PathBuf>,
    /// Make anew what is there already
    #[arg(long)]
    overwrite: bool,
}

impl Depth {
    pub fn run(self, common: &Common) -> Result<()> {
        let form = match self.from {
            SourceForm::Auto => DepthForm::Auto,
            SourceForm::Grey => DepthForm::Grey,
            SourceForm::Packed => DepthForm::Packed,
        };
        let (Some(to), Some(out)) = (self.to, self.out) else {
            return check(common, &self.data, form);
        };
        let to = match to {
            TargetForm::Grey => DepthFile::Grey,
            TargetForm::Packed => DepthFile::Packed,
            TargetForm::Tiff => DepthFile::Tiff,
        };
        let places = Places {
            data: self.data,
            out,
            overwrite: self.overwrite,
        };
        let targets = places.targets(to.extension())?;
        let bar = bar(common, targets.len());
        let make = |path: &Path| convert(path, form, to);
        let outcome = each(&targets, places.overwrite, make, || bar.inc(1));
        places.finish(common, bar, &outcome)
    }
}

/// Reads all maps through and says what they hold.
fn check(common: &Common, data: &Path, form: DepthForm) -> Result<()> {
    let dataset = Dataset::open(data)?;
    let bar = bar(common, dataset.len());
    let results: Vec<Result<DepthRange>> = dataset
        .items
        .par_iter()
        .map(|item| {
            let range = inspect(&item.path, form);
            bar.inc(1);
            range
        })
        .collect();
    bar.finish_and_clear();
    let (mut good, mut failed) = (Vec::new(), Vec::new());
    for (item, result) in dataset.items.iter().zip(results) {
        match result {
            Ok(range) => good.push((&item.path, range)),
            Err(error) => failed.push((item.path.clone(), reason(error))),
        }
    }
    let maps: Vec<_> = good
        .iter()
        .map(|(path, range)| {
            json!({
                "file": path.display().to_string(),
                "width": range.width,
                "height": range.height,
                "smallest": range.smallest,
                "largest": range.largest,
                "flat": range.is_flat(),
            })
        })
        .collect();
    let json = json!({"maps": maps, "failed": failures(&failed)});
    output::print(common, json, || {
        good.iter()
            .map(|(path, range)| described(path, range))
            .collect()
    });
    complain(common, &failed, good.len())
}

fn described(path: &Path, range: &DepthRange) -> String {
    let DepthRange {
        width,
        height,
        smallest,
        largest,
    } = range;
    let flat = if range.is_flat() { ", flat" } else { "" };
    format!(
        "{}  {width}×{height}, {smallest} to {largest}{flat}",
        path.display()
    )
}

/// What is wrong with a file, without its path.
fn reason(error: Error) -> String {
    match error {
        Error::Io { source, .. } => source.to_string(),
        Error::File { message, .. } => message,
        other => other.to_string(),
    }
}
