//! `identity`: made, shown and replaced with a key file; refused with a broker that is not there.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;
use zipnet_proto::v1::StatusResponse;

use crate::{
    fake::{Daemon, Script},
    run::{Ran, ctl, ctl_at, expect, run},
};

const FILE: [&str; 2] = ["--sealed-identity", "identity"];
const KEY: [&str; 2] = ["--insecure-key-file", "key"];
const WARNING: &str = "warning: a key file protects from nobody who has the disk\n";

fn identity(dir: &Path, verb: &str, args: &[&[&str]]) -> Ran {
    let mut command = ctl(&["identity", verb]);
    command.args(args.concat()).current_dir(dir);
    run(command, dir)
}

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn text(generation: u64, key_id: &str) -> String {
    format!(
        "sealed identity  identity\nprovider         key file\nkey id           {key_id}\ngeneration       {generation}\n"
    )
}

#[test]
fn made_shown_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let made = identity(dir, "init", &[&FILE, &KEY, &["--json"]]);
    let shown = json(&made);
    let key_id = shown["key_id"].as_str().unwrap();
    assert_eq!(
        shown,
        serde_json::json!({
            "sealed_identity": "identity", "provider": "key file", "key_id": key_id, "generation": 1
        })
    );
    assert_eq!((made.stderr.as_str(), key_id.len()), (WARNING, 32));
    for name in ["identity", "key"] {
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    let before = fs::read(dir.join("identity")).unwrap();
    let again = identity(dir, "init", &[&FILE, &["--insecure-key-file", "other"]]);
    let exists = "error: there is a sealed identity identity already: `identity rotate` replaces it\n";
    expect(&again, 1, "", exists);
    assert!(!dir.join("other").exists(), "no key is made for nothing");
    assert_eq!(fs::read(dir.join("identity")).unwrap(), before);

    let key = fs::read(dir.join("key")).unwrap();
    let note = "a zipnetd that runs goes on with the old identity until its restart\n";
    expect(&identity(dir, "rotate", &[&FILE, &KEY]), 0, &text(2, key_id), &format!("{WARNING}{note}"));
    assert_eq!(fs::read(dir.join("key")).unwrap(), key);
    assert_ne!(fs::read(dir.join("identity")).unwrap(), before);
    // A second identity may have the same key.
    let second = ["--sealed-identity", "second"];
    assert_eq!(json(&identity(dir, "init", &[&second, &KEY, &["--json"]]))["key_id"], key_id);

    // Of the environment, too.
    let mut command = ctl(&["identity", "rotate"]);
    command.current_dir(dir).env("ZIPNET_SEALED_IDENTITY", "identity").env("ZIPNET_INSECURE_KEY_FILE", "key");
    assert!(run(command, dir).stdout.ends_with("generation       3\n"));
}

#[test]
fn the_file_and_the_daemon_are_shown() {
    let status = StatusResponse {
        client_id: "c1".repeat(32),
        identity: "sealed, key file, generation 1".into(),
        ..StatusResponse::default()
    };
    let daemon = Daemon::start(Script { status, ..Script::default() });
    let dir = daemon.dir.path();
    let show = |socket: &Path, args: &[&str]| {
        let mut command = ctl_at(socket, &["identity", "show"]);
        command.args(args).current_dir(dir);
        run(command, dir)
    };
    let key_id = json(&identity(dir, "init", &[&FILE, &KEY, &["--json"]]))["key_id"].clone();
    let file = text(1, key_id.as_str().unwrap());
    let id = "c1".repeat(32);
    expect(
        &show(daemon.socket(), &FILE),
        0,
        &format!(
            "{file}daemon           sealed, key file, generation 1: the same in every run\nclient id        {id}\n"
        ),
        "",
    );
    let alone =
        format!("daemon     sealed, key file, generation 1: the same in every run\nclient id  {id}\n");
    expect(&show(daemon.socket(), &[]), 0, &alone, "");
    let shown = json(&show(daemon.socket(), &[&FILE[..], &["--json"]].concat()));
    assert_eq!(shown["file"]["generation"], 1);
    let says = serde_json::json!({"identity": "sealed, key file, generation 1", "client_id": id});
    assert_eq!(shown["daemon"], says);

    let none = dir.join("none");
    let nobody = format!("{file}daemon           no daemon: there is no socket at [DIR]/none\n");
    expect(&show(&none, &FILE), 0, &nobody, "");
    let shown = json(&show(&none, &[&FILE[..], &["--json"]].concat()));
    assert_eq!((&shown["file"]["provider"], &shown["daemon"]), (&"key file".into(), &Value::Null));
    assert_eq!(show(&none, &[]).code, 3, "there is nothing to show");
    assert_eq!(show(daemon.socket(), &["--sealed-identity", "none"]).code, 1);
}

