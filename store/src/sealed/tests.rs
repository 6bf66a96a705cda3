//! The sealed store on a medium that is watched, torn, and without power.

use std::io;
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;

use super::*;

const KEY: [u8; 32] = [7; 32];
const QUICK: Duration = Duration::from_millis(1);
/// The smallest one: 31 frames a half, 15 of them snapshot.
const LEN: u64 = MIN_SEALED_BYTES;

/// What a medium was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Write(u64, Vec<u8>),
    Sync,
}

#[derive(Default)]
struct Tape {
    bytes: Vec<u8>,
    told: Vec<Told>,
    /// Writes from this one on fail.
    fails: Option<usize>,
}

/// Keeps what it was told, and what it holds.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Tape>>);

impl Fake {
    fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Tape { bytes, ..Tape::default() })))
    }
    fn blank() -> Self {
        Self::of(vec![0; LEN as usize])
    }
    fn tape<T>(&self, look: impl FnOnce(&mut Tape) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn bytes(&self) -> Vec<u8> {
        self.tape(|tape| tape.bytes.clone())
    }
    fn open_with(&self, key: [u8; 32]) -> Result<SealedStore, StoreError> {
        self.open_at(key, QUICK)
    }
    fn open_at(&self, key: [u8; 32], beat: Duration) -> Result<SealedStore, StoreError> {
        let mut last = 0_u128;
        // Counted, and another one for each opening: the length of the tape.
        let begun = self.tape(|tape| tape.told.len()) as u128;
        let salts = move || {
            last += 1;
            ((begun << 64) + last).to_le_bytes()
        };
        SealedStore::on(
            Box::new(self.clone()),
            LEN,
            Path::new("medium"),
            &Zeroizing::new(key),
            beat,
            Box::new(salts),
        )
    }
    fn open(&self) -> SealedStore {
        self.open_with(KEY).unwrap()
    }
}

impl Medium for Fake {
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.tape(|tape| bytes.copy_from_slice(&tape.bytes[at as usize..][..bytes.len()]));
        Ok(())
    }
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.tape(|tape| {
            if tape.fails.is_some_and(|from| tape.told.len() >= from) {
                return Err(io::Error::other("injected"));
            }
            tape.bytes[at as usize..][..bytes.len()].copy_from_slice(bytes);
            tape.told.push(Told::Write(at, bytes.to_vec()));
            Ok(())
        })
    }
    fn sync(&self) -> io::Result<()> {
        self.tape(|tape| tape.told.push(Told::Sync));
        Ok(())
    }
}

fn put(store: &SealedStore, number: u32, len: usize) {
    let mut batch = Batch::new();
    // The same number in two trees: a batch is there as a whole or not at all.
    batch.put("a", number.to_be_bytes(), vec![number as u8; len]).put("b", b"last", number.to_be_bytes());
    store.commit(batch).wait().unwrap();
}

/// The number of the last batch; all before have to be there too.
fn last(store: &SealedStore) -> u32 {
    let Some(last) = store.get("b", b"last").unwrap() else { return 0 };
    let last = u32::from_be_bytes(last.try_into().unwrap());
    let all = store.scan("a", &[], usize::MAX).unwrap();
    assert_eq!(all.len(), last as usize);
    last
}

#[test]
fn it_holds_what_it_held_over_many_halves() {
    let fake = Fake::blank();
    let mut store = fake.open();
    // Each is more than a frame: the log is full after seven or so.
    for number in 1..=12 {
        put(&store, number, 17_000);
        if number % 5 == 0 {
            drop(store);
            store = fake.open();
            assert_eq!(last(&store), number);
        }
    }
    assert_eq!(store.last("a").unwrap().unwrap().0, 12_u32.to_be_bytes());
    assert_eq!(store.scan("a", &5_u32.to_be_bytes(), 2).unwrap().len(), 2);
    assert_eq!((store.get("a", b"none").unwrap(), store.get("none", b"").unwrap()), (None, None));
    drop(store);
    assert!(fake.tape(|tape| tape.told.len()) > 90, "several halves were filled");
}

