//! For authors of agents: the examples of docs/agents.md against a real daemon, and receipts that convince a stranger.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use zipnet_tests::{Daemon, bin};

fn succeeds(command: &mut Command) -> Output {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = [out.stdout.as_slice(), out.stderr.as_slice()].concat();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
    out
}

/// What the page says to do before the Python example runs, in a folder of its own.
fn python(root: &Path, dir: &Path) -> Command {
    let venv = dir.join("venv");
    succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    succeeds(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "grpcio", "grpcio-tools"]));
    let python = venv.join("bin/python");
    let mut stubs = Command::new(&python);
    stubs.args(["-m", "grpc_tools.protoc", "-I", "proto/proto", "zipnet/v1/control.proto"]);
    stubs.arg(format!("--python_out={}", dir.display())).arg(format!("--grpc_python_out={}", dir.display()));
    succeeds(stubs.current_dir(root));
    let mut example = Command::new(python);
    example.arg(root.join("docs/examples/send_and_watch.py")).env("PYTHONPATH", dir);
    example
}

#[test]
fn the_examples_send_and_watch_and_a_receipt_convinces_a_stranger() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(dir.path(), "dev");
    daemon.arg("--dev");
    daemon.start();
    daemon.wait_registered(Duration::from_mins(1));

    let mut rust = Command::new(bin("examples/send_and_watch"));
    for (command, text) in [(&mut rust, "from Rust"), (&mut python(root, dir.path()), "from Python")] {
        let out = succeeds(command.arg(text).env("ZIPNET_SOCKET", daemon.socket()));
        let said = String::from_utf8(out.stdout).unwrap();
        assert!(said.contains("published in round"), "{said}");
        let log = daemon.read().unwrap();
        assert_eq!(log.iter().filter(|m| m.payload == text).count(), 1);
    }

    let sent = daemon.ctl(&["send", "--receipt", "--wait", "mine"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let id = String::from_utf8(sent.stdout).unwrap().trim().to_owned();
    let receipt = daemon.ctl(&["show", "--receipt", &id]);
    assert!(receipt.status.success(), "{}", String::from_utf8_lossy(&receipt.stderr));
    // The stranger has no daemon.
    let file = dir.path().join("r.json");
    let verify = || Command::new(bin("zipnetctl")).arg("verify").arg(&file).output().unwrap();
    fs::write(&file, &receipt.stdout).unwrap();
    let verified = verify();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && said.contains("mine"), "{said}");
    let forged = String::from_utf8(receipt.stdout).unwrap().replace("\"mine\"", "\"ours\"");
    fs::write(&file, forged).unwrap();
    assert_eq!(verify().status.code(), Some(1), "what is readable must be what is signed");
    // Nobody has a receipt who did not ask for one.
    let other = daemon.send("no receipt").unwrap();
    assert_eq!(daemon.ctl(&["show", "--receipt", &other]).status.code(), Some(1));
}
