//! The TDVF metadata of a firmware: which pages a TD is made of before it runs.
//!
//! Source: Intel's "TDX Virtual Firmware Design Guide", section 11 (metadata); where the metadata is found (a table of GUIDs at the
//! end of the file) is OVMF's own convention, which QEMU follows.

use crate::read;

/// Size of the pages that a TD is made of.
pub const PAGE: u64 = 4096;
/// Largest firmware that is looked at, 16 MiB: QEMU maps it below 4 GiB, where there is no room for more.
pub const MAX_FIRMWARE: usize = 16 << 20;
/// Most sections: real firmware has about 6.
pub const MAX_SECTIONS: u32 = 32;
/// Most memory that all sections together may name, in bytes.
pub const MAX_MEMORY: u64 = 64 << 20;

/// `96b582de-1fb2-45f7-baea-a366c55a082d`, which ends OVMF's table of GUIDs.
const TABLE_FOOTER: [u8; 16] =
    [0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d];
/// `e47a6535-984a-4798-865e-4685a7bf8ec2`, the entry that says where the metadata is.
const METADATA_OFFSET: [u8; 16] =
    [0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2];
/// The table ends this far before the end of the file; behind it is the reset vector.
const TABLE_END: usize = 32;
/// A length and a GUID end each entry of the table.
const ENTRY_TAIL: usize = 18;
/// Signature, length, version, number of sections.
const HEADER: usize = 16;
const SECTION: usize = 32;
const MR_EXTEND: u32 = 1;
const PAGE_AUG: u32 = 2;

/// What a section is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The firmware's code.
    Code,
    /// The firmware's variables.
    Variables,
    /// Where the VMM describes the memory: its contents are not measured here.
    Handoff,
    /// Scratch memory.
    Temporary,
}

/// A range of the TD's first memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// What for.
    pub kind: Kind,
    /// Where in the firmware its contents begin, and how many bytes of it there are; the rest is zero.
    pub data: (usize, usize),
    /// Guest-physical address, a multiple of [`PAGE`].
    pub address: u64,
    /// Bytes, a multiple of [`PAGE`].
    pub size: u64,
    /// Whether the contents go into MR_TD, not only the addresses.
    pub extend: bool,
}

