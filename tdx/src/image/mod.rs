//! The guest's image: a kernel, an initramfs and a firmware, the same bytes wherever and whenever they are built.
//!
//! What goes in is pinned by hash ([`inputs`]); what is compiled here is compiled so that no path, time or user shows ([`compile`]);
//! what is written (`newc`, gzip, the launcher) has no field that is not fixed.

pub mod artifacts;
pub mod compile;
pub mod content;
pub mod inputs;
mod launcher;
mod modules;
mod newc;
mod sources;

pub use launcher::LauncherError;
pub use modules::ModuleError;
pub use newc::NewcError;

/// The modules that the guest loads, each with its path in the kernel's package.
pub fn module_paths() -> Vec<(&'static str, String)> {
    modules::MODULES.iter().map(|module| (*module, format!("{}/{module}", inputs::MODULES_PATH))).collect()
}

/// The time that everything in the image carries, seconds since 1970; also `SOURCE_DATE_EPOCH` while compiling. Fixed, and not taken from the
/// environment, because it is measured.
pub const TIME: u32 = 1;

/// What the guest boots with. It is measured: a host that changes a word runs another guest.
///
/// The console is the only thing that the guest shows; `panic` and `oops` end it, and QEMU's `-no-reboot` ends with it.
pub const COMMAND_LINE: &str = "console=ttyS0 loglevel=4 panic=-1 oops=panic";
