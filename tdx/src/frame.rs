//! Messages over a stream: length `u32`, little-endian, then the bytes.

use std::io::{self, Read, Write};

/// Reads one message; a longer one than `limit` is refused before anything is kept for it.
pub(crate) fn read(stream: &mut impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > limit {
        let problem = format!("a message of {len} bytes, at most {limit} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let mut out = vec![0; len];
    stream.read_exact(&mut out)?;
    Ok(out)
}

/// Writes one message.
pub(crate) fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&len.to_le_bytes())?;
    stream.write_all(bytes)?;
    stream.flush()
}
