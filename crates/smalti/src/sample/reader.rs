//! What a transformer has read of the windows it looks through: one that stands still is read on, one that moves is
//! read again.

use super::NextCode;
use super::path::{Path, Step};
use crate::error::{Error, Result};
use crate::prior::condition::Conditioning;
use crate::prior::decoder::Input;

/// A code whose logits are wanted.
pub(super) struct Job<'a> {
    /// Which of the reader's sequences looks.
    pub sequence: usize,
    pub condition: &'a dyn Conditioning,
    /// Of the picture, in reading order. All that the code sees are there.
    pub codes: &'a [Option<i64>],
    pub step: Step,
}

/// A transformer that looks through windows, one for each of its sequences.
pub(super) struct Reader<'a> {
    transformer: NextCode<'a>,
    /// Vectors and tokens of a condition.
    condition: [usize; 2],
    width: usize,
    vocabulary: usize,
    /// Of each sequence: where its window stands, and how many of the window's codes have been read.
    read: Vec<Option<([usize; 2], usize)>>,
}

impl<'a> Reader<'a> {
    /// `condition` is how many vectors of `width` values and how many tokens stand before the codes.
    pub fn new(
        transformer: NextCode<'a>,
        sequences: usize,
        condition: [usize; 2],
        [width, vocabulary]: [usize; 2],
    ) -> Self {
        Self {
            transformer,
            condition,
            width,
            vocabulary,
            read: vec![None; sequences],
        }
    }

    /// Forgets all windows: the sequences look at other pictures.
    pub fn forget(&mut self) {
        self.read.fill(None);
    }

    /// The logits of some codes, `[jobs, vocabulary]`. Jobs are in the order of their sequences.
    ///
    /// # Errors
    /// A condition of another length than before, or with tokens outside the vocabulary.
    pub fn logits(&mut self, path: &Path, jobs: &[Job<'_>]) -> Result<&[f32]> {
        let mut new = Vec::with_capacity(jobs.len());
        for job in jobs {
            new.push(self.unread(path, job)?);
        }
        let inputs: Vec<Input<'_>> = jobs
            .iter()
            .zip(&new)
            .map(|(job, (vectors, tokens))| Input {
                sequence: job.sequence,
                vectors,
                tokens,
            })
            .collect();
        Ok(self.transformer.logits(&inputs))
    }

    /// The vectors and tokens before a code that its sequence has not read.
    fn unread<'j>(&mut self, path: &Path, job: &Job<'j>) -> Result<(&'j [f32], Vec<i64>)> {
        let Step { origin, place, .. } = job.step;
        let read = match self.read[job.sequence] {
            Some((stands, read)) if stands == origin && read < place => Some(read),
            _ => None,
        };
        let nothing: &[f32] = &[];
        let (vectors, mut tokens) = match read {
            Some(_) => (nothing, Vec::new()),
            None => {
                self.transformer.restart(job.sequence);
                self.condition_of(path, job)?
            }
        };
        for place in read.unwrap_or(0)..place {
            let code = job.codes[path.cell(origin, place)];
            tokens.push(code.expect("the codes before this one are there"));
        }
        self.read[job.sequence] = Some((origin, place));
        Ok((vectors, tokens))
    }

    fn condition_of<'j>(&self, path: &Path, job: &Job<'j>) -> Result<(&'j [f32], Vec<i64>)> {
        let vectors = job.condition.prefix().unwrap_or_default();
        let tokens = job.condition.tokens(&path.window(job.step.origin));
        let shape = [vectors.len() / self.width, tokens.len()];
        if shape != self.condition {
            return Err(Error::failed(format!(
                "a condition of {} vectors and {} tokens has {} and {} in the window at row {}, column {}",
                self.condition[0],
                self.condition[1],
                shape[0],
                shape[1],
                job.step.origin[0],
                job.step.origin[1]
            )));
        }
        let inside =
            |token: &i64| usize::try_from(*token).is_ok_and(|token| token < self.vocabulary);
        if let Some(token) = tokens.iter().find(|&token| !inside(token)) {
            return Err(Error::input(format!(
                "the condition has the token {token}, but the prior's vocabulary is {}",
                self.vocabulary
            )));
        }
        Ok((vectors, tokens))
    }
}
