//! The archive that Linux unpacks as its first file system (`newc`, kernel documentation: `driver-api/early-userspace/buffer-format`).

use std::collections::BTreeMap;

use super::TIME;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
/// Longest path, in bytes; Linux takes 4,095.
const MAX_PATH: usize = 255;
/// What tar and cpio pad archives to; Linux does not care.
const BLOCK: usize = 512;

/// Why something cannot go into the archive.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewcError {
    /// It would be unpacked elsewhere, or not at all.
    #[error(
        "{0:?} is no path within the image (relative, without `.` and `..`, printable ASCII, at most 255 bytes)"
    )]
    BadPath(String),
    /// Two things in one place.
    #[error("{0:?} is in the image twice, or is both a file and a folder")]
    Twice(String),
    /// The format has 32 bits for it.
    #[error("{0:?} has 4 GiB or more")]
    TooBig(String),
}

/// A tree of files that belong to root. Its bytes depend on paths, contents and on what is a program, and on nothing else.
#[derive(Default)]
pub(super) struct Archive {
    /// Mode and contents by path: sorted, so that folders come before what is in them.
    entries: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Archive {
    /// Adds an empty folder.
    pub(super) fn folder(&mut self, path: &str) -> Result<(), NewcError> {
        self.parents(path)?;
        self.folder_itself(path)
    }

    /// Adds a file that can be run.
    pub(super) fn program(&mut self, path: &str, contents: Vec<u8>) -> Result<(), NewcError> {
        self.add(path, PROGRAM, contents)
    }

    /// Adds any other file.
    pub(super) fn file(&mut self, path: &str, contents: Vec<u8>) -> Result<(), NewcError> {
        self.add(path, FILE, contents)
    }

    fn add(&mut self, path: &str, mode: u32, contents: Vec<u8>) -> Result<(), NewcError> {
        self.parents(path)?;
        if u32::try_from(contents.len()).is_err() {
            return Err(NewcError::TooBig(path.to_owned()));
        }
        match self.entries.insert(path.to_owned(), (mode, contents)) {
            None => Ok(()),
            Some(_) => Err(NewcError::Twice(path.to_owned())),
        }
    }

    fn parents(&mut self, path: &str) -> Result<(), NewcError> {
        let part_is_good = |part: &str| !matches!(part, "" | "." | "..");
        let good = path.len() <= MAX_PATH && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !good || !path.split('/').all(part_is_good) {
            return Err(NewcError::BadPath(path.to_owned()));
        }
        for (end, _) in path.match_indices('/') {
            self.folder_itself(&path[..end])?;
        }
        Ok(())
    }

    fn folder_itself(&mut self, path: &str) -> Result<(), NewcError> {
        let (mode, _) = self.entries.entry(path.to_owned()).or_insert((DIRECTORY, Vec::new()));
        if *mode == DIRECTORY { Ok(()) } else { Err(NewcError::Twice(path.to_owned())) }
    }

    /// The archive.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (path, (mode, contents))) in (1..).zip(&self.entries) {
            record(&mut out, number, *mode, path, contents);
        }
        record(&mut out, 0, 0, "TRAILER!!!", &[]);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        out
    }
}

fn record(out: &mut Vec<u8>, number: u32, mode: u32, path: &str, contents: &[u8]) {
    let links = if mode == DIRECTORY { 2 } else { 1 };
    let time = if mode == 0 { 0 } else { TIME };
    let (size, name) = (contents.len() as u32, path.len() as u32 + 1);
    out.extend_from_slice(b"070701");
    // Number, mode, user, group, links, time, size, four device numbers, length of the name, checksum (of another format).
    for field in [number, mode, 0, 0, links, time, size, 0, 0, 0, 0, name, 0] {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(contents);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_adding_does_not_show() {
        let mut one = Archive::default();
        one.program("init", b"x".to_vec()).unwrap();
        one.file("etc/zipnet/guest.conf", b"y".to_vec()).unwrap();
        one.folder("proc").unwrap();
        let mut two = Archive::default();
        two.folder("proc").unwrap();
        two.file("etc/zipnet/guest.conf", b"y".to_vec()).unwrap();
        two.program("init", b"x".to_vec()).unwrap();
        assert_eq!(one.bytes(), two.bytes());
        assert_eq!(one.bytes().len() % BLOCK, 0);
        let folder = format!("{:08x}{DIRECTORY:08x}{:016x}{:08x}{TIME:08x}", 1, 0, 2);
        assert!(one.bytes().starts_with(format!("070701{folder}").as_bytes()));
    }

    #[test]
    fn paths_that_would_leave_the_image_are_refused() {
        let long = "a".repeat(MAX_PATH + 1);
        for path in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a b", "a\n", "ä", &long] {
            let added = Archive::default().file(path, Vec::new());
            assert_eq!(added, Err(NewcError::BadPath(path.to_owned())), "{path}");
        }
        assert_eq!(Archive::default().file(&long[1..], Vec::new()), Ok(()));
    }

    #[test]
    fn nothing_is_in_one_place_twice() {
        let mut archive = Archive::default();
        archive.file("a", Vec::new()).unwrap();
        assert_eq!(archive.file("a", Vec::new()), Err(NewcError::Twice("a".to_owned())));
        assert_eq!(archive.file("a/b", Vec::new()), Err(NewcError::Twice("a".to_owned())));
        archive.folder("c").unwrap();
        archive.folder("c").unwrap();
        assert_eq!(archive.file("c", Vec::new()), Err(NewcError::Twice("c".to_owned())));
    }
}
