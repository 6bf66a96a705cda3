//! Authenticode: the hash of an EFI application, which leaves out what a signature changes.
//!
//! Source: Microsoft's "Windows Authenticode Portable Executable Signature Format", calculating the PE image hash; the firmware does
//! the same (the TCG PC Client profile requires it). Where implementations could differ (gaps, overlaps), an image is refused.

use sha2::digest::Update;
use sha2::{Digest as _, Sha384};

use super::Digest;
use crate::read;

/// Largest kernel that is looked at, 256 MiB.
pub const MAX_IMAGE: usize = 256 << 20;
/// Most sections of an image; kernels have 4.
pub const MAX_SECTIONS: u16 = 96;

const X86_64: u16 = 0x8664;
const PE32_PLUS: u16 = 0x20b;
/// Of the headers behind the signature "PE\0\0": the COFF header, and, within the optional header, the checksum, the size of the
/// headers, the number of directories, and the directory that names the signature.
const COFF: usize = 20;
const CHECKSUM: usize = 64;
const HEADERS: usize = 60;
const DIRECTORIES: usize = 108;
const SECURITY: usize = 144;
const SECTION: usize = 40;

/// Why an image cannot be hashed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// No kernel is that big.
    #[error("{0} bytes are more than an image may have ({MAX_IMAGE})")]
    TooBig(usize),
    /// Not such a file at all.
    #[error("it is no EFI application for x86-64 (a bzImage with CONFIG_EFI_STUB is one)")]
    NotEfi,
    /// A header reaches beyond the file, or contradicts another.
    #[error("its PE headers are damaged: {0}")]
    Damaged(&'static str),
}

/// The Authenticode SHA-384 of an EFI application.
///
/// # Errors
/// If it is none, or one that firmware might hash in another way.
pub fn authenticode(image: &[u8]) -> Result<Digest, PeError> {
    let mut hash = Sha384::new();
    hashed(image, &mut hash)?;
    Ok(hash.finalize().into())
}

/// Puts into any hash what Authenticode hashes of an EFI application.
///
/// # Errors
/// As [`authenticode`]; then part of it may be in the hash.
pub fn hashed(image: &[u8], hash: &mut impl Update) -> Result<(), PeError> {
    if image.len() > MAX_IMAGE {
        return Err(PeError::TooBig(image.len()));
    }
    if image.get(..2) != Some(b"MZ") {
        return Err(PeError::NotEfi);
    }
    let cut = || PeError::Damaged("they reach beyond the file");
    let half = |at: usize| read::u16(image, at).ok_or_else(cut);
    let word = |at: usize| read::u32(image, at).map(|word| word as usize).ok_or_else(cut);

    let pe = word(0x3c)?;
    if read::array(image, pe) != Some(*b"PE\0\0") {
        return Err(PeError::NotEfi);
    }
    let coff = pe + 4;
    let optional = coff + COFF;
    if half(coff)? != X86_64 || half(optional)? != PE32_PLUS {
        return Err(PeError::NotEfi);
    }
    let (sections, optional_size) = (half(coff + 2)?, usize::from(half(coff + 16)?));
    if sections == 0 || sections > MAX_SECTIONS {
        return Err(PeError::Damaged("the number of sections is not between 1 and 96"));
    }
    // Five directories, the fifth of which is the signature's.
    if word(optional + DIRECTORIES)? < 5 || optional_size < SECURITY + 8 {
        return Err(PeError::Damaged("it has no entry for a signature"));
    }
    let table = optional + optional_size;
    let headers = word(optional + HEADERS)?;
    if headers < table + usize::from(sections) * SECTION || headers > image.len() {
        return Err(PeError::Damaged("the size of the headers does not hold them"));
    }
    let end = signature_start(image, word(optional + SECURITY)?, word(optional + SECURITY + 4)?)?;

    let mut ranges = Vec::new();
    for section in 0..usize::from(sections) {
        let at = table + section * SECTION;
        let (size, start) = (word(at + 16)?, word(at + 20)?);
        if size != 0 {
            ranges.push((start, size));
        }
    }
    ranges.sort_unstable();
    hash.update(&image[..optional + CHECKSUM]);
    hash.update(&image[optional + CHECKSUM + 4..optional + SECURITY]);
    hash.update(&image[optional + SECURITY + 8..headers]);
    let mut hashed = headers;
    for (start, size) in ranges {
        if start != hashed {
            return Err(PeError::Damaged("its sections leave gaps or overlap"));
        }
        hash.update(read::bytes(image, start, size).ok_or_else(cut)?);
        hashed = start + size;
    }
    if hashed > end {
        return Err(PeError::Damaged("its signature overlaps a section"));
    }
    hash.update(&image[hashed..end]);
    Ok(())
}

/// Where the signature begins; it has to be the end of the file.
fn signature_start(image: &[u8], start: usize, size: usize) -> Result<usize, PeError> {
    match (start, size) {
        (0, 0) => Ok(image.len()),
        _ if start.checked_add(size) == Some(image.len()) => Ok(start),
        _ => Err(PeError::Damaged("its signature is not what ends the file")),
    }
}
