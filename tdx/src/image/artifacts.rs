//! The files that a publisher and a committee take away.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::COMMAND_LINE;
use super::launcher::{self, LauncherError};
use crate::measure::{self, Boot, MeasureError, PageOrder};
use crate::quote::Digest;
use crate::verify::Measurements;

/// Version of `measurements.json`.
pub const FORMAT: u32 = 1;

/// What the prediction takes for granted; docs/tdx/measurements.md explains each.
const ASSUMPTIONS: [&str; 4] = [
    "the host's kernel measures the firmware page by page (Linux 6.16 and later); mrtd_two_passes is for older stacks",
    "QEMU 10 or later hands over the kernel unchanged",
    "QEMU boots kernel and initramfs directly, without option ROMs of devices",
    "the quote is not one of a debug TD",
];

/// The parts of an image.
#[derive(Clone, Debug)]
pub struct Parts {
    /// `NAME#ID`, which is in the initramfs, too.
    pub instance: Option<String>,
    /// As in [`super::content::Content`].
    pub host_socket: Option<u16>,
    /// The firmware.
    pub firmware: Vec<u8>,
    /// The kernel.
    pub kernel: Vec<u8>,
    /// The initial file system.
    pub initramfs: Vec<u8>,
}

/// Why nothing was written, or not all.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactsError {
    /// The image cannot be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The launcher.
    #[error(transparent)]
    Launcher(#[from] LauncherError),
    /// A file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// `measurements.json`.
#[derive(Debug, Serialize)]
struct Json<'a> {
    format: u32,
    instance: Option<&'a str>,
    mrtd: String,
    rtmr1: String,
    rtmr2: String,
    page_order: &'static str,
    mrtd_two_passes: String,
    command_line: &'static str,
    kernel_authenticode_sha384: String,
    sha256: Files,
    assumptions: [&'static str; 4],
}

/// SHA-256 of each file.
#[derive(Debug, Serialize)]
struct Files {
    firmware: String,
    kernel: String,
    initramfs: String,
    launcher: String,
}

/// Writes all artifacts into a folder, under the names that the operators' pages promise, and says what was measured.
///
/// # Errors
/// If the image cannot be measured, or the folder not written.
pub fn write(parts: &Parts, folder: &Path) -> Result<Measurements, ArtifactsError> {
    let boot = Boot {
        firmware: &parts.firmware,
        kernel: &parts.kernel,
        initramfs: &parts.initramfs,
        command_line: COMMAND_LINE,
    };
    let measured = measure::predict(boot, PageOrder::SinglePass)?;
    let sections = measure::tdvf::sections(&parts.firmware).map_err(MeasureError::from)?;
    let old = Digest(measure::mrtd::mrtd(&parts.firmware, &sections, PageOrder::TwoPasses));
    let kernel = measure::pe::authenticode(&parts.kernel).map_err(MeasureError::from)?;
    let launcher = launcher::launcher(parts)?;
    let json = Json {
        format: FORMAT,
        instance: parts.instance.as_deref(),
        mrtd: measured.mrtd.to_string(),
        rtmr1: measured.rtmr1.to_string(),
        rtmr2: measured.rtmr2.to_string(),
        page_order: PageOrder::SinglePass.name(),
        mrtd_two_passes: old.to_string(),
        command_line: COMMAND_LINE,
        kernel_authenticode_sha384: hex::encode(kernel),
        sha256: Files {
            firmware: sha256(&parts.firmware),
            kernel: sha256(&parts.kernel),
            initramfs: sha256(&parts.initramfs),
            launcher: sha256(&launcher),
        },
        assumptions: ASSUMPTIONS,
    };
    let mut json = serde_json::to_string_pretty(&json).expect("invariant: strings and numbers only");
    json.push('\n');
    let line = |digest: Digest| format!("{digest}\n").into_bytes();
    let files: [(&str, &[u8]); 8] = [
        ("zipnet-client-ovmf.fd", &parts.firmware),
        ("zipnet-client-vmlinuz", &parts.kernel),
        ("zipnet-client-initramfs.cpio.gz", &parts.initramfs),
        ("zipnet-client-mrtd.hex", &line(measured.mrtd)),
        ("zipnet-client-rtmr1.hex", &line(measured.rtmr1)),
        ("zipnet-client-rtmr2.hex", &line(measured.rtmr2)),
        ("measurements.json", json.as_bytes()),
        ("zipnet-client-run-qemu.sh", &launcher),
    ];
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ArtifactsError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(io(folder))?;
    for (name, contents) in files {
        let path = folder.join(name);
        fs::write(&path, contents).map_err(io(&path))?;
        if Path::new(name).extension().is_some_and(|extension| extension == "sh") {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&path, mode).map_err(io(&path))?;
        }
    }
    Ok(measured)
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