#[test]
fn what_does_not_open_is_refused_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let reason = |ran: &Ran| {
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        let error: Value = serde_json::from_str(&ran.stderr).unwrap();
        (error["reason"].as_str().unwrap().to_owned(), error["hint"].as_str().unwrap_or_default().to_owned())
    };
    let missing = reason(&identity(dir, "rotate", &[&FILE, &KEY, &["--json"]]));
    assert!(missing.0 == "IdentityMissing" && missing.1.contains("zipnetctl identity init"), "{missing:?}");
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);

    identity(dir, "init", &[&FILE, &KEY]);
    let broker = format!("{}@127.0.0.1:1", "ab".repeat(32));
    let broker = ["--key-broker", &broker, "--deployment", &"cd".repeat(32), "--json"];
    assert_eq!(reason(&identity(dir, "rotate", &[&FILE, &broker])).0, "OtherKeeper");
    let gone = reason(&identity(dir, "init", &[&["--sealed-identity", "second"], &broker]));
    assert!(gone.0 == "NoKey" && gone.1.contains("key broker runs"), "{gone:?}");
    assert!(!dir.join("second").exists());

    let mut bad = fs::read(dir.join("identity")).unwrap();
    bad[60] ^= 1;
    fs::write(dir.join("identity"), &bad).unwrap();
    assert_eq!(reason(&identity(dir, "rotate", &[&FILE, &KEY, &["--json"]])).0, "IdentityDamaged");
    assert_eq!(identity(dir, "init", &[&FILE, &KEY]).code, 1);
    assert_eq!(fs::read(dir.join("identity")).unwrap(), bad);
    fs::remove_file(dir.join("key")).unwrap();
    assert_eq!(reason(&identity(dir, "rotate", &[&FILE, &KEY, &["--json"]])).0, "NoKey");
    assert!(!dir.join("key").exists(), "only init makes one");
}

#[test]
fn it_has_one_keeper() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (broker, deployment) = (format!("{}@x:1", "ab".repeat(32)), "cd".repeat(32));
    let broker = ["--key-broker", &broker];
    let deployment = ["--deployment", &deployment];
    for (args, problem) in [
        (&[&FILE[..]][..], "nobody keeps the key: name --key-broker, or --insecure-key-file"),
        (
            &[&FILE, &KEY, &broker, &deployment],
            "--key-broker and --insecure-key-file: a sealed identity has one keeper",
        ),
        (&[&FILE, &broker], "--key-broker: a broker's key is for one deployment, name it by --deployment ID"),
        (&[&FILE, &KEY, &deployment], "--deployment: a key file is for any deployment"),
    ] {
        for verb in ["init", "rotate"] {
            expect(&identity(dir, verb, args), 2, "", &format!("error: {problem}\n"));
        }
    }
    let ran = identity(dir, "init", &[&FILE, &["--key-broker", "x"]]);
    assert!(ran.code == 2 && ran.stderr.contains("`x` is not HEXKEY@HOST:PORT"), "{}", ran.stderr);
    assert_eq!(identity(dir, "init", &[&KEY]).code, 2);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}
