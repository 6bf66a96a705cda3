//! The two questions the writer has for the disk, as a trait so that tests can answer them.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use nix::sys::statvfs::statvfs;

pub(crate) trait Disk: Send {
    /// Bytes available to us on the file system of the store.
    fn free(&self) -> io::Result<u64>;
    /// Returns when everything written to sled's file is on the medium.
    fn sync(&self) -> io::Result<()>;
}

/// The real disk.
pub(crate) struct RealDisk {
    pub(crate) dir: PathBuf,
    /// Our own handle of sled's `db`: fdatasync acts on the file, whoever wrote to it.
    pub(crate) db: File,
}

impl Disk for RealDisk {
    // The types differ between platforms: the casts are needed on some and no-ops here.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    fn free(&self) -> io::Result<u64> {
        let stat = statvfs(&self.dir)?;
        Ok(stat.blocks_available() as u64 * stat.fragment_size() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        self.db.sync_data()
    }
}
