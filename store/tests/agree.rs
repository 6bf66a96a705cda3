//! The store on disk and its twin in memory are the same map.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use zipnet_store::{Batch, MemStore, SledStore, Store};

#[derive(Debug, Clone)]
enum Step {
    /// (tree, key, length of the value or none to delete)
    Commit(Vec<(u8, u16, Option<usize>)>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    // Lengths around the part size (16 KiB), so that values change between whole and in parts.
    let length = prop_oneof![
        4 => 0usize..64,
        1 => 16_380usize..16_390,
        1 => 40_000usize..120_000,
    ];
    let op = (0u8..3, 0u16..40, proptest::option::weighted(0.7, length));
    prop_oneof![12 => proptest::collection::vec(op, 0..8).prop_map(Step::Commit), 1 => Just(Step::Reopen)]
}

// Names and keys that share prefixes, and keys that look like ends of names.
const TREES: [&str; 3] = ["a", "ab", "b"];

fn key(number: u16) -> Vec<u8> {
    match number % 4 {
        0 => vec![0; usize::from(number / 4)],
        1 => vec![0xff; usize::from(number / 4)],
        _ => number.to_be_bytes().to_vec(),
    }
}

fn compare(sled: &dyn Store, mem: &dyn Store, from: &[u8]) {
    for tree in TREES {
        assert_eq!(sled.scan(tree, &[], 1000).unwrap(), mem.scan(tree, &[], 1000).unwrap());
        assert_eq!(sled.scan(tree, from, 3).unwrap(), mem.scan(tree, from, 3).unwrap());
        assert_eq!(sled.last(tree).unwrap(), mem.last(tree).unwrap());
        assert_eq!(sled.get(tree, from).unwrap(), mem.get(tree, from).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sled_and_memory_agree(steps in proptest::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut sled = SledStore::open(dir.path()).unwrap();
        let mut mem = MemStore::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Commit(ops) => {
                    let (mut one, mut two) = (Batch::new(), Batch::new());
                    for (tree, name, length) in ops {
                        for batch in [&mut one, &mut two] {
                            match length {
                                Some(length) => batch.put(TREES[usize::from(tree)], key(name), vec![number as u8; length]),
                                None => batch.delete(TREES[usize::from(tree)], key(name)),
                            };
                        }
                    }
                    sled.commit(one).wait().unwrap();
                    mem.commit(two).wait().unwrap();
                }
                Step::Reopen => {
                    drop(sled);
                    sled = SledStore::open(dir.path()).unwrap();
                    mem = mem.crash();
                }
            }
            compare(&sled, &mem, &key(number as u16));
        }
        // sled does not sync its blob files: none may ever be written.
        prop_assert_eq!(std::fs::read_dir(dir.path().join("data/blobs")).unwrap().count(), 0);
    }
}
