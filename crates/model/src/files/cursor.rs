//! Reading little-endian fields from bytes, none of them past the end.

use super::error::Fault;

/// A position in a file's bytes. Every read says what it reads, for the error message.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn at(&self) -> u64 {
        self.at as u64
    }

    pub fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// The next `length` bytes, borrowed from the file.
    pub fn take(&mut self, length: u64, what: &str) -> Result<&'a [u8], Fault> {
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length))
            .and_then(|end| self.bytes.get(self.at..end));
        let Some(taken) = taken else {
            let left = self.left();
            return Err(Fault::new(self.at(), format!("{what} needs {length} bytes, {left} left")));
        };
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        let mut field = [0; N];
        field.copy_from_slice(self.take(N as u64, what)?);
        Ok(field)
    }

    pub fn u8(&mut self, what: &str) -> Result<u8, Fault> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    pub fn u16(&mut self, what: &str) -> Result<u16, Fault> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    pub fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: &str) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// The next `length` bytes as UTF-8, copied only after both checks.
    pub fn text(&mut self, length: u64, what: &str) -> Result<&'a str, Fault> {
        let at = self.at();
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| Fault::new(at, format!("{what} is not UTF-8")))
    }

    /// Refuses a declared number of entries that cannot fit in what is left of the file.
    pub fn expect_room(&self, count: u64, least: u64, what: &str) -> Result<usize, Fault> {
        let room = self.left() / least;
        match usize::try_from(count) {
            Ok(count) if count as u64 <= room => Ok(count),
            _ => {
                let left = self.left();
                let reason =
                    format!("{count} {what} declared, at most {room} fit in the {left} bytes left");
                Err(Fault::new(self.at(), reason))
            }
        }
    }
}
