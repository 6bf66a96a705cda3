//! Quotes from the kernel: configfs-tsm, since Linux 6.7 (`Documentation/ABI/testing/configfs-tsm`). A directory made
//! below the base path is a request; its attributes appear with it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::source::bounded;
use super::{MAX_QUOTE_BYTES, QuoteSource, ReportData, SourceError};

/// Where the kernel has it.
pub const PATH: &str = "/sys/kernel/config/tsm/report";
const PROVIDER: &str = "tdx_guest";
/// Longest attribute besides the quote; all are a number or a name.
const MAX_ATTRIBUTE_BYTES: u64 = 256;

/// The four operations on configfs. The kernel's directory makes and removes attributes by itself; a test brings its own.
pub trait Attributes: Send + Sync {
    /// Makes a directory.
    ///
    /// # Errors
    /// What the kernel says.
    fn make(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Removes a directory with its attributes.
    ///
    /// # Errors
    /// What the kernel says.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    /// Writes an attribute, in one call.
    ///
    /// # Errors
    /// What the kernel says.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // Not `fs::write`: an attribute can be neither created nor truncated.
        use io::Write;
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        let written = file.write(bytes)?;
        if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Reads an attribute, at most `limit` bytes of it.
    ///
    /// # Errors
    /// What the kernel says.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        fs::File::open(path)?.take(limit).read_to_end(&mut out)?;
        Ok(out)
    }
}

/// The kernel's own.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFs;

impl Attributes for ConfigFs {}

/// Quotes by configfs-tsm. One request at a time.
#[derive(Debug)]
pub struct Tsm<A = ConfigFs> {
    base: PathBuf,
    /// Below it; told apart by process, so that two do not disturb each other.
    entry: PathBuf,
    attributes: A,
    under_way: Mutex<()>,
}

impl Tsm {
    /// Quotes from `base`, usually [`PATH`].
    pub fn new(base: &Path) -> Self {
        Self::with(base, ConfigFs)
    }
}

impl<A: Attributes> Tsm<A> {
    /// The same with other operations.
    pub fn with(base: &Path, attributes: A) -> Self {
        let entry = base.join(format!("zipnet-{}", std::process::id()));
        Self { base: base.to_owned(), entry, attributes, under_way: Mutex::new(()) }
    }

    fn ask(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        let provider = self.text("provider")?;
        if provider != PROVIDER {
            return Err(SourceError::WrongProvider(provider.escape_default().take(64).collect()));
        }
        let before = self.generation()?;
        let path = self.entry.join("inblob");
        self.attributes.write(&path, &data.bytes()).map_err(|e| self.failed("write", &path, e))?;
        let path = self.entry.join("outblob");
        let limit = MAX_QUOTE_BYTES as u64 + 1;
        let quote = self.attributes.read(&path, limit);
        // The quote is over our data only if ours was the one write; the kernel may have noticed another one itself.
        let (expected, found) = (before.wrapping_add(1), self.generation()?);
        let noticed = quote.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
        if noticed || found != expected {
            return Err(SourceError::Generation { expected, found });
        }
        bounded(quote.map_err(|e| self.failed("read", &path, e))?)
    }

    fn text(&self, name: &str) -> Result<String, SourceError> {
        let path = self.entry.join(name);
        let bytes =
            self.attributes.read(&path, MAX_ATTRIBUTE_BYTES).map_err(|e| self.failed("read", &path, e))?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn generation(&self) -> Result<u64, SourceError> {
        let text = self.text("generation")?;
        text.parse().map_err(|_| SourceError::Io {
            step: "understand",
            path: self.entry.join("generation"),
            source: io::Error::new(io::ErrorKind::InvalidData, format!("`{}`", text.escape_default())),
        })
    }

    fn failed(&self, step: &'static str, path: &Path, source: io::Error) -> SourceError {
        match source.kind() {
            io::ErrorKind::ResourceBusy => SourceError::Busy,
            io::ErrorKind::PermissionDenied => SourceError::Permission(self.base.clone()),
            _ => SourceError::Io { step, path: path.to_owned(), source },
        }
    }
}

impl<A: Attributes> QuoteSource for Tsm<A> {
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        let Ok(_one) = self.under_way.try_lock() else { return Err(SourceError::Busy) };
        let mut made = self.attributes.make(&self.entry);
        if made.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
            // Left by a process that was killed and had our number: nobody else uses this name.
            made = self.attributes.remove(&self.entry).and_then(|()| self.attributes.make(&self.entry));
        }
        made.map_err(|e| match e.kind() {
            // Without a provider the kernel says ENXIO.
            io::ErrorKind::NotFound => SourceError::NotAGuest(self.base.clone()),
            _ if e.raw_os_error() == Some(ENXIO) => SourceError::NotAGuest(self.base.clone()),
            _ => self.failed("make", &self.entry, e),
        })?;
        let quote = self.ask(data);
        // A request that is left behind is in the way of the next one: its failure is ours, unless there was one already.
        let removed = self.attributes.remove(&self.entry).map_err(|e| self.failed("remove", &self.entry, e));
        quote.and_then(|quote| removed.map(|()| quote))
    }
}

/// "No such device or address", the same number on every Linux.
const ENXIO: i32 = 6;
