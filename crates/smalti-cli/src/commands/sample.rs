//! `smalti sample`: new pictures from a prior.

use super::drawing::{DrawArgs, Requests, View, check_count, decode_each, fit_a_sheet};
use super::rejection::{Decoding, Rejection, RejectionArgs};
use crate::{Common, models, output, progress};
use clap::Args;
use image::RgbImage;
use serde_json::{Value, json};
use smalti::data::{GRID_PADDING, grid, pairs_grid, write_png};
use smalti::model::Model;
use smalti::prior::CodeSet;
use smalti::sample::neighbours::{Gallery, Neighbour};
use smalti::sample::{SampleOptions, Sampler};
use smalti::tokenizer::tiled::Plan;
use smalti::{Result, counted};
use std::path::{Path, PathBuf};

/// The name of the picture that shows samples beside their neighbours.
const NEIGHBOURS: &str = "neighbours.png";

/// How many of the nearest pictures are shown beside a sample.
const NEAREST: usize = 5;

/// The most samples that are shown beside their neighbours.
const SHOWN: usize = 32;

/// The longest side that can be asked for, in pixels.
const LONGEST: usize = 65_536;

/// How many pictures, if nobody says.
const DEFAULT_COUNT: usize = 16;

/// Example: smalti sample --model run -n 16 --top-k 100 --out samples
#[derive(Args)]
pub struct Sample {
    /// A model with a prior: a file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// How many pictures [default: 16, or one for each --condition and --text]
    #[arg(short)]
    n: Option<usize>,
    #[command(flatten)]
    draw: DrawArgs,
    #[command(flatten)]
    rejection: RejectionArgs,
    /// Size of the pictures in pixels, as WIDTHxHEIGHT; what is larger than the prior's own pictures is drawn through a
    /// window
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    /// The folder for the pictures and, if they are not too large, a grid of them
    #[arg(long)]
    out: PathBuf,
    /// Also write the codes to this file
    #[arg(long)]
    codes: Option<PathBuf>,
    /// Also measure how probable the samples are to the prior through the exact window
    #[arg(long)]
    nats: bool,
    /// Also show every sample beside the nearest of these training pictures: a folder, a list, or a file of their codes
    #[arg(long, value_name = "DIR|FILE")]
    neighbours: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

fn parse_size(text: &str) -> std::result::Result<[usize; 2], String> {
    let side = |text: &str| text.parse::<usize>().ok().filter(|&side| side > 0);
    let sides = text
        .split_once('x')
        .and_then(|(width, height)| Some([side(width)?, side(height)?]));
    match sides {
        None => Err("expected WIDTHxHEIGHT in pixels, like 512x256".to_string()),
        Some(sides) if sides.iter().any(|&side| side > LONGEST) => {
            Err(format!("too large: a side has {LONGEST} pixels at most"))
        }
        Some(sides) => Ok(sides),
    }
}

/// What is drawn, and where to.
struct Task {
    count: usize,
    options: SampleOptions,
    grid: [usize; 2],
    drawing: Requests,
    plan: Plan,
    /// The pictures', then the sheet's.
    paths: Vec<PathBuf>,
}

/// What was drawn.
struct Drawn {
    codes: Vec<Vec<i64>>,
    nats: Option<Vec<f64>>,
    /// What there is to say of a classifier's choice.
    accepted: Option<(Value, String)>,
}

impl Sample {
    pub fn run(self, common: &Common) -> Result<()> {
        let options = self.draw.options(common)?;
        let mut model = models::load_for_pictures(&self.model, common)?;
        let task = self.task(&model, options)?;
        for note in &task.drawing.notes {
            progress::note(common, note);
        }
        let (config, prior) = model.take_prior()?;
        let rejection = self
            .rejection
            .prepare(common, &config, &task.drawing.classes)?;
        let mut neighbourhood = self.neighbourhood(common, &model, task.grid)?;
        let codes = model.tokenizer_config.codes();
        let sampler = Sampler::new(prior, &config, codes, task.options)?;
        let drawn = self.draw_codes(common, &model, &sampler, &task, rejection.as_ref())?;
        // Its weights need not be there while pictures are decoded.
        drop(sampler);
        let sheet = self.write(common, &model, &task, &drawn.codes, neighbourhood.as_mut())?;
        self.report(common, &task, drawn, sheet, neighbourhood)
    }

