//! What the image is made of that is not compiled here: packages of Debian, pinned by hash and kept in a folder.
//!
//! A suite's mirror has the newest version of a package only. So what was fetched once is kept by its hash, and whoever needs a
//! superseded version puts the file into the folder by hand; the hash says whether it is the right one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use sha2::{Digest as _, Sha256};

use super::sources;

/// A package of Debian.
#[derive(Debug)]
pub struct Package {
    /// The suite that has it.
    pub suite: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its architecture, as in the name of the file.
    pub architecture: &'static str,
    /// SHA-256 of the file, in hex.
    pub sha256: &'static str,
}

/// The firmware: OVMF with TDX metadata, secure boot off.
pub const FIRMWARE: Package = Package {
    suite: "trixie",
    name: "ovmf",
    version: "2025.02-8+deb13u1",
    architecture: "all",
    sha256: "78e0d54df11fc77406cb7a0bc9a39e5bca6d1cbe06556b91d9a73491c52decdf",
};
/// Where the firmware is in its package.
pub const FIRMWARE_PATH: &str = "usr/share/ovmf/OVMF.fd";

/// The kernel and its modules.
pub const KERNEL: Package = Package {
    suite: "trixie",
    name: "linux-image-6.12.117+deb13-cloud-amd64",
    version: "6.12.117-1",
    architecture: "amd64",
    sha256: "e9893e5295d0549b8852611f12a4b8b5f6cc4b8128dcc2086b9847793b904ab7",
};
/// Where the kernel is in its package.
pub const KERNEL_PATH: &str = "boot/vmlinuz-6.12.117+deb13-cloud-amd64";
/// Where the modules are in its package.
pub const MODULES_PATH: &str = "usr/lib/modules/6.12.117+deb13-cloud-amd64";

impl Package {
    /// The name of the file, as `apt-get download` has it.
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version.replace(':', "%3a"), self.architecture)
    }
}

/// Why an input cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or folder of ours.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// In the folder, and not what it should be.
    #[error("{} has the SHA-256 {found}, not {wanted}: remove it, or put the right one there", path.display())]
    WrongHash {
        /// Which.
        path: PathBuf,
        /// Of the pin.
        wanted: &'static str,
        /// Of the file.
        found: String,
    },
    /// Not in the folder, and not to be fetched.
    #[error(
        "the package {file} (SHA-256 {sha256}) is missing, and fetching it from Debian's suite {suite} failed: {why}. \
         Put the file into {} (a mirror that keeps superseded versions has it), or pin a newer one in tdx/src/image/inputs.rs, \
         which changes the measurements",
        folder.display()
    )]
    Missing {
        /// Name of the file.
        file: String,
        /// Of the pin.
        sha256: &'static str,
        /// Where it was looked for.
        suite: &'static str,
        /// The last words of the program that failed.
        why: String,
        /// Where to put it.
        folder: PathBuf,
    },
    /// It is the right package, and it cannot be unpacked, or lacks the file.
    #[error("{path} of the package {package}: {why}")]
    Unpack {
        /// The package.
        package: &'static str,
        /// The file in it.
        path: String,
        /// What failed.
        why: String,
    },
}

/// The folder with the packages.
#[derive(Clone, Debug)]
pub struct Inputs {
    folder: PathBuf,
    /// The machine's `/etc`, from which the package source is derived.
    etc: PathBuf,
}

impl Inputs {
    /// Packages are kept in `folder`; `etc` is `/etc`, where the machine says which mirror it uses.
    pub fn new(folder: &Path, etc: &Path) -> Self {
        Self { folder: folder.to_owned(), etc: etc.to_owned() }
    }

    /// Files of a package by their paths in it, from the folder, or fetched into it first.
    ///
    /// # Errors
    /// If the package cannot be had, is not the one that is pinned, or lacks a file.
    pub fn files(&self, package: &Package, paths: &[&str]) -> Result<Vec<Vec<u8>>, InputError> {
        let deb = self.package(package)?;
        let unpack = |path: &str, why: String| InputError::Unpack {
            package: package.name,
            path: path.to_owned(),
            why,
        };
        let to = tempfile::tempdir_in(&self.folder).map_err(|source| io_error(&self.folder, source))?;
        take_out(&deb, to.path(), paths).map_err(|why| unpack("all that is needed", why))?;
        let read =
            |path: &&str| fs::read(to.path().join(path)).map_err(|error| unpack(path, error.to_string()));
        paths.iter().map(read).collect()
    }

    /// Where the package is, after its hash was looked at.
    fn package(&self, package: &Package) -> Result<PathBuf, InputError> {
        let path = self.folder.join(package.file_name());
        fs::create_dir_all(&self.folder).map_err(|source| io_error(&self.folder, source))?;
        // One process fetches, others wait for it: tests run side by side.
        let lock = self.folder.join("lock");
        let lock = fs::File::create(&lock).map_err(|source| io_error(&lock, source))?;
        lock.lock().map_err(|source| io_error(&self.folder, source))?;
        if !path.exists() {
            self.fetch(package, &path)?;
        }
        let found = hex::encode(Sha256::digest(fs::read(&path).map_err(|source| io_error(&path, source))?));
        if found == package.sha256 {
            return Ok(path);
        }
        Err(InputError::WrongHash { path, wanted: package.sha256, found })
    }

