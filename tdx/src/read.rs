//! Reading little-endian numbers out of files that nobody vouches for.

/// `len` bytes from `at`, if they are all there.
pub(crate) fn bytes(from: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    from.get(at..at.checked_add(len)?)
}

pub(crate) fn array<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    bytes(from, at, N)?.try_into().ok()
}

pub(crate) fn u16(from: &[u8], at: usize) -> Option<u16> {
    array(from, at).map(u16::from_le_bytes)
}

pub(crate) fn u32(from: &[u8], at: usize) -> Option<u32> {
    array(from, at).map(u32::from_le_bytes)
}

pub(crate) fn u64(from: &[u8], at: usize) -> Option<u64> {
    array(from, at).map(u64::from_le_bytes)
}
