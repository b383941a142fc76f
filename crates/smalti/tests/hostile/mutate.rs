//! How files are changed: bits and bytes, numbers where lengths may be, parts cut out, repeated and exchanged; and
//! texts word by word. The same random stream gives the same file.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Numbers at which arithmetic goes wrong.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    1 << 40,
    1 << 62,
    0x7FFF_FFFF_FFFF_FFFF,
    u64::MAX,
];

/// Words at which readers of texts go wrong.
const WORDS: [&str; 36] = [
    "0",
    "-1",
    "1",
    "2",
    "32",
    "64",
    "4096",
    "65536",
    "1048576",
    "16777216",
    "2147483648",
    "4294967296",
    "1099511627776",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e3",
    "1e39",
    "1e400",
    "-0.0",
    "0.5",
    ".nan",
    ".inf",
    "null",
    "true",
    "[]",
    "{}",
    "[[",
    "\"\"",
    "'",
    "*a",
    "&a",
    "!!binary",
    "<<",
    "\u{feff}",
    "\n---\n",
];

/// One of `items`, of which there must be some.
pub fn pick<'i, T>(random: &mut ChaCha8Rng, items: &'i [T]) -> &'i T {
    &items[random.random_range(0..items.len())]
}

/// Changes `file` in one to four places; parts of `others` may come into it.
pub fn bytes(random: &mut ChaCha8Rng, file: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut changed = file.to_vec();
    for _ in 0..random.random_range(1..5_u32) {
        change_bytes(random, &mut changed, others);
    }
    changed
}

fn change_bytes(random: &mut ChaCha8Rng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    if bytes.is_empty() {
        bytes.push(0);
    }
    let (at, end) = part(random, bytes.len());
    match random.random_range(0..10_u32) {
        0 | 1 => bytes[at] ^= 1_u8 << random.random_range(0..8_u32),
        2 => bytes[at] = *pick(random, &[0, 1, 0x7F, 0x80, 0xFF]),
        3 => bytes[at] = random.random(),
        4 | 5 => write_number(random, &mut bytes[at..]),
        6 => bytes.truncate(at),
        7 => drop(bytes.drain(at..end)),
        8 => {
            let copy = bytes[at..end].to_vec();
            let (to, _) = part(random, bytes.len());
            drop(bytes.splice(to..to, copy));
        }
        _ => {
            let other = pick(random, others);
            if !other.is_empty() {
                let (from, to) = part(random, other.len());
                drop(bytes.splice(at..end, other[from..to].to_vec()));
            }
        }
    }
}

/// Beginning and end of a part of at most 64 bytes of `length`: headers stand at the front, and directories at the end.
fn part(random: &mut ChaCha8Rng, length: usize) -> (usize, usize) {
    let begin = match random.random_range(0..4_u32) {
        0 => random.random_range(0..length.min(2048)),
        1 => length - 1 - random.random_range(0..length.min(256)),
        _ => random.random_range(0..length),
    };
    let end = begin + random.random_range(1..65_usize);
    (begin, end.min(length))
}

/// Writes one of the numbers over the first one, two, four or eight bytes, in either order.
fn write_number(random: &mut ChaCha8Rng, bytes: &mut [u8]) {
    let length = *pick(random, &[1_usize, 2, 4, 8]);
    let mut number = pick(random, &NUMBERS).to_le_bytes()[..length].to_vec();
    if random.random_bool(0.5) {
        number.reverse();
    }
    for (byte, new) in bytes.iter_mut().zip(number) {
        *byte = new;
    }
}

/// Changes a text in one to four places, now and then a byte of it as well.
pub fn text(random: &mut ChaCha8Rng, file: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut changed = words(file);
    for _ in 0..random.random_range(1..5_u32) {
        change_words(random, &mut changed, others);
    }
    let mut changed = changed.concat();
    if random.random_bool(0.1) {
        change_bytes(random, &mut changed, others);
    }
    changed
}

/// The words and numbers of a text, and every character between them alone.
fn words(text: &[u8]) -> Vec<Vec<u8>> {
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let words = text.chunk_by(|left, right| in_word(left) && in_word(right));
    words.map(<[u8]>::to_vec).collect()
}

fn change_words(random: &mut ChaCha8Rng, words: &mut Vec<Vec<u8>>, others: &[Vec<u8>]) {
    if words.is_empty() {
        words.push(Vec::new());
    }
    let (at, end) = part(random, words.len());
    match random.random_range(0..8_u32) {
        0 | 1 => words[at] = word(random),
        2 => words.insert(at, word(random)),
        3 => {
            let (to, _) = part(random, words.len());
            words.swap(at, to);
        }
        4 => drop(words.drain(at..end)),
        5 => {
            let copy = words[at..end].to_vec();
            let (to, _) = part(random, words.len());
            drop(words.splice(to..to, copy));
        }
        6 => {
            let times = random.random_range(2..200_usize);
            if words[at].len() * times <= 1 << 16 {
                words[at] = words[at].repeat(times);
            }
        }
        _ => {
            let other = self::words(pick::<Vec<u8>>(random, others));
            if !other.is_empty() {
                words[at] = pick(random, &other).clone();
            }
        }
    }
}

fn word(random: &mut ChaCha8Rng) -> Vec<u8> {
    pick(random, &WORDS).as_bytes().to_vec()
}

/// Changes the header of a safetensors file as a text, and puts its length right.
pub fn header(random: &mut ChaCha8Rng, file: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let Some((header, data)) = split_header(file) else {
        return bytes(random, file, others);
    };
    let headers = [header.to_vec()];
    let changed = text(random, header, &headers);
    join_header(&changed, data)
}

fn split_header(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    rest.split_at_checked(u64::from_le_bytes(*length) as usize)
}

/// A safetensors file.
pub fn join_header(header: &[u8], data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header, data].concat()
}

/// Puts the checksums of a PNG right, where it still is one: a wrong one ends the reading of it.
pub fn repair_png(file: &mut [u8]) {
    if !file.starts_with(PNG) {
        return;
    }
    let mut at = PNG.len();
    while let Some((length, rest)) = file[at..].split_first_chunk::<4>() {
        // Name and contents are what the checksum is about.
        let end = 4 + u32::from_be_bytes(*length) as usize;
        let Some(sum) = rest.get(..end).map(checksum) else {
            return;
        };
        at += 4 + end;
        let Some(place) = file.get_mut(at..at + 4) else {
            return;
        };
        place.copy_from_slice(&sum.to_be_bytes());
        at += 4;
    }
}

/// What a PNG begins with.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The CRC-32 of PNG and zip.
pub fn checksum(bytes: &[u8]) -> u32 {
    let shift = |sum: u32| {
        if sum & 1 == 1 {
            (sum >> 1) ^ 0xEDB8_8320
        } else {
            sum >> 1
        }
    };
    let next = |sum: u32, &byte: &u8| (0..8).fold(sum ^ u32::from(byte), |sum, _| shift(sum));
    !bytes.iter().fold(u32::MAX, next)
}
