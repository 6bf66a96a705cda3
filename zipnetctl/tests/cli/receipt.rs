//! `show --receipt` and `verify`: what holds, and everything that does not.

use std::{fs, path::Path};

use serde_json::{Value, json};
use zeroize::Zeroizing;
use zipnet_dcnet::{
    aggregate::Bitmap,
    descriptor::Descriptor,
    identity::Identity,
    ids::PeerId,
    params::Params,
    receipt::Receipt,
    record::{Record, SignedRecord},
    signed::encode,
};

use crate::{
    fake::{Daemon, ID, Script},
    run::{Ran, ctl, ctl_at, expect, run, run_with, snapshot},
};

fn servers(seed: u8) -> Vec<Identity> {
    (seed..seed + 3).map(|n| Identity::from_seed(Zeroizing::new([n; 32]))).collect()
}

fn descriptor(servers: &[Identity]) -> Descriptor {
    let names: Vec<PeerId> = servers.iter().map(Identity::peer_id).collect();
    Descriptor::new("acme.test", Params::standard(3), names).unwrap()
}

/// A record of round 41 with `payload` in slot 4, signed by so many of the servers.
fn receipt(servers: &[Identity], payload: &[u8], signatures: usize) -> Receipt {
    let descriptor = descriptor(servers);
    let mut participants = Bitmap::new(8);
    (0..5).for_each(|i| participants.set(i));
    let record = Record {
        deployment: descriptor.id(),
        round: 41,
        header_digest: [1; 32],
        aggregate_digest: [2; 32],
        prev: [3; 32],
        participants,
        servers: descriptor.servers.clone(),
        reservations: vec![],
        messages: vec![(4, payload.to_vec())],
        garbled: vec![],
    };
    let mut signatures: Vec<_> =
        servers.iter().take(signatures).map(|s| (s.peer_id(), record.sign(s))).collect();
    signatures.sort_by_key(|(signer, _)| *signer);
    let record = SignedRecord { record, signatures };
    Receipt { version: 1, descriptor, slot: 4, record, above: vec![], header: None }
}

/// What the real `show --receipt` makes of it.
fn file(receipt: &Receipt) -> Value {
    let daemon = Daemon::start(Script { receipt: Some(Ok(encode(receipt))), ..Script::default() });
    let ran = run(ctl_at(daemon.socket(), &["show", ID, "--receipt"]), daemon.dir.path());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

fn verify(dir: &Path, args: &[&str]) -> Ran {
    let mut command = ctl(&["verify"]);
    command.args(args).current_dir(dir);
    run(command, dir)
}

#[test]
fn shown_kept_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let servers = servers(1);
    let receipt = receipt(&servers, b"hello\x1b[2J", 3);
    let file = file(&receipt);
    let deployment = receipt.descriptor.id().to_string();
    assert_eq!(file["deployment"], deployment.as_str());
    assert_eq!(
        (&file["instance"], &file["round"], &file["slot"], &file["payload"], &file["encoding"]),
        (&json!("acme.test"), &json!(41), &json!(4), &json!("hello\u{1b}[2J"), &json!("utf8"))
    );
    fs::write(dir.join("r.json"), file.to_string()).unwrap();
    fs::write(dir.join("d.json"), serde_json::to_string(&receipt.descriptor).unwrap()).unwrap();

    snapshot("verify_unpinned", &verify(dir, &["r.json"]));
    snapshot("verify", &verify(dir, &["r.json", "--descriptor", "d.json"]));
    let mut by_input = ctl(&["verify", "-"]);
    by_input.current_dir(dir);
    let by_input = run_with(by_input, dir, file.to_string().as_bytes());
    assert_eq!(by_input, verify(dir, &["r.json"]));
    let ran = verify(dir, &["r.json", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&shown["round"], &shown["descriptor_checked"]), (&json!(41), &json!(false)));
    assert_eq!(shown["record"].as_str().unwrap().len(), 64);

    // The signed bytes alone are enough.
    fs::write(dir.join("bare.json"), json!({ "receipt": file["receipt"] }).to_string()).unwrap();
    assert_eq!(verify(dir, &["bare.json", "--descriptor", "d.json"]).code, 0);
}

