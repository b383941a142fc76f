//! Reading `metrics.jsonl`, whoever wrote it: line by line, in bounded memory, damaged lines counted and left out.

use super::curve::{Curve, Point};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Result};

/// The longest line that is read; ours are shorter than a thousand bytes.
const LONGEST: usize = 1 << 16;
/// The most damaged lines that are named.
const NAMED: usize = 5;

/// The numbers that rules look at. Others are left unread, so that a file cannot ask for memory by naming more.
const KEYS: [&str; 28] = [
    "total_loss",
    "nll_loss",
    "pixel_loss",
    "p_loss",
    "quant_loss",
    "d_weight",
    "lambda",
    "lambda_capped",
    "g_loss",
    "disc_loss",
    "disc_accuracy",
    "logits_real",
    "logits_fake",
    "lecam_loss",
    "r1_loss",
    "grad_norm",
    "disc_grad_norm",
    "skipped_steps",
    "restarted",
    "dead_codes",
    "usage_65536",
    "perplexity_65536",
    "learning_rate",
    "psnr",
    "usage_validation",
    "nats_per_code",
    "unigram_entropy",
    "log_codebook_size",
];

/// The curves of one split, by name.
#[derive(Debug, Clone, Default)]
pub struct Curves(BTreeMap<&'static str, Curve>);

impl Curves {
    /// The points of a curve; none if it was not logged.
    pub fn points(&self, name: &str) -> &[Point] {
        match self.0.get(name) {
            Some(curve) => curve.points(),
            None => &[],
        }
    }

    fn forget_from(&mut self, step: u64) {
        for curve in self.0.values_mut() {
            curve.forget_from(step);
        }
    }
}

/// Where a number was not finite (null in the file) for the first time, and in how many lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite {
    pub name: &'static str,
    pub step: u64,
    pub lines: u64,
}

/// What a `metrics.jsonl` holds.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub train: Curves,
    pub validation: Curves,
    /// The newest step.
    pub step: u64,
    /// How many lines could not be read, and the numbers of the first few, from 1.
    pub damaged: u64,
    pub damaged_lines: Vec<u64>,
    /// The last line ends in the middle.
    pub cut_off: bool,
    /// How often the steps went back: the later lines count then.
    pub went_back: u64,
    pub not_finite: Option<NotFinite>,
}

impl Log {
    /// Reads all lines.
    ///
    /// # Errors
    /// What the reader says; never the contents.
    pub fn read(mut reader: impl BufRead) -> Result<Self> {
        let mut log = Self::default();
        let mut line = Vec::new();
        let mut number = 0;
        while let Some(end) = next_line(&mut reader, &mut line)? {
            number += 1;
            if line.trim_ascii().is_empty() && end != End::TooLong {
                continue;
            }
            let entry = match end {
                End::TooLong => None,
                End::Newline | End::File => entry(&line),
            };
            match entry {
                Some((split, step, fields)) => log.add(&split, step, &fields),
                None if end == End::File => log.cut_off = true,
                None => log.damage(number),
            }
        }
        Ok(log)
    }

    fn damage(&mut self, number: u64) {
        self.damaged += 1;
        if self.damaged_lines.len() < NAMED {
            self.damaged_lines.push(number);
        }
    }

    fn add(&mut self, split: &str, step: u64, fields: &Map<String, Value>) {
        if step < self.step {
            self.went_back += 1;
            self.train.forget_from(step);
            self.validation.forget_from(step);
        }
        self.step = step;
        let curves = match split {
            "train" => &mut self.train,
            "validation" => &mut self.validation,
            _ => return,
        };
        let mut missing = None;
        for name in KEYS {
            match fields.get(name) {
                Some(Value::Null) => missing = missing.or(Some(name)),
                Some(value) => {
                    if let Some(value) = value.as_f64().filter(|value| value.is_finite()) {
                        curves.0.entry(name).or_default().push(step, value);
                    }
                }
                None => {}
            }
        }
        if let Some(name) = missing {
            let first = NotFinite {
                name,
                step,
                lines: 0,
            };
            self.not_finite.get_or_insert(first).lines += 1;
        }
    }
}

/// Split, step and all fields of a line.
fn entry(line: &[u8]) -> Option<(String, u64, Map<String, Value>)> {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(line) else {
        return None;
    };
    let split = fields.get("split")?.as_str()?.to_string();
    let step = fields.get("step")?.as_u64()?;
    Some((split, step, fields))
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Newline,
    /// The file ends without a newline.
    File,
    /// Its end was not kept.
    TooLong,
}