/// The power fails at every write, which is torn at every sector or not done at all: what was acknowledged is there, and each batch
/// as a whole or not at all.
#[test]
fn power_may_fail_at_any_write() {
    let fake = Fake::blank();
    let mut acknowledged = vec![(0, 0)];
    let store = fake.open();
    for number in 1..=6 {
        put(&store, number, 9_000);
        acknowledged.push((fake.tape(|tape| tape.told.len()), number));
    }
    // Into the next half.
    for _ in 0..14 {
        store.commit(Batch::new()).wait().unwrap();
    }
    put(&store, 7, 20_000);
    acknowledged.push((fake.tape(|tape| tape.told.len()), 7));
    drop(store);
    let told = fake.tape(|tape| tape.told.clone());

    let mut bytes = vec![0; LEN as usize];
    let mut synced = 0;
    for (number, told) in told.iter().enumerate() {
        let Told::Write(at, frame) = told else {
            synced = number + 1;
            continue;
        };
        let at = *at as usize;
        let least = acknowledged.iter().filter(|(when, _)| *when <= synced).map(|(_, n)| *n).max().unwrap();
        for sectors in [0, 1, 17, 31] {
            let mut torn = bytes.clone();
            torn[at..at + sectors * 512].copy_from_slice(&frame[..sectors * 512]);
            let found = last(&Fake::of(torn).open());
            assert!(
                found >= least,
                "write {number}, {sectors} sectors: {found}, and {least} was acknowledged"
            );
        }
        bytes[at..at + frame.len()].copy_from_slice(frame);
    }
    assert_eq!(last(&Fake::of(bytes).open()), 7);
}

#[test]
fn a_snapshot_may_reach_the_medium_in_any_order() {
    let fake = Fake::blank();
    let store = fake.open();
    put(&store, 1, 40_000);
    drop(store);
    let before = fake.bytes();
    drop(fake.open());
    let told = fake.tape(|tape| tape.told.clone());
    // The snapshot of the second opening: behind what the first one wrote.
    let begun = told
        .iter()
        .rposition(|t| matches!(t, Told::Write(at, _) if *at == Layout::of(LEN).unwrap().at(1, 0)));
    let writes: Vec<_> = told[begun.unwrap() - 15..begun.unwrap()]
        .iter()
        .filter_map(|told| match told {
            Told::Write(at, frame) => Some((*at as usize, frame)),
            Told::Sync => None,
        })
        .collect();
    assert_eq!(writes.len(), 14, "all but the first frame, which comes after a sync");
    for missing in 0..writes.len() {
        let mut bytes = before.clone();
        for (number, (at, frame)) in writes.iter().enumerate() {
            if number != missing {
                bytes[*at..at + frame.len()].copy_from_slice(frame);
            }
        }
        assert_eq!(last(&Fake::of(bytes).open()), 1, "without {missing}");
    }
}

