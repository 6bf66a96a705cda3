//! The kernel's modules that the guest loads, in the order in which it loads them.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What the guest needs, each after what it depends on: network, disks, and what makes quotes.
pub(super) const MODULES: [&str; 7] = [
    "kernel/net/core/failover.ko.xz",
    "kernel/drivers/net/net_failover.ko.xz",
    "kernel/drivers/net/virtio_net.ko.xz",
    "kernel/drivers/block/virtio_blk.ko.xz",
    "kernel/fs/configfs/configfs.ko.xz",
    "kernel/drivers/virt/coco/tsm.ko.xz",
    "kernel/drivers/virt/coco/tdx-guest/tdx-guest.ko.xz",
];

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The program that unpacks it.
    #[error("xz did not unpack a kernel module ({0}): install xz-utils")]
    Xz(String),
    /// It says nothing about what it depends on.
    #[error("the module {0} has no list of dependencies: is it a kernel module?")]
    NoModule(&'static str),
    /// The order of [`MODULES`] is wrong for this kernel.
    #[error(
        "the module {module} of this kernel needs {needs}, which is not loaded before it: the list in tdx/src/image/modules.rs has to follow"
    )]
    Dependency {
        /// Which.
        module: &'static str,
        /// What it lacks.
        needs: String,
    },
}

/// Unpacks an `.xz`, bounded by what the kernel's package can hold.
pub(super) fn unpack(packed: Vec<u8>) -> Result<Vec<u8>, ModuleError> {
    let failed = |error: std::io::Error| ModuleError::Xz(error.to_string());
    let mut child = Command::new("xz")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take().expect("invariant: piped above");
    // In another thread, or both sides wait for the other one to read.
    let writer = std::thread::spawn(move || stdin.write_all(&packed));
    let output = child.wait_with_output().map_err(failed)?;
    let written = writer.join().expect("invariant: the thread only writes");
    if !output.status.success() || written.is_err() {
        return Err(ModuleError::Xz(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(output.stdout)
}

/// Checks that each module comes after what it depends on; they are given by their paths.
pub(super) fn check_order(modules: &[(&'static str, Vec<u8>)]) -> Result<(), ModuleError> {
    let mut loaded: Vec<String> = Vec::new();
    for (path, contents) in modules {
        for needs in depends(contents).ok_or(ModuleError::NoModule(path))? {
            if !loaded.contains(&needs) {
                return Err(ModuleError::Dependency { module: path, needs });
            }
        }
        loaded.push(name(path).replace('-', "_"));
    }
    Ok(())
}

/// `tdx-guest` of `kernel/…/tdx-guest.ko.xz`.
pub(super) fn name(path: &str) -> &str {
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    file.split_once('.').map_or(file, |(name, _)| name)
}

/// The names behind `depends=` in a module's `.modinfo`, whose entries end with NUL.
fn depends(module: &[u8]) -> Option<Vec<String>> {
    const KEY: &[u8] = b"\0depends=";
    let at = module.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let list = module[at..].split(|byte| *byte == 0).next()?;
    let list = std::str::from_utf8(list).ok()?;
    Some(list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_after_what_it_needs() {
        let a = ("kernel/a-b.ko.xz", b"ELF\0license=GPL\0depends=\0name=a".to_vec());
        let c = ("kernel/c.ko.xz", b"ELF\0depends=a_b\0".to_vec());
        check_order(&[a.clone(), c.clone()]).unwrap();
        let wrong = check_order(&[c, a]).unwrap_err();
        assert!(matches!(wrong, ModuleError::Dependency { needs, .. } if needs == "a_b"));
        assert!(matches!(check_order(&[("x.ko", b"text".to_vec())]), Err(ModuleError::NoModule("x.ko"))));
    }
}