/// Why a file is not a TDX firmware that can be measured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TdvfError {
    /// No firmware is that big.
    #[error("{0} bytes are more than a firmware may have ({MAX_FIRMWARE})")]
    TooBig(usize),
    /// The table of GUIDs is missing.
    #[error("it has no OVMF table of GUIDs, so it is no OVMF firmware (the file must be the whole OVMF.fd)")]
    NoTable,
    /// The table of GUIDs contradicts itself.
    #[error("its table of GUIDs is damaged")]
    BadTable,
    /// A firmware, but not for TDX.
    #[error(
        "it has no TDX metadata: take one that is built for TDX, such as Debian's OVMF.fd of package ovmf"
    )]
    NoMetadata,
    /// The header of the metadata is not one of version 1.
    #[error("its TDX metadata is damaged: {0}")]
    BadMetadata(&'static str),
    /// A section is impossible, or of a kind that would be measured in a way not known here.
    #[error("section {index} of its TDX metadata: {what}")]
    BadSection {
        /// Which, from 0.
        index: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// A firmware that is not measured is whatever the host likes.
    #[error("none of its sections is measured")]
    NothingMeasured,
}

/// The sections, in the order in which the VMM adds them.
///
/// # Errors
/// For anything that QEMU would not load, and anything whose measurement would be a guess.
pub fn sections(firmware: &[u8]) -> Result<Vec<Section>, TdvfError> {
    if firmware.len() > MAX_FIRMWARE {
        return Err(TdvfError::TooBig(firmware.len()));
    }
    let at = metadata_offset(firmware)?;
    let damaged = TdvfError::BadMetadata;
    let header = read::bytes(firmware, at, HEADER).ok_or(damaged("it lies outside of the file"))?;
    if &header[..4] != b"TDVF" {
        return Err(damaged("the signature TDVF is missing"));
    }
    let number = |at| read::u32(header, at).expect("invariant: within the header");
    let (length, version, count) = (number(4), number(8), number(12));
    if version != 1 {
        return Err(damaged("its version is not 1"));
    }
    if count == 0 || count > MAX_SECTIONS {
        return Err(damaged("the number of sections is not between 1 and 32"));
    }
    if length as usize != HEADER + count as usize * SECTION {
        return Err(damaged("its length does not fit the number of sections"));
    }
    let mut all: Vec<Section> = Vec::new();
    for index in 0..count {
        let entry = read::bytes(firmware, at + HEADER + index as usize * SECTION, SECTION)
            .ok_or(damaged("it reaches beyond the file"))?;
        let section = section(firmware, entry, &all).map_err(|what| TdvfError::BadSection { index, what })?;
        all.push(section);
    }
    if !all.iter().any(|section| section.kind == Kind::Code && section.extend) {
        return Err(TdvfError::NothingMeasured);
    }
    Ok(all)
}

/// Walks the table of GUIDs, which is read from its end.
fn metadata_offset(firmware: &[u8]) -> Result<usize, TdvfError> {
    let end = firmware.len().checked_sub(TABLE_END).ok_or(TdvfError::NoTable)?;
    let tail = end.checked_sub(ENTRY_TAIL).ok_or(TdvfError::NoTable)?;
    if read::array(firmware, tail + 2) != Some(TABLE_FOOTER) {
        return Err(TdvfError::NoTable);
    }
    let length = read::u16(firmware, tail).ok_or(TdvfError::BadTable)?;
    // The footer's length is that of the whole table, its own tail included.
    let start = end.checked_sub(length.into()).ok_or(TdvfError::BadTable)?;
    let mut at = tail;
    while at > start {
        let entry = at.checked_sub(ENTRY_TAIL).filter(|entry| *entry >= start).ok_or(TdvfError::BadTable)?;
        let guid: [u8; 16] = read::array(firmware, entry + 2).ok_or(TdvfError::BadTable)?;
        let length = usize::from(read::u16(firmware, entry).ok_or(TdvfError::BadTable)?);
        let begin = at.checked_sub(length).filter(|begin| *begin >= start && length >= ENTRY_TAIL);
        let begin = begin.ok_or(TdvfError::BadTable)?;
        if guid == METADATA_OFFSET {
            let back = (length == ENTRY_TAIL + 4).then(|| read::u32(firmware, begin)).flatten();
            let back = back.ok_or(TdvfError::BadTable)? as usize;
            return firmware.len().checked_sub(back).ok_or(TdvfError::BadTable);
        }
        at = begin;
    }
    // A length that is too small leaves `start` above the first tail.
    if at < start { Err(TdvfError::BadTable) } else { Err(TdvfError::NoMetadata) }
}

fn section(firmware: &[u8], entry: &[u8], before: &[Section]) -> Result<Section, &'static str> {
    let number = |at| read::u32(entry, at).expect("invariant: within the entry");
    let wide = |at| read::u64(entry, at).expect("invariant: within the entry");
    let data = (number(0) as usize, number(4) as usize);
    let (address, size) = (wide(8), wide(16));
    let (kind, attributes) = (number(24), number(28));
    let kind = match kind {
        0 => Kind::Code,
        1 => Kind::Variables,
        2 => Kind::Handoff,
        3 => Kind::Temporary,
        _ => return Err("its kind is not one that QEMU fills for a kernel that it boots directly"),
    };
    if attributes & !(MR_EXTEND | PAGE_AUG) != 0 || attributes & PAGE_AUG != 0 {
        return Err("it has attributes that are not known here");
    }
    if size == 0 || size % PAGE != 0 || address % PAGE != 0 {
        return Err("its address or size is not in whole pages");
    }
    let end = address.checked_add(size).ok_or("it reaches beyond the address space")?;
    let total = before.iter().map(|section| section.size).sum::<u64>();
    if total.saturating_add(size) > MAX_MEMORY {
        return Err("the sections together are larger than a firmware's may be (64 MiB)");
    }
    if before.iter().any(|other| address < other.address + other.size && other.address < end) {
        return Err("it overlaps an earlier one");
    }
    if read::bytes(firmware, data.0, data.1).is_none() {
        return Err("its contents lie outside of the file");
    }
    let fits = match kind {
        // QEMU fills these from the file, and takes no padding.
        Kind::Code | Kind::Variables => data.1 as u64 == size,
        Kind::Handoff | Kind::Temporary => data == (0, 0),
    };
    if !fits {
        return Err("the size of its contents does not fit its kind");
    }
    let extend = attributes & MR_EXTEND != 0;
    if extend && kind == Kind::Handoff {
        return Err("it would measure what the host writes, which cannot be predicted");
    }
    Ok(Section { kind, data, address, size, extend })
}
