//! What a TDX platform will measure of a guest, computed from the files it boots.
//!
//! Three registers identify the code of a guest; a policy needs all three, see docs/tdx/measurements.md:
//!
//! | register | covers | module |
//! | --- | --- | --- |
//! | MR_TD | the firmware | [`mrtd`] |
//! | RTMR1 | the kernel | [`rtmr`] |
//! | RTMR2 | the command line and the initramfs | [`rtmr`] |
//!
//! RTMR0 (tables that the host makes, memory size, boot variables) and RTMR3 (left at zero) are not predicted. All inputs are
//! looked at as hostile: whatever is not exactly as expected is refused, because a wrong prediction pins the wrong code.

pub mod mrtd;
pub mod pe;
pub mod rtmr;
pub mod tdvf;

use sha2::{Digest as _, Sha384};

pub use mrtd::PageOrder;

use crate::quote;
use crate::verify::Measurements;

/// One value of a measurement register, or what is extended into one: a SHA-384.
pub type Digest = [u8; 48];

/// The files of a guest that boots directly into a kernel, without a boot loader.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The firmware volume, as QEMU's `-bios` takes it.
    pub firmware: &'a [u8],
    /// The kernel, an EFI application, exactly as `-kernel` takes it.
    pub kernel: &'a [u8],
    /// The initial file system, compressed, as `-initrd` takes it.
    pub initramfs: &'a [u8],
    /// The command line as `-append` takes it.
    pub command_line: &'a str,
}

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// Of MR_TD.
    #[error("the firmware: {0}")]
    Firmware(#[from] tdvf::TdvfError),
    /// Of RTMR1.
    #[error("the kernel: {0}")]
    Kernel(#[from] pe::PeError),
    /// Of RTMR2.
    #[error("the command line: {0}")]
    CommandLine(#[from] rtmr::CommandLineError),
    /// Of RTMR2.
    #[error("the initramfs is empty: QEMU would boot without one, which is measured differently")]
    EmptyInitramfs,
}

/// Predicts the three registers.
///
/// # Errors
/// Where an input cannot be parsed, or would be measured in another way than the one that is known here.
pub fn predict(boot: Boot<'_>, order: PageOrder) -> Result<Measurements, MeasureError> {
    if boot.initramfs.is_empty() {
        return Err(MeasureError::EmptyInitramfs);
    }
    let sections = tdvf::sections(boot.firmware)?;
    Ok(Measurements {
        mrtd: quote::Digest(mrtd::mrtd(boot.firmware, &sections, order)),
        rtmr1: quote::Digest(rtmr::replay(&rtmr::kernel_events(boot.kernel)?)),
        rtmr2: quote::Digest(rtmr::replay(&rtmr::initramfs_events(boot.command_line, boot.initramfs)?)),
    })
}

/// SHA-384 of some bytes.
pub fn sha384(bytes: &[u8]) -> Digest {
    Sha384::digest(bytes).into()
}