/// Reads the next line into `line`, without its newline and at most [`LONGEST`] bytes of it; `None` after the last.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<Option<End>> {
    line.clear();
    let (mut begun, mut too_long) = (false, false);
    loop {
        let bytes = match reader.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let newline = bytes.iter().position(|&byte| byte == b'\n');
        let part = &bytes[..newline.unwrap_or(bytes.len())];
        let at_end = bytes.is_empty();
        begun |= !at_end;
        let kept = part.len().min(LONGEST - line.len());
        too_long |= kept < part.len();
        line.extend_from_slice(&part[..kept]);
        let read = newline.map_or(part.len(), |place| place + 1);
        reader.consume(read);
        if at_end && !begun {
            return Ok(None);
        }
        if at_end || newline.is_some() {
            return Ok(Some(match (too_long, at_end) {
                (true, _) => End::TooLong,
                (false, true) => End::File,
                (false, false) => End::Newline,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Log {
        Log::read(text.as_bytes()).unwrap()
    }

    fn values(log: &Log, name: &str) -> Vec<(u64, f64)> {
        let points = log.train.points(name);
        points
            .iter()
            .map(|point| (point.step, point.value))
            .collect()
    }

    #[test]
    fn lines_become_curves_of_their_split() {
        let log = read(
            "{\"split\":\"train\",\"step\":1,\"nll_loss\":2.5,\"other\":1}\n\
             {\"split\":\"validation\",\"step\":1,\"psnr\":20}\n\
             {\"split\":\"elsewhere\",\"step\":1,\"nll_loss\":9}\n",
        );
        assert_eq!(values(&log, "nll_loss"), [(1, 2.5)]);
        assert_eq!(log.validation.points("psnr")[0].value, 20.0);
        assert!(log.train.points("other").is_empty());
        assert_eq!((log.step, log.damaged, log.cut_off), (1, 0, false));
    }

    #[test]
    fn damaged_lines_are_numbered_and_skipped() {
        let log = read(
            "no json\n\n[1]\n{\"split\":\"train\"}\n{\"split\":\"train\",\"step\":-1}\n\
             {\"split\":\"train\",\"step\":3,\"nll_loss\":1e999}\n\u{feff}\n\u{0}\n\
             {\"split\":\"train\",\"step\":2,\"nll_loss\":\"1\",\"p_loss\":0.5}\n",
        );
        assert_eq!(log.damaged, 7);
        assert_eq!(log.damaged_lines, [1, 3, 4, 5, 6]);
        assert_eq!(values(&log, "p_loss"), [(2, 0.5)]);
        assert!(values(&log, "nll_loss").is_empty());
    }

    #[test]
    fn nothing_one_line_and_half_a_line() {
        assert_eq!(read("").step, 0);
        let whole = read("{\"split\":\"train\",\"step\":7,\"nll_loss\":1}");
        assert_eq!((whole.step, whole.cut_off), (7, false));
        let half =
            read("{\"split\":\"train\",\"step\":7,\"nll_loss\":1}\n{\"split\":\"train\",\"st");
        assert_eq!((half.step, half.cut_off, half.damaged), (7, true, 0));
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut text = vec![b'['; 5_000_000];
        text.extend_from_slice(b"\n{\"split\":\"train\",\"step\":1,\"nll_loss\":1}\n");
        let log = Log::read(text.as_slice()).unwrap();
        assert_eq!((log.damaged, log.step), (1, 1));
        let mut line = Vec::new();
        next_line(&mut text.as_slice(), &mut line).unwrap();
        assert_eq!(line.len(), LONGEST);
    }

    #[test]
    fn a_line_as_long_as_allowed_is_whole() {
        let mut line = Vec::new();
        let text = [vec![b' '; LONGEST], vec![b'\n']].concat();
        let end = next_line(&mut text.as_slice(), &mut line).unwrap();
        assert_eq!((end, line.len()), (Some(End::Newline), LONGEST));
    }

    #[test]
    fn after_a_step_back_the_later_lines_count() {
        let line = |step: u64, loss: f64| {
            format!("{{\"split\":\"train\",\"step\":{step},\"nll_loss\":{loss}}}\n")
        };
        let text = [
            line(10, 3.0),
            line(20, 2.0),
            line(30, 1.5),
            line(20, 2.5),
            line(40, 1.0),
        ];
        let log = read(&text.concat());
        assert_eq!(log.went_back, 1);
        assert_eq!(values(&log, "nll_loss"), [(10, 3.0), (20, 2.5), (40, 1.0)]);
    }

    #[test]
    fn null_is_a_number_that_was_not_finite() {
        let log = read(
            "{\"split\":\"train\",\"step\":1,\"nll_loss\":1}\n\
             {\"split\":\"train\",\"step\":2,\"nll_loss\":null,\"grad_norm\":null}\n\
             {\"split\":\"train\",\"step\":3,\"nll_loss\":null}\n",
        );
        let expected = NotFinite {
            name: "nll_loss",
            step: 2,
            lines: 2,
        };
        assert_eq!(log.not_finite, Some(expected));
        assert_eq!(values(&log, "nll_loss"), [(1, 1.0)]);
    }
}
