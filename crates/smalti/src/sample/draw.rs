//! The loop that draws codes: of every picture, at each step, one code of every lane that may advance.

use super::path::{Path, Step};
use super::reader::{Job, Reader};
use super::request::{Request, code_random};
use super::{Filter, Guidance};
use crate::error::Result;
use crate::prior::condition::Conditioning;

/// How far a drawing has come.
pub struct Progress<'a> {
    /// Codes drawn so far, of all pictures.
    pub drawn: usize,
    /// The number of the first picture that is being drawn now.
    pub picture: usize,
    /// Its codes in reading order, as far as they are there.
    pub codes: &'a [Option<i64>],
}

/// A picture that is being drawn.
struct Picture {
    request: Request,
    /// What is known and what has been drawn.
    codes: Vec<Option<i64>>,
    /// How many codes of each lane are there.
    lanes: Vec<usize>,
    /// The first lane that is not complete.
    first: usize,
}

/// A code that is drawn next.
#[derive(Clone, Copy)]
struct Turn {
    picture: usize,
    lane: usize,
    step: Step,
    /// The first of the sequences that look at it.
    sequence: usize,
    guided: bool,
}

/// What decides how a drawing goes, besides the requests.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub filter: Filter,
    pub guidance: Guidance,
    /// Only so many of the first tokens are codes.
    pub choices: usize,
    /// How many lanes of a picture advance together.
    pub lanes: usize,
}

impl Manner {
    /// How many sequences look at a code: without guidance one, else another one under no condition.
    pub fn sides(&self) -> usize {
        1 + usize::from(self.guidance.is_on())
    }
}

/// Pictures that are drawn together.
pub(crate) struct Drawing<'a> {
    /// Its sequences: of every picture the lanes that advance together, of every lane the sides.
    reader: Reader<'a>,
    path: Path,
    manner: Manner,
    pictures: Vec<Picture>,
}

impl<'a> Drawing<'a> {
    pub(super) fn new(
        reader: Reader<'a>,
        path: Path,
        manner: Manner,
        requests: &[Request],
    ) -> Self {
        let picture = |request: &Request| Picture {
            codes: request.known.clone(),
            request: request.clone(),
            lanes: vec![0; path.lanes()],
            first: 0,
        };
        Self {
            reader,
            pictures: requests.iter().map(picture).collect(),
            path,
            manner,
        }
    }

    /// Draws a code of every lane that may advance. Returns how many that were: none when all pictures are complete.
    ///
    /// # Errors
    /// A condition that cannot be used.
    pub(crate) fn step(&mut self) -> Result<usize> {
        let turns = self.turns();
        if turns.is_empty() {
            return Ok(0);
        }
        let jobs = jobs(&self.pictures, &turns);
        let count = jobs.len();
        let logits = self.reader.logits(&self.path, &jobs)?;
        let vocabulary = logits.len() / count;
        let mut rows = logits
            .chunks_exact(vocabulary)
            .map(|row| &row[..self.manner.choices]);
        let (mut guided, mut drawn) = (Vec::new(), Vec::with_capacity(turns.len()));
        for turn in &turns {
            let mut row = rows.next().unwrap_or_default();
            if turn.guided {
                let unconditional = rows.next().unwrap_or_default();
                self.manner
                    .guidance
                    .combine(row, unconditional, &mut guided);
                row = &guided;
            }
            let seed = self.pictures[turn.picture].request.seed;
            let mut random = code_random(seed, turn.step.cell);
            drawn.push(self.manner.filter.draw(row, &mut random) as i64);
        }
        for (turn, code) in turns.iter().zip(drawn) {
            let picture = &mut self.pictures[turn.picture];
            picture.codes[turn.step.cell] = Some(code);
            picture.lanes[turn.lane] += 1;
        }
        Ok(turns.len())
    }

    /// What is drawn next, in the order of the sequences.
    fn turns(&mut self) -> Vec<Turn> {
        let (lanes, sides) = (self.manner.lanes, self.manner.sides());
        let mut turns = Vec::new();
        for (index, picture) in self.pictures.iter_mut().enumerate() {
            for (lane, step) in picture.ready(&self.path, lanes) {
                turns.push(Turn {
                    picture: index,
                    lane,
                    step,
                    sequence: (index * lanes + lane % lanes) * sides,
                    guided: self.manner.guidance.holds(self.path.fraction(&step)),
                });
            }
        }
        turns.sort_by_key(|turn| turn.sequence);
        turns
    }

    /// The codes of one picture in reading order, as far as they are there.
    pub(super) fn codes(&self, picture: usize) -> &[Option<i64>] {
        &self.pictures[picture].codes
    }

    /// The codes of all pictures, which are complete.
    pub(super) fn finish(self) -> Vec<Vec<i64>> {
        let pictures = self.pictures.into_iter();
        pictures
            .map(|picture| picture.codes.into_iter().flatten().collect())
            .collect()
    }
}

/// What must be computed for some turns: for a guided one two rows of logits.
fn jobs<'p>(pictures: &'p [Picture], turns: &[Turn]) -> Vec<Job<'p>> {
    let mut jobs = Vec::with_capacity(2 * turns.len());
    for turn in turns {
        let picture = &pictures[turn.picture];
        let mut look = |side: usize, condition: &'p dyn Conditioning| {
            jobs.push(Job {
                sequence: turn.sequence + side,
                condition,
                codes: &picture.codes,
                step: turn.step,
            });
        };
        look(0, &*picture.request.condition);
        if turn.guided
            && let Some(unconditional) = &picture.request.unconditional
        {
            look(1, &**unconditional);
        }
    }
    jobs
}

impl Picture {
    /// The next code of every lane that may advance, of `lanes` lanes from the first that is not complete.
    fn ready(&mut self, path: &Path, lanes: usize) -> Vec<(usize, Step)> {
        let mut ready = Vec::new();
        while self.first < path.lanes() {
            let last = (self.first + lanes).min(path.lanes());
            for lane in self.first..last {
                if let Some(step) = self.unknown(path, lane) {
                    ready.push((lane, step));
                }
            }
            while self.first < path.lanes() && self.lanes[self.first] == path.length(self.first) {
                self.first += 1;
            }
            // The first lane can always advance; with nothing ready it was known to its end.
            if !ready.is_empty() {
                break;
            }
        }
        ready
    }

    /// Passes over known codes to the next one of a lane that must be drawn, if all it sees is there.
    fn unknown(&mut self, path: &Path, lane: usize) -> Option<Step> {
        while self.lanes[lane] < path.length(lane) {
            let step = path.step(lane, self.lanes[lane]);
            if lane > 0 && self.lanes[lane - 1] < step.needs {
                return None;
            }
            if self.codes[step.cell].is_none() {
                return Some(step);
            }
            self.lanes[lane] += 1;
        }
        None
    }
}