/// Each frame in turn is damaged: all is there, or it is said that it is not.
#[test]
fn damage_is_found_wherever_it_is() {
    let fake = Fake::blank();
    let store = fake.open();
    for number in 1..=5 {
        put(&store, number, 12_000);
    }
    // The frame behind, without which the last one could as well never have been finished.
    store.commit(Batch::new()).wait().unwrap();
    drop(store);
    let (good, mut refused) = (fake.bytes(), 0);
    for at in (SEALED_FROM as usize..good.len()).step_by(FRAME_BYTES) {
        for byte in [0, 9, 25, 33, 5_000] {
            let mut bad = good.clone();
            let Some(its) = bad.get_mut(at + byte) else { continue };
            *its ^= 1;
            match Fake::of(bad).open_with(KEY) {
                Ok(store) => assert_eq!(last(&store), 5, "byte {byte} of the frame at {at}"),
                Err(StoreError::Sealed { .. } | StoreError::TooNew { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    // The frames of the half in use but the last: its snapshot, and one or two for each batch.
    assert!(refused >= 5 * (15 + 5), "{refused}");
}

#[test]
fn parts_of_different_times_do_not_open_as_one() {
    let fake = Fake::blank();
    let store = fake.open();
    put(&store, 1, 10);
    let early = fake.bytes();
    for number in 2..=5 {
        put(&store, number, 10);
    }
    store.commit(Batch::new()).wait().unwrap();
    drop(store);
    let late = fake.bytes();
    let layout = Layout::of(LEN).unwrap();
    // One old frame of the log, and an old snapshot under the newer log.
    let first = layout.at(0, layout.snapshot) as usize;
    let differs = (first..late.len())
        .step_by(FRAME_BYTES)
        .find(|at| early[*at..][..FRAME_BYTES] != late[*at..][..FRAME_BYTES]);
    let mut mixed = late.clone();
    let differs = differs.unwrap();
    mixed[differs..differs + FRAME_BYTES].copy_from_slice(&early[differs..differs + FRAME_BYTES]);
    assert!(matches!(Fake::of(mixed).open_with(KEY), Err(StoreError::Sealed { .. })));
    // Two frames of one half swapped.
    let mut swapped = late.clone();
    let (one, two) = swapped[first..].split_at_mut(FRAME_BYTES);
    one.swap_with_slice(&mut two[..FRAME_BYTES]);
    assert!(matches!(Fake::of(swapped).open_with(KEY), Err(StoreError::Sealed { .. })));
    // All of an earlier time: that is what was there.
    assert_eq!(last(&Fake::of(early).open()), 1);
}

#[test]
fn another_key_opens_nothing_and_changes_nothing() {
    let fake = Fake::blank();
    put(&fake.open(), 1, 10);
    let before = fake.bytes();
    let error = fake.open_with([8; 32]).err().unwrap().to_string();
    assert!(error.contains("does not open: it was changed, or sealed with another key"), "{error}");
    assert_eq!(fake.bytes(), before);
    let other = Fake::of(vec![1; LEN as usize]);
    assert!(matches!(other.open_with(KEY), Err(StoreError::Sealed { .. })));
    let mut newer = before.clone();
    newer[SEALED_FROM as usize + 7] = SEALED_FORMAT + 1;
    assert!(matches!(Fake::of(newer).open_with(KEY), Err(StoreError::TooNew { found: 2, known: 1, .. })));
}

/// What is written where and in what order is the same, whatever is committed: but for the bytes, of which nothing can be read.
#[test]
fn who_watches_the_medium_learns_nothing() {
    let watched = |talks: bool| {
        let fake = Fake::blank();
        let store = fake.open();
        while fake.tape(|tape| tape.told.len()) < 150 {
            if talks {
                let mut batch = Batch::new();
                batch.put("tree-canary", b"key-canary", b"value-canary".repeat(3_000));
                store.commit(batch).wait().unwrap();
            } else {
                std::thread::sleep(QUICK);
            }
        }
        let told = fake.tape(|tape| tape.told[..150].to_vec());
        let bytes = fake.bytes();
        assert!(!bytes.windows(6).any(|part| part == b"canary"));
        assert!(bytes[..SEALED_FROM as usize].iter().all(|byte| *byte == 0), "not the store's");
        told.into_iter().map(|told| match told {
            Told::Write(at, frame) => Some((at, frame.len())),
            Told::Sync => None,
        })
    };
    assert!(watched(true).eq(watched(false)));
}

/// Nonces: no frame's name is used twice, over halves and openings, torn ones included.
#[test]
fn no_name_is_written_twice() {
    let fake = Fake::blank();
    for number in 1..=4 {
        put(&fake.open(), number, 17_000);
    }
    let mut names: Vec<Vec<u8>> = fake.tape(|tape| {
        let frames = tape.told.iter().filter_map(|told| match told {
            Told::Write(_, frame) => Some(frame[8..40].to_vec()),
            Told::Sync => None,
        });
        frames.collect()
    });
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_full_store_refuses_what_does_not_fit_and_takes_what_makes_room() {
    let fake = Fake::blank();
    let store = fake.open();
    let room = || store.room().unwrap();
    let capacity = room().free;
    assert_eq!((room().used, capacity), (0, 15 * frame::ROOM as u64));
    let fitting = usize::try_from(capacity).unwrap() - entry::cost("t", b"k", b"");
    let one = |len: usize| {
        let mut batch = Batch::new();
        batch.put("t", b"k", vec![1; len]);
        store.commit(batch).wait()
    };
    assert!(matches!(one(fitting + 1), Err(StoreError::Full { free, needed, .. }) if needed == free + 1));
    assert_eq!((store.get("t", b"k").unwrap(), room().used), (None, 0));
    one(fitting).unwrap();
    assert_eq!(room(), Room { used: capacity, free: 0 });
    // In place of the old one: no more than before.
    one(fitting).unwrap();
    let mut more = Batch::new();
    more.put("t", b"x", b"");
    assert!(matches!(store.commit(more).wait(), Err(StoreError::Full { free: 0, .. })));
    drop(store);
    let store = fake.open();
    assert_eq!(store.get("t", b"k").unwrap().unwrap().len(), fitting);
    let mut less = Batch::new();
    less.delete("t", b"k").delete("t", b"not there");
    store.commit(less).wait().unwrap();
    assert_eq!(store.room().unwrap().used, 0);
}

#[test]
fn it_is_behind_when_more_than_a_frame_waits() {
    let fake = Fake::blank();
    // The first beat comes long after this test.
    let store = fake.open_at(KEY, Duration::from_hours(1)).unwrap();
    let put = |len: usize| {
        let mut batch = Batch::new();
        batch.put("t", b"k", vec![1; len]);
        drop(store.commit(batch));
    };
    let fitting = frame::ROOM - entry::cost("t", b"k", b"");
    put(fitting);
    assert!(!store.behind());
    put(0);
    assert!(store.behind());
    drop(store);
    assert_eq!(fake.open().get("t", b"k").unwrap().unwrap().len(), 0, "closing waits for no beat");
}

#[test]
fn a_write_that_fails_is_the_last_one() {
    let fake = Fake::blank();
    let store = fake.open();
    put(&store, 1, 10);
    fake.tape(|tape| tape.fails = Some(tape.told.len()));
    for _ in 0..2 {
        let mut batch = Batch::new();
        batch.put("a", b"k", b"v");
        let error = store.commit(batch).wait().unwrap_err();
        assert!(error.to_string().contains("write to medium: injected"), "{error}");
    }
    drop(store);
    assert_eq!(last(&Fake::of(fake.bytes()).open()), 1);
}

#[test]
fn on_a_file_it_is_one_process_at_a_time_of_a_size_that_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let open = || SealedStore::open(&path, &Zeroizing::new(KEY), QUICK, Box::new(|| [9; 16]));
    assert!(matches!(open(), Err(StoreError::Io { .. })), "there is none");
    for len in [0, 1, SEALED_FROM - 1, SEALED_FROM] {
        std::fs::write(&path, vec![0; len as usize]).unwrap();
        assert!(matches!(open(), Err(StoreError::Sealed { .. })), "{len} bytes");
    }
    allocate(&path, MIN_SEALED_BYTES - 1).unwrap();
    let small = open().err().unwrap().to_string();
    assert!(small.contains("1048575 bytes, and 1048576 are the least"), "{small}");
    allocate(&path, MIN_SEALED_BYTES).unwrap();
    let store = open().unwrap();
    put(&store, 1, 10);
    assert!(matches!(open(), Err(StoreError::Locked { .. })));
    drop(store);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), MIN_SEALED_BYTES);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(matches!(allocate(Path::new("/no such folder/x"), 1), Err(StoreError::Io { .. })));
}

#[derive(Debug, Clone)]
enum Step {
    /// (tree, key, length of the value or none to delete)
    Commit(Vec<(u8, u8, Option<usize>)>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![4 => 0usize..64, 1 => 10_000usize..20_000];
    let op = (0u8..3, 0u8..6, proptest::option::weighted(0.7, length));
    prop_oneof![12 => proptest::collection::vec(op, 0..4).prop_map(Step::Commit), 1 => Just(Step::Reopen)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sealed_and_memory_agree(steps in proptest::collection::vec(step(), 1..40)) {
        let fake = Fake::blank();
        let mut sealed = fake.open();
        let mem = crate::MemStore::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Commit(ops) => {
                    let (mut one, mut two) = (Batch::new(), Batch::new());
                    for (tree, key, length) in ops {
                        for batch in [&mut one, &mut two] {
                            match length {
                                Some(length) => batch.put(["a", "ab", "b"][usize::from(tree)], [key], vec![number as u8; length]),
                                None => batch.delete(["a", "ab", "b"][usize::from(tree)], [key]),
                            };
                        }
                    }
                    match sealed.commit(one).wait() {
                        Ok(()) => mem.commit(two).wait().unwrap(),
                        Err(StoreError::Full { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                Step::Reopen => {
                    drop(sealed);
                    sealed = fake.open();
                }
            }
            for tree in ["a", "ab", "b"] {
                prop_assert_eq!(sealed.scan(tree, &[], 100).unwrap(), mem.scan(tree, &[], 100).unwrap());
                prop_assert_eq!(sealed.last(tree).unwrap(), mem.last(tree).unwrap());
            }
        }
    }
}
