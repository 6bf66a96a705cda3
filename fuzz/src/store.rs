//! The records of a client's store, as they are after whatever happened to the disk.

use zipnet_dcnet::signed::encode;
use zipnetd::core::Loaded;

use crate::script::{Life, SCRIPT, Told};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Rows of the store: refused with a reason, or the client starts with them and goes on.
pub(crate) fn store(data: &[u8]) {
    let Ok(rows) = borsh::from_slice::<Rows>(data) else { return };
    let receipts: Vec<(Vec<u8>, usize)> =
        rows.iter().map(|(key, value)| (key.clone(), value.len())).collect();
    SCRIPT.with(|script| {
        let loaded = match Loaded::from_pairs(rows) {
            Ok(loaded) => loaded,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let Ok(loaded) = loaded.with_receipts(receipts) else { return };
        let mut life = Life::new(&script.committee.descriptor, loaded);
        for told in script.told.iter().take(40) {
            life.tell(told.clone(), script.rounds);
        }
        life.tell(Told::Tick(60_000), script.rounds);
    });
}

pub(crate) fn store_seeds() -> Vec<Vec<u8>> {
    SCRIPT.with(|script| {
        let mut out: Vec<Vec<u8>> = script.rows.iter().map(|row| encode(&vec![row.clone()])).collect();
        out.push(encode(&script.rows));
        out
    })
}