    /// Everything that can be wrong is found out before anything is drawn.
    fn task(&self, model: &Model, mut options: SampleOptions) -> Result<Task> {
        let (config, _) = model.require_prior()?;
        let count = match self.n {
            Some(count) => count,
            None => match self.draw.conditions_given(config) {
                0 => DEFAULT_COUNT,
                given => given,
            },
        };
        check_count(count)?;
        let tokenizer = &model.tokenizer_config;
        options.codes_per_position = tokenizer.codes_per_position;
        let factor = tokenizer.factor();
        options.grid = self.size.map(|[width, height]| {
            tokenizer.grid([height, width].map(|side| side.next_multiple_of(factor)))
        });
        let grid = options.grid(config)?;
        // A size beyond the machine's memory is refused before anything of that size is made.
        let plan = Plan::decoder(model, tokenizer.pixels_of(grid), &self.draw.tile_options())?;
        let known = vec![None; grid[0].saturating_mul(grid[1])];
        let drawing = self.draw.requests(model, &known, (count, grid), true)?;
        let mut names = self.draw.names(count);
        names.extend(self.neighbours.as_ref().map(|_| NEIGHBOURS.to_string()));
        let paths = output::files_in(&self.out, &names, self.overwrite)?;
        if let Some(file) = &self.codes {
            output::refuse_existing(file, self.overwrite)?;
        }
        Ok(Task {
            count,
            options,
            grid,
            drawing,
            plan,
            paths,
        })
    }

    fn draw_codes(
        &self,
        common: &Common,
        model: &Model,
        sampler: &Sampler,
        task: &Task,
        rejection: Option<&Rejection>,
    ) -> Result<Drawn> {
        let requests = &task.drawing.requests;
        let (codes, accepted) = match rejection {
            Some(rejection) => {
                let decoding = Decoding {
                    model,
                    grid: task.grid,
                    plan: &task.plan,
                };
                let chance = (self.draw.seed(), task.options.batch);
                let accepted = rejection.draw(common, sampler, requests, &decoding, chance)?;
                let said = (rejection.json(&accepted), accepted.describe());
                (accepted.codes, Some(said))
            }
            None => {
                let mut view = View::new(common, model, task.grid, &self.draw, requests, &self.out);
                let codes = sampler.draw(requests, |progress| view.show(progress))?;
                view.finish();
                (codes, None)
            }
        };
        let nats = match self.nats {
            true => Some(sampler.nats_per_code(requests, &codes)?),
            false => None,
        };
        Ok(Drawn {
            codes,
            nats,
            accepted,
        })
    }

    /// Writes the pictures, a sheet of them if they fit, and the codes if they are wanted; says whether there is a sheet.
    fn write(
        &self,
        common: &Common,
        model: &Model,
        task: &Task,
        codes: &[Vec<i64>],
        mut neighbourhood: Option<&mut Neighbourhood<'_>>,
    ) -> Result<bool> {
        output::folder(&self.out)?;
        let shown = &task.drawing.shown;
        let sheet = fit_a_sheet(model, task.grid, task.count + shown.len());
        let mut pictures = Vec::new();
        let mut put = |index: usize, picture: RgbImage| {
            write_png(&task.paths[index], &picture)?;
            if let Some(neighbourhood) = &mut neighbourhood {
                neighbourhood.add(&codes[index], &picture);
            }
            if sheet {
                pictures.push(picture);
            }
            Ok(())
        };
        decode_each(common, model, codes, (task.grid, &task.plan), &mut put)?;
        if sheet {
            let picture = match shown.is_empty() {
                true => grid(&pictures, 8, GRID_PADDING),
                false => pairs_grid(shown, &pictures, 8),
            };
            write_png(&task.paths[task.count], &picture)?;
        }
        if let Some(file) = &self.codes {
            let mut set = CodeSet::new(model, task.grid[0], task.grid[1]);
            set.codes = codes.concat();
            set.classes = task.drawing.classes.clone();
            output::folder_of(file)?;
            set.save(file)?;
        }
        Ok(sheet)
    }