    /// Fetches with the machine's own apt and mirror, but with folders of its own, so that nothing of the machine changes.
    fn fetch(&self, package: &Package, to: &Path) -> Result<(), InputError> {
        let missing = |why| InputError::Missing {
            file: package.file_name(),
            sha256: package.sha256,
            suite: package.suite,
            why,
            folder: self.folder.clone(),
        };
        let temporary =
            tempfile::tempdir_in(&self.folder).map_err(|source| io_error(&self.folder, source))?;
        let root = temporary.path();
        let sources = sources::of(&self.etc, package.suite).map_err(missing)?;
        for folder in ["etc/sources.list.d", "etc/preferences.d", "lists/partial", "cache", "out"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(|source| io_error(&folder, source))?;
        }
        let config = root.join("apt.conf");
        let at = |folder: &str| root.join(folder).display().to_string();
        let settings = format!(
            "Dir::Etc \"{}\";\nDir::Etc::TrustedParts \"{}\";\nDir::Etc::Parts \"{}\";\nDir::State::lists \"{}\";\nDir::Cache \"{}\";\nDir::State::status \"/dev/null\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAcquire::Languages \"none\";\n\
             APT::Sandbox::User \"root\";\n",
            at("etc"),
            // Keys, and how the machine reaches its mirror.
            self.etc.join("apt/trusted.gpg.d").display(),
            self.etc.join("apt/apt.conf.d").display(),
            at("lists"),
            at("cache")
        );
        for (path, text) in
            [(config.clone(), settings), (root.join("etc/sources.list.d/pinned.sources"), sources)]
        {
            fs::write(&path, text).map_err(|source| io_error(&path, source))?;
        }
        let apt = |arguments: &[&str]| {
            run(Command::new("apt-get")
                .args(arguments)
                .env("APT_CONFIG", &config)
                .current_dir(root.join("out")))
        };
        apt(&["-qq", "update"]).map_err(missing)?;
        apt(&["-qq", "download", &format!("{}={}", package.name, package.version)]).map_err(missing)?;
        let downloaded = root.join("out").join(package.file_name());
        fs::rename(&downloaded, to).map_err(|source| io_error(&downloaded, source))
    }
}

fn io_error(path: &Path, source: io::Error) -> InputError {
    InputError::Io { path: path.to_owned(), source }
}

/// Unpacks some of a package's files: a kernel's package has thousands.
fn take_out(deb: &Path, to: &Path, paths: &[&str]) -> Result<(), String> {
    let mut unpacking = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("dpkg-deb cannot be run ({error})"))?;
    let archive = unpacking.stdout.take().expect("invariant: piped above");
    let paths = paths.iter().map(|path| format!("./{path}"));
    let taken = run(Command::new("tar").arg("-xC").arg(to).args(paths).stdin(archive));
    let unpacked = unpacking.wait().map_err(|error| format!("dpkg-deb: {error}"))?;
    taken?;
    if unpacked.success() { Ok(()) } else { Err("dpkg-deb cannot read it".to_owned()) }
}

/// Runs a program; what it says goes into the error, its last line first of all.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name} cannot be run ({error})"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no word about it");
    Err(format!("{name}: {}", last.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etc(os: &str, sources: &str) -> tempfile::TempDir {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir_all(etc.path().join("apt/sources.list.d")).unwrap();
        fs::write(etc.path().join("os-release"), os).unwrap();
        fs::write(etc.path().join("apt/sources.list.d/debian.sources"), sources).unwrap();
        etc
    }

    const NOTHING: Package =
        Package { suite: "trixie", name: "nothing", version: "1", architecture: "all", sha256: "00" };

    #[test]
    fn what_is_missing_is_named_with_the_place_where_it_goes() {
        for (os, why) in
            [("ID=fedora\n", "no Debian"), ("ID=debian\nVERSION_CODENAME=sid\n", "no package source")]
        {
            let etc = etc(os, "");
            let folder = tempfile::tempdir().unwrap();
            let missing =
                Inputs::new(folder.path(), etc.path()).files(&NOTHING, &[]).unwrap_err().to_string();
            for part in ["nothing_1_all.deb", "SHA-256 00", why, &folder.path().display().to_string()] {
                assert!(missing.contains(part), "{part}: {missing}");
            }
        }
    }

    #[test]
    fn a_file_with_another_hash_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NOTHING.file_name()), b"x").unwrap();
        let wrong = Inputs::new(folder.path(), Path::new("/nowhere")).files(&NOTHING, &[]).unwrap_err();
        assert!(matches!(wrong, InputError::WrongHash { wanted: "00", .. }), "{wrong}");
    }
}
