//! Event files that TensorBoard opens: records framed as TFRecord (length, masked CRC-32C, bytes, masked CRC-32C), each
//! one a protocol-buffer `Event`. Scalars and PNG pictures are all a training writes, so the few fields these need are
//! encoded here; the crates that write whole event files bring an old image stack or a code generator with them.

use crate::error::{Error, Result};
use image::RgbImage;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An event file being written.
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Creates a new event file in `folder`, which is created too.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let path = free_name(folder);
        let file = File::create(&path).map_err(|error| Error::io(&path, error))?;
        let mut events = Self { file, path };
        let mut event = Message::at(now(), 0);
        event.bytes(3, b"brain.Event:2");
        events.record(&event.0)?;
        Ok(events)
    }

    /// Writes numbers under their tags.
    pub fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> Result<()> {
        let mut summary = Message::default();
        for (tag, value) in values {
            let mut entry = Message::default();
            entry.bytes(1, tag.as_bytes());
            entry.float(2, *value as f32);
            summary.bytes(1, &entry.0);
        }
        self.summary(step, &summary)
    }

    /// Writes a picture under a tag.
    pub fn picture(&mut self, step: u64, tag: &str, picture: &RgbImage) -> Result<()> {
        let mut png = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut png, image::ImageFormat::Png)
            .map_err(|error| {
                Error::file(&self.path, format!("a picture cannot be written: {error}"))
            })?;
        let mut image = Message::default();
        image.integer(1, u64::from(picture.height()));
        image.integer(2, u64::from(picture.width()));
        image.integer(3, 3);
        image.bytes(4, png.get_ref());
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes());
        entry.bytes(4, &image.0);
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        self.summary(step, &summary)
    }

    fn summary(&mut self, step: u64, summary: &Message) -> Result<()> {
        let mut event = Message::at(now(), step);
        event.bytes(5, &summary.0);
        self.record(&event.0)
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut frame = Vec::with_capacity(data.len() + 16);
        frame.extend_from_slice(&length);
        frame.extend_from_slice(&masked_crc(&length).to_le_bytes());
        frame.extend_from_slice(data);
        frame.extend_from_slice(&masked_crc(data).to_le_bytes());
        self.file
            .write_all(&frame)
            .map_err(|error| Error::io(&self.path, error))
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// TensorBoard reads files in the order of their names and wants the word `tfevents` in them.
fn free_name(folder: &Path) -> PathBuf {
    let seconds = now() as u64;
    (0..)
        .map(|number| folder.join(format!("events.out.tfevents.{seconds:010}.smalti.{number}")))
        .find(|path| !path.exists())
        .expect("some number is free")
}

/// A protocol-buffer message as it grows.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// The head of an `Event`: wall time and step.
    fn at(time: f64, step: u64) -> Self {
        let mut message = Self::default();
        message.tag(1, 1);
        message.0.extend_from_slice(&time.to_le_bytes());
        message.integer(2, step);
        message
    }

    fn tag(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.tag(field, 0);
        self.varint(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.tag(field, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }
}

/// CRC-32C, rotated and shifted by a constant as TFRecord wants it.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: event files are small.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_its_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_framed_and_parse_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path()).unwrap();
        events.scalars(300, &[("train/loss".into(), 0.5)]).unwrap();
        let bytes = std::fs::read(&events.path).unwrap();
        let first = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let rest = &bytes[8 + 4 + first + 4..];
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let data = &rest[12..12 + length];
        let crc = u32::from_le_bytes(rest[12 + length..16 + length].try_into().unwrap());
        assert_eq!(crc, masked_crc(data));
        assert_eq!(rest.len(), 16 + length);
        // Field 2, varint 300.
        assert!(data.windows(3).any(|window| window == [0x10, 0xac, 0x02]));
        assert!(data.windows(10).any(|window| window == b"train/loss"));
    }
}