    fn report(
        &self,
        common: &Common,
        task: &Task,
        drawn: Drawn,
        sheet: bool,
        neighbourhood: Option<Neighbourhood<'_>>,
    ) -> Result<()> {
        let found = match &neighbourhood {
            Some(neighbourhood) => neighbourhood.write(&self.out.join(NEIGHBOURS))?,
            None => Value::Null,
        };
        let count = task.count;
        let sheet = sheet.then(|| &task.paths[count]);
        let json = json!({
            "out": self.out,
            "count": count,
            "pictures": &task.paths[..count],
            "grid": sheet,
            "codes": self.codes,
            "nats_per_code": drawn.nats,
            "neighbours": found,
            "rejection": drawn.accepted.as_ref().map(|(json, _)| json),
        });
        output::print(common, json, || {
            let place = sheet.unwrap_or(&self.out).display();
            let mut lines = vec![format!("{}, all in {place}", counted(count, "picture"))];
            lines.extend(drawn.nats.map(|nats| {
                let mean = nats.iter().sum::<f64>() / nats.len() as f64;
                format!("{mean:.4} nats/code through the exact window")
            }));
            lines.extend(drawn.accepted.map(|(_, text)| text));
            lines.extend(neighbourhood.map(|neighbourhood| neighbourhood.describe()));
            lines
        });
        Ok(())
    }

    fn neighbourhood<'a>(
        &self,
        common: &Common,
        model: &'a Model,
        grid_size: [usize; 2],
    ) -> Result<Option<Neighbourhood<'a>>> {
        let Some(path) = &self.neighbours else {
            return Ok(None);
        };
        let mut note = |text: String| progress::note(common, text);
        let gallery = Gallery::open(model, path, grid_size, &mut note)?;
        Ok(Some(Neighbourhood {
            model,
            gallery,
            found: Vec::new(),
            rows: Vec::new(),
        }))
    }
}

/// Samples beside the training pictures that are most like them.
struct Neighbourhood<'a> {
    model: &'a Model,
    gallery: Gallery,
    /// Of each sample: the nearest, and last of all the one with the most equal codes.
    found: Vec<Vec<Neighbour>>,
    /// What is shown: samples, each followed by its neighbours.
    rows: Vec<RgbImage>,
}

impl Neighbourhood<'_> {
    fn add(&mut self, codes: &[i64], sample: &RgbImage) {
        let all = self.gallery.neighbours(codes, sample);
        // Of equally equal ones the nearest, which comes first.
        let most_equal = all.iter().reduce(|most, next| {
            if next.equal_codes > most.equal_codes {
                next
            } else {
                most
            }
        });
        let mut found: Vec<Neighbour> = all.iter().take(NEAREST).copied().collect();
        found.extend(most_equal);
        if self.found.len() < SHOWN {
            self.rows.push(sample.clone());
            for neighbour in &found {
                self.rows
                    .push(self.gallery.picture(self.model, neighbour.index));
            }
        }
        self.found.push(found);
    }

    /// Writes the picture; returns the figures.
    fn write(&self, path: &Path) -> Result<Value> {
        let columns = self.found.first().map_or(1, |found| 1 + found.len());
        write_png(path, &grid(&self.rows, columns, GRID_PADDING))?;
        let neighbour = |neighbour: &Neighbour| {
            json!({
                "picture": neighbour.index,
                "distance": neighbour.distance,
                "equal_codes": neighbour.equal_codes,
            })
        };
        let found = self.found.iter().map(|found| {
            let (most_equal, nearest) = found.split_last()?;
            let nearest: Vec<Value> = nearest.iter().map(neighbour).collect();
            Some(json!({"nearest": nearest, "most_equal_codes": neighbour(most_equal)}))
        });
        let samples: Vec<Value> = found.flatten().collect();
        Ok(json!({"picture": path, "among": self.gallery.len(), "samples": samples}))
    }

    fn describe(&self) -> String {
        let nearest = self.found.iter().filter_map(|found| found.first());
        let distance = nearest.map(|neighbour| neighbour.distance);
        let equal = self.found.iter().filter_map(|found| found.last());
        let share = equal.map(|neighbour| neighbour.equal_codes);
        format!(
            "beside the nearest of {} training pictures in {NEIGHBOURS}: {:.1} levels away at the least, {:.1} % equal \
             codes at the most",
            self.gallery.len(),
            distance.fold(f64::INFINITY, f64::min),
            100.0 * share.fold(0.0, f64::max)
        )
    }
}
