//! The bytes of a pickle, read from front to back. Nothing is taken that is not there.

/// A position in the input.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    /// The input from byte `at` on.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The next byte to be read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = self.rest();
        match rest.get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(format!(
                "it is cut off: {count} bytes are announced and {} are left",
                rest.len()
            )),
        }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// An unsigned number of `N` bytes, little-endian.
    pub fn length<const N: usize>(&mut self) -> Result<usize, String> {
        let mut wide = [0; 8];
        for (to, from) in wide.iter_mut().zip(self.array::<N>()?) {
            *to = from;
        }
        match usize::try_from(u64::from_le_bytes(wide)) {
            Ok(length) => Ok(length),
            Err(_) => Err("a length is beyond this machine's memory".into()),
        }
    }

    /// Bytes that follow their own number, which takes `N` bytes.
    pub fn block<const N: usize>(&mut self) -> Result<&'a [u8], String> {
        let length = self.length::<N>()?;
        self.take(length)
    }

    /// The rest of the line, without its end.
    pub fn line(&mut self) -> Result<&'a [u8], String> {
        let rest = self.rest();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err("it is cut off within a line of text".into());
        };
        let line = self.take(end)?;
        self.at += 1;
        Ok(line)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}
