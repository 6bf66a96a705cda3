//! MR_TD: what the TDX module hashes while a TD is built.
//!
//! Source: Intel's "TDX Module Base Architecture Specification", TDH.MEM.PAGE.ADD and TDH.MR.EXTEND: each page that is added is a
//! record of 128 bytes with its address, each 256 bytes of contents that are measured a record of 128 bytes and the bytes.

use sha2::{Digest as _, Sha384};

use super::Digest;
use super::tdvf::{PAGE, Section};

/// How much TDH.MR.EXTEND takes at once.
const CHUNK: u64 = 256;
const RECORD: usize = 128;

/// The order in which the VMM adds and measures the pages. The module hashes in the order of the calls, so that the same firmware has
/// two values of MR_TD; which one holds is a property of the host's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOrder {
    /// Each page is added and then measured, before the next one: KVM upstream (Linux 6.16 and later).
    SinglePass,
    /// All pages of a section are added, then all are measured: the stacks from before TDX was merged.
    TwoPasses,
}

impl PageOrder {
    /// As `measurements.json` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SinglePass => "single-pass",
            Self::TwoPasses => "two-passes",
        }
    }
}

/// The value of MR_TD for a firmware, with the sections that [`super::tdvf::sections`] read in the same bytes.
pub fn mrtd(firmware: &[u8], sections: &[Section], order: PageOrder) -> Digest {
    let mut hash = Sha384::new();
    for section in sections {
        let pages = (0..section.size).step_by(PAGE as usize);
        match order {
            PageOrder::SinglePass => {
                for page in pages {
                    add(&mut hash, section, page);
                    extend(&mut hash, firmware, section, page);
                }
            }
            PageOrder::TwoPasses => {
                pages.clone().for_each(|page| add(&mut hash, section, page));
                pages.for_each(|page| extend(&mut hash, firmware, section, page));
            }
        }
    }
    hash.finalize().into()
}

fn add(hash: &mut Sha384, section: &Section, page: u64) {
    hash.update(record(b"MEM.PAGE.ADD", section.address + page));
}

fn extend(hash: &mut Sha384, firmware: &[u8], section: &Section, page: u64) {
    if !section.extend {
        return;
    }
    let contents = &firmware[section.data.0..][..section.data.1];
    for at in (page..page + PAGE).step_by(CHUNK as usize) {
        hash.update(record(b"MR.EXTEND", section.address + at));
        match contents.get(at as usize..(at + CHUNK) as usize) {
            Some(chunk) => hash.update(chunk),
            // Scratch memory has no contents: it is added as zeros.
            None => hash.update([0; CHUNK as usize]),
        }
    }
}

fn record(name: &[u8], address: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..name.len()].copy_from_slice(name);
    record[16..24].copy_from_slice(&address.to_le_bytes());
    record
}
