//! RTMR1 and RTMR2: what firmware and kernel measure on the way to the kernel's first instruction.
//!
//! RTMR1 takes what a TPM would have in PCRs 2 to 6, RTMR2 what it would have in PCRs 8 to 15 (UEFI specification, section
//! 38.4.1). The order of events is OVMF's for a kernel that QEMU hands over (`-kernel`), with Linux's EFI stub.

use super::{Digest, pe, sha384};

/// Longest command line, in bytes: Linux takes 2,048 with the NUL, and the firmware adds its word.
pub const MAX_COMMAND_LINE: usize = 2047 - INITRD.len();
/// The word that OVMF adds when there is an initramfs.
const INITRD: &str = " initrd=initrd";

/// What is extended into a register, in order, with a name for people.
pub type Events = Vec<(&'static str, Digest)>;

/// Why a command line cannot be measured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// It would be cut.
    #[error("{0} bytes are more than {MAX_COMMAND_LINE}")]
    TooLong(usize),
    /// It could be changed on the way.
    #[error("it may have printable ASCII only, and no space at either end: {0:?}")]
    BadCharacter(String),
}

/// The value of a register that starts with zeros, after some events.
pub fn replay(events: &[(&str, Digest)]) -> Digest {
    events.iter().fold([0; 48], |register, (_, digest)| sha384(&[register, *digest].concat()))
}

/// The events of RTMR1. The kernel is loaded before the firmware says that it is about to boot, hence the first place.
///
/// # Errors
/// Where the kernel is no EFI application.
pub fn kernel_events(kernel: &[u8]) -> Result<Events, pe::PeError> {
    let text = |text: &'static str| (text, sha384(text.as_bytes()));
    Ok(vec![
        ("kernel (Authenticode)", pe::authenticode(kernel)?),
        text("Calling EFI Application from Boot Option"),
        ("separator", sha384(&[0; 4])),
        text("Exit Boot Services Invocation"),
        text("Exit Boot Services Returned with Success"),
    ])
}

/// The events of RTMR2.
///
/// # Errors
/// Where the command line might reach the kernel in another form.
pub fn initramfs_events(command_line: &str, initramfs: &[u8]) -> Result<Events, CommandLineError> {
    if command_line.len() > MAX_COMMAND_LINE {
        return Err(CommandLineError::TooLong(command_line.len()));
    }
    let printable = command_line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !printable || command_line.trim() != command_line {
        return Err(CommandLineError::BadCharacter(command_line.to_owned()));
    }
    // The firmware hands it over as UTF-16 with the NUL, and that is what the kernel's stub measures.
    let options: Vec<u8> =
        [command_line, INITRD, "\0"].concat().encode_utf16().flat_map(u16::to_le_bytes).collect();
    Ok(vec![("command line", sha384(&options)), ("initramfs", sha384(initramfs))])
}