#[test]
fn another_deployment_is_not_the_one_that_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("r.json"), file(&receipt(&servers(1), b"hello", 3)).to_string()).unwrap();
    fs::write(dir.join("d.json"), serde_json::to_string(&descriptor(&servers(7))).unwrap()).unwrap();
    snapshot("verify_other_deployment", &verify(dir, &["r.json", "--descriptor", "d.json"]));
    assert_eq!(verify(dir, &["r.json", "--descriptor", "none"]).code, 1);
}

#[test]
fn readable_fields_that_say_something_else_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let honest = file(&receipt(&servers(1), b"hello", 3));
    for (field, lie, problem) in [
        ("round", json!(42), "says round 42, what was signed says 41"),
        ("slot", json!(5), "says slot 5, what was signed says 4"),
        ("instance", json!("acme.main"), "says instance acme.main, what was signed says acme.test"),
        ("payload", json!("goodbye"), "has another payload than the one that was signed"),
        ("encoding", json!("base64"), "says encoding base64, what was signed says utf8"),
        ("author", json!("me"), "is no receipt: unknown field `author`"),
    ] {
        let mut file = honest.clone();
        file[field] = lie;
        fs::write(dir.join("r.json"), file.to_string()).unwrap();
        let ran = verify(dir, &["r.json"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
        assert!(ran.stderr.starts_with(&format!("error: r.json: {problem}")), "{}", ran.stderr);
    }
}

#[test]
fn what_was_not_signed_by_all_or_was_changed_does_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let servers = servers(1);
    let wrap = |receipt: &Receipt| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        json!({ "receipt": STANDARD.encode(encode(receipt)) }).to_string()
    };
    fs::write(dir.join("unsigned"), wrap(&receipt(&servers, b"hello", 2))).unwrap();
    snapshot("verify_unsigned", &verify(dir, &["unsigned"]));

    let mut changed = receipt(&servers, b"hello", 3);
    changed.record.record.messages[0].1 = b"jello".to_vec();
    fs::write(dir.join("changed"), wrap(&changed)).unwrap();
    snapshot("verify_changed", &verify(dir, &["changed"]));

    let mut newer = receipt(&servers, b"hello", 3);
    newer.version = 2;
    fs::write(dir.join("newer"), wrap(&newer)).unwrap();
    snapshot("verify_newer", &verify(dir, &["newer"]));

    fs::write(dir.join("text"), "hello").unwrap();
    expect(&verify(dir, &["text"]), 1, "", "error: text: is no receipt: expected value at line 1 column 1\n");
    fs::write(dir.join("cut"), json!({ "receipt": "AQ==" }).to_string()).unwrap();
    let cut = verify(dir, &["cut"]);
    assert!(cut.code == 1 && cut.stderr.starts_with("error: cut: is no receipt: "), "{}", cut.stderr);
    expect(&verify(dir, &["none"]), 1, "", "error: none: No such file or directory (os error 2)\n");
    let huge = run_with(ctl(&["verify", "-"]), dir, &vec![b' '; 2 * 1024 * 1024 + 1]);
    expect(&huge, 1, "", "error: standard input: is no receipt: longer than 2097152 bytes\n");

    // Nor does `show` hand out what nobody would believe.
    let bad = Script { receipt: Some(Ok(encode(&changed))), ..Script::default() };
    let daemon = Daemon::start(bad);
    let ran = run(ctl_at(daemon.socket(), &["show", ID, "--receipt"]), daemon.dir.path());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
}

#[test]
fn asked_for_when_sending() {
    let daemon = Daemon::start(Script::default());
    for args in [&["send", "hello"][..], &["send", "hello", "--receipt"]] {
        assert_eq!(run(ctl_at(daemon.socket(), args), daemon.dir.path()).code, 0);
    }
    let asked: Vec<bool> = daemon.script(|script| script.sent.iter().map(|sent| sent.receipt).collect());
    assert_eq!(asked, [false, true]);
}
