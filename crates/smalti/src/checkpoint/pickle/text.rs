//! The arguments that protocol 0 writes as lines of text: numbers, quoted strings and escaped Unicode.

use super::graph::Node;

/// An integer. One beyond 64 bits becomes a float: no checkpoint needs its exact value.
pub fn integer<'a>(line: &[u8]) -> Result<Node<'a>, String> {
    let digits = number(line)?;
    if !digits.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return Err("an integer is not written in digits".into());
    }
    match digits.parse::<i64>() {
        Ok(value) => Ok(Node::Int(value)),
        Err(_) => float(line),
    }
}

/// A float, as Python's `repr` writes it.
pub fn float<'a>(line: &[u8]) -> Result<Node<'a>, String> {
    match number(line)?.parse::<f64>() {
        Ok(value) => Ok(Node::Float(value)),
        Err(_) => Err("a number cannot be read".into()),
    }
}

/// An index into the memo.
pub fn index(line: &[u8]) -> Result<usize, String> {
    match number(line)?.parse::<usize>() {
        Ok(value) => Ok(value),
        Err(_) => Err("a memo index cannot be read".into()),
    }
}

fn number(line: &[u8]) -> Result<&str, String> {
    match std::str::from_utf8(line) {
        Ok(text) => Ok(text.trim()),
        Err(_) => Err("a number is not text".into()),
    }
}

/// A Python 2 string: quotes around bytes, of which some are escaped by a backslash.
pub fn quoted(line: &[u8]) -> Result<Vec<u8>, String> {
    let mut rest = match line.trim_ascii() {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err("a string has no quotes".into()),
    };
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        if *first == b'\\' {
            let (byte, after) = unescape(tail)?;
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Ok(bytes)
}

/// The byte that the characters after a backslash stand for, and what follows them. Python's `repr` writes no others.
fn unescape(escaped: &[u8]) -> Result<(u8, &[u8]), String> {
    match escaped {
        [b'x', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Ok((16 * high + low, rest)),
            _ => Err("a string has a broken \\x escape".into()),
        },
        [b'n', rest @ ..] => Ok((b'\n', rest)),
        [b'r', rest @ ..] => Ok((b'\r', rest)),
        [b't', rest @ ..] => Ok((b'\t', rest)),
        [other @ (b'\\' | b'\'' | b'"'), rest @ ..] => Ok((*other, rest)),
        _ => Err("a string has an unknown escape".into()),
    }
}

fn digit(character: u8) -> Option<u8> {
    let value = char::from(character).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Python's "raw-unicode-escape": Latin-1, except for `\uXXXX` and `\UXXXXXXXX`.
pub fn raw_unicode(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        if let Some((character, after)) = code_point(rest) {
            text.push(character);
            rest = after;
        } else {
            text.push(char::from(*first));
            rest = tail;
        }
    }
    text
}

fn code_point(text: &[u8]) -> Option<(char, &[u8])> {
    let (digits, after) = match text {
        [b'\\', b'u', rest @ ..] => rest.split_at_checked(4)?,
        [b'\\', b'U', rest @ ..] => rest.split_at_checked(8)?,
        _ => return None,
    };
    let digits = std::str::from_utf8(digits).ok()?;
    let value = u32::from_str_radix(digits, 16).ok()?;
    // Half a surrogate pair is a code point to Python and none to Rust.
    Some((
        char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER),
        after,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size() {
        assert!(matches!(integer(b"-12"), Ok(Node::Int(-12))));
        assert!(
            matches!(integer(b"100000000000000000000"), Ok(Node::Float(value)) if value == 1e20)
        );
        assert!(integer(b"12x").is_err());
        assert!(integer(b"").is_err());
        assert!(matches!(float(b"-inf"), Ok(Node::Float(value)) if value == f64::NEG_INFINITY));
        assert!(index(b"-1").is_err());
    }

    #[test]
    fn strings_with_escapes() {
        assert_eq!(quoted(br"'a\x00\xff\n\''").unwrap(), b"a\x00\xff\n'");
        assert_eq!(quoted(b"\"it's\"").unwrap(), b"it's");
        let broken: [&[u8]; 5] = [b"'", b"abc", br"'\x1'", br"'\'", b""];
        for broken in broken {
            assert!(quoted(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn unicode_with_escapes() {
        assert_eq!(raw_unicode(br"a\u00e9\U0001f600\u00"), "aé😀\\u00");
        assert_eq!(raw_unicode(b"\xe9"), "é");
        assert_eq!(raw_unicode(br"\ud800"), "\u{fffd}");
    }
}
