//! Known-answer vectors: every derivation of docs/protocol.md, hex in, hex out. `ZIPNET_WRITE_VECTORS=1` writes the files
//! instead of comparing; `vectors/check.py` recomputes them without this code.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use serde_json::{Value, json};
use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{Bundle, DeploymentId, PeerId};

#[path = "vectors/keys.rs"]
mod keys;
#[path = "vectors/round.rs"]
mod round;
#[path = "vectors/statements.rs"]
mod statements;
#[path = "vectors/vector.rs"]
mod vector;

/// Compares the file `name` with what the code gives, or writes it.
fn check(name: &str, cases: &[Value]) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name).with_extension("json");
    if std::env::var_os("ZIPNET_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&cases).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let wanted: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(wanted.len(), cases.len(), "{name}: number of cases");
    for (wanted, got) in wanted.iter().zip(cases) {
        assert_eq!(wanted["in"], got["in"], "{name}: input of {}", wanted["name"]);
        assert_eq!(wanted["out"], got["out"], "{name}: output of {}", wanted["name"]);
        assert_eq!(wanted["name"], got["name"], "{name}: name");
    }
}

fn case(name: &str, input: &Value, output: &Value) -> Value {
    json!({ "name": name, "in": input, "out": output })
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(bytes)
}

/// 32 bytes that differ from each other: `first`, `first + 1`, …
fn rising(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first.wrapping_add(i as u8))
}

fn identity(first: u8) -> Identity {
    Identity::from_seed(Zeroizing::new(rising(first)))
}

fn peers(seeds: &[u8]) -> Vec<PeerId> {
    let mut peers: Vec<_> = seeds.iter().map(|s| identity(*s).peer_id()).collect();
    peers.sort();
    peers
}

fn peer_names(peers: &[PeerId]) -> Value {
    peers.iter().map(ToString::to_string).collect()
}

fn bundle(bundle: &Bundle) -> Value {
    json!({
        "peer_id": bundle.peer_id.to_string(),
        "identity_pk": hex(bundle.identity_pk),
        "link_pk": hex(bundle.link_pk),
    })
}

const DEPLOYMENT: DeploymentId = DeploymentId([0xd0; 32]);
