//! Two halves, of which one is the truth: each begins with a snapshot of everything, of a fixed number of frames, and goes on with
//! the log of what changed since. When a half is full, the other one is written anew.
//!
//! Frame 0 of a half is written last, when its snapshot is on the medium: a half without it was never finished.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::entry::{Reader, Trees};
use super::frame::{Cipher, FRAME_BYTES, Found, Name, ROOM};
use super::medium::Medium;
use crate::StoreError;

/// Where the first half begins, in bytes. What is before is not the store's: it has room for a sealed identity.
pub const SEALED_FROM: u64 = FRAME_BYTES as u64;
/// Smallest file or device, in bytes.
pub const MIN_SEALED_BYTES: u64 = 1024 * 1024;
/// What is used of a file or device, at most, in bytes: everything in it is in memory, too.
pub const MAX_SEALED_BYTES: u64 = 1024 * 1024 * 1024;

/// How a medium of some size is divided, in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Of a half.
    pub(crate) half: u64,
    /// Of the snapshot at its beginning.
    pub(crate) snapshot: u64,
}

impl Layout {
    /// For a medium of so many bytes; none for one that is too small.
    pub(crate) fn of(len: u64) -> Option<Self> {
        if len < MIN_SEALED_BYTES {
            return None;
        }
        let half = (len.min(MAX_SEALED_BYTES) - SEALED_FROM) / 2 / FRAME_BYTES as u64;
        Some(Self { half, snapshot: half / 2 })
    }

    /// Bytes that a snapshot holds, as [`super::entry::cost`] counts them.
    pub(crate) fn capacity(&self) -> usize {
        self.snapshot as usize * ROOM
    }

    /// Where a frame stands.
    pub(crate) fn at(&self, half: u64, index: u64) -> u64 {
        SEALED_FROM + (half * self.half + index) * FRAME_BYTES as u64
    }
}

/// Why a medium does not hold a store that can be opened.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It cannot be read.
    Io(io::Error),
    /// Written by a newer version.
    Newer(u8),
    /// Nothing on it opens.
    Key,
    /// What was written is not there any more.
    Damaged(String),
}

/// One half, as it was found.
#[derive(Default)]
struct Half {
    /// Of the frames from the first one on.
    epoch: u64,
    trees: Trees,
    /// Its snapshot is there.
    complete: bool,
    /// The highest epoch that this half shows to have been begun in earnest: by a frame 0, or one behind the snapshot.
    shown: u64,
    /// There is something where it begins.
    used: bool,
    /// It holds a frame of the very first snapshot.
    first: bool,
    newer: Option<u8>,
    /// A frame that does not open, with a later one that does.
    hole: Option<(u64, u64)>,
}

/// The store as it was left.
pub(crate) struct Loaded {
    pub(crate) trees: Trees,
    /// Where it is.
    pub(crate) half: u64,
    pub(crate) epoch: u64,
}

/// Reads all of it; none on a blank medium.
pub(crate) fn load(medium: &dyn Medium, layout: Layout, cipher: &Cipher) -> Result<Option<Loaded>, Unusable> {
    let read = |half| read(medium, layout, cipher, half).map_err(Unusable::Io);
    let halves = [read(0)?, read(1)?];
    if let Some(version) = halves.iter().find_map(|half| half.newer) {
        return Err(Unusable::Newer(version));
    }
    let shown = halves.iter().map(|half| half.shown).max().unwrap_or(0);
    // The power may have failed while the very first frame 0 was written: nothing was acknowledged then.
    let used = halves.iter().any(|half| half.used) && !halves.iter().any(|half| half.first);
    let best = (0..).zip(halves).filter(|(_, half)| half.complete).max_by_key(|(_, half)| half.epoch);
    let Some((number, half)) = best else {
        return match (shown, used) {
            (0, false) => Ok(None),
            (0, true) => Err(Unusable::Key),
            _ => Err(Unusable::Damaged(format!("no half of it is whole, and there was an epoch {shown}"))),
        };
    };
    if shown > half.epoch {
        let what = format!("it was in epoch {shown}, and what is whole is of epoch {}", half.epoch);
        return Err(Unusable::Damaged(what));
    }
    if let Some((hole, behind)) = half.hole {
        let what = format!("frame {hole} does not open, and frame {behind} behind it does");
        return Err(Unusable::Damaged(what));
    }
    Ok(Some(Loaded { trees: half.trees, half: number, epoch: half.epoch }))
}

fn read(medium: &dyn Medium, layout: Layout, cipher: &Cipher, number: u64) -> Result<Half, io::Error> {
    let mut half = Half::default();
    let mut reader = Reader::default();
    let mut salt = None;
    let mut frame = Zeroizing::new(vec![0; FRAME_BYTES]);
    let mut whole = 0;
    for index in 0..layout.half {
        medium.read(&mut frame, layout.at(number, index))?;
        let found = cipher.open(&frame);
        if index == 0 {
            half.used = !matches!(found, Found::Blank);
            if let Found::Newer(version) = found {
                half.newer = Some(version);
            }
        }
        // What stands elsewhere than it was written to is nothing.
        let Found::Good(name, bytes) = found else { continue };
        if name.index != index {
            continue;
        }
        if index == 0 {
            salt = Some(name.salt);
            half.epoch = name.epoch;
        }
        half.first |= name.epoch == 1;
        if index == 0 || index >= layout.snapshot {
            half.shown = half.shown.max(name.epoch);
        }
        if salt != Some(name.salt) {
            continue;
        }
        if whole == index {
            whole += 1;
            if reader.take(&bytes, &mut half.trees).is_none() {
                // It opened, so it is ours: a bug.
                half.hole.get_or_insert((index, index));
            }
        } else {
            half.hole.get_or_insert((whole, index));
        }
    }
    half.complete = whole >= layout.snapshot;
    Ok(half)
}

/// Writes a half anew, from its second frame to its snapshot's last and then its first. Its log begins behind.
pub(crate) fn begin(
    medium: &dyn Medium,
    layout: Layout,
    cipher: &Cipher,
    half: u64,
    first: Name,
    snapshot: &[u8],
) -> io::Result<()> {
    let part = |index: u64| {
        let from = (index as usize * ROOM).min(snapshot.len());
        &snapshot[from..snapshot.len().min(from + ROOM)]
    };
    let write = |index| {
        let frame = cipher.seal(Name { index, ..first }, part(index));
        medium.write(&frame, layout.at(half, index))
    };
    for index in 1..layout.snapshot {
        write(index)?;
    }
    medium.sync()?;
    write(0)?;
    medium.sync()
}

impl Unusable {
    pub(crate) fn of(self, path: &Path) -> StoreError {
        let action = StoreError::io("read", path);
        let path = path.to_owned();
        match self {
            Self::Io(error) => action(error),
            Self::Newer(found) => {
                StoreError::TooNew { dir: path, found: found.into(), known: super::SEALED_FORMAT.into() }
            }
            Self::Key => StoreError::Sealed {
                path,
                problem: "does not open: it was changed, or sealed with another key".to_owned(),
            },
            Self::Damaged(problem) => StoreError::Sealed { path, problem: format!("is damaged: {problem}") },
        }
    }
}
