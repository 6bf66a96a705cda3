//! `zipnet-client-run-qemu.sh`: a shell script, filled up to a fixed length, and behind it firmware, kernel and initramfs.

use super::COMMAND_LINE;
use super::artifacts::{Parts, sha256};

const SCRIPT: &str = include_str!("../../launcher/run-qemu.sh");
/// Where the parts begin, in bytes: the script's own length is not known to it.
const PAYLOAD: usize = 32_768;

/// Why there is no launcher.
#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    /// The script has grown.
    #[error("the launcher's script has {0} bytes, more than the {PAYLOAD} that are there for it")]
    TooLong(usize),
}

/// The launcher.
pub(super) fn launcher(parts: &Parts) -> Result<Vec<u8>, LauncherError> {
    let files = [("FIRMWARE", &parts.firmware), ("KERNEL", &parts.kernel), ("INITRAMFS", &parts.initramfs)];
    let mut script = SCRIPT
        .replace("@COMMAND_LINE@", COMMAND_LINE)
        .replace("@HOST_SOCKET@", &parts.host_socket.unwrap_or_default().to_string())
        .replace("@INSTANCE@", parts.instance.as_deref().unwrap_or("none: this image takes part in nothing"));
    let mut at = PAYLOAD;
    for (name, contents) in files {
        script = script
            .replace(&format!("@{name}_AT@"), &at.to_string())
            .replace(&format!("@{name}_SIZE@"), &contents.len().to_string())
            .replace(&format!("@{name}_SHA256@"), &sha256(contents));
        at += contents.len();
    }
    let mut out = script.into_bytes();
    if out.len() > PAYLOAD {
        return Err(LauncherError::TooLong(out.len()));
    }
    // The script ends with `exit`: the shell reads none of this.
    out.resize(PAYLOAD, b'\n');
    for (_, contents) in files {
        out.extend_from_slice(contents);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_blank_of_the_script_stays_empty() {
        let parts = Parts {
            instance: None,
            host_socket: None,
            firmware: vec![1],
            kernel: vec![2, 2],
            initramfs: vec![3],
        };
        let launcher = launcher(&parts).unwrap();
        assert_eq!(launcher[PAYLOAD..], [1, 2, 2, 3]);
        let script = std::str::from_utf8(&launcher[..PAYLOAD]).unwrap();
        let blank = |word: &str| word.len() > 2 && word.starts_with('@') && word.ends_with('@');
        assert!(!script.split(|c: char| c.is_whitespace() || c == '\'').any(blank), "{script}");
    }
}
