//! The real `zipnet-keybroker`: Intel's root, so that only refusals can be seen without hardware.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::signed::encode;
use zipnet_tdx::seal::broker::{Ask, Call, Message, Purpose, Refusal, Reply, Tcp, Transport};

const QUOTE: &[u8] = include_bytes!("../data/v4.quote");

fn broker(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zipnet-keybroker"));
    command.args(args).current_dir(dir).env_clear();
    command
}

fn run(args: &[&str], dir: &Path) -> Output {
    broker(args, dir).output().unwrap()
}

const RUN: [&str; 9] =
    ["run", "--state-dir", "b", "--policy", "p.toml", "--collateral", "c.json", "--listen", "127.0.0.1:0"];

/// A broker that is killed when the test ends.
struct Running(Child, BufReader<ChildStderr>, String);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &Path) -> Running {
    let mut child = broker(&RUN, dir).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let address = line.strip_prefix("listening at ").unwrap_or_else(|| panic!("{line}"));
    let address = address.split(',').next().unwrap().to_owned();
    Running(child, log, address)
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let digits = "00".repeat(48);
    let release = format!(
        "[[release]]\nname = \"1\"\nmrtd = \"{digits}\"\nrtmr1 = \"{digits}\"\nrtmr2 = \"{digits}\"\n"
    );
    fs::write(dir.path().join("p.toml"), release).unwrap();
    fs::write(dir.path().join("c.json"), include_bytes!("../data/v4.collateral.json")).unwrap();
    dir
}

#[test]
fn made_once_answers_refuses_and_says_so() {
    let dir = folder();
    let dir = dir.path();
    let made = run(&["init", "--state-dir", "b"], dir);
    assert!(made.status.success());
    let key = String::from_utf8(made.stdout).unwrap();
    assert_eq!(key.trim().len(), 64);
    assert_eq!(run(&["key", "--state-dir", "b"], dir).stdout, key.as_bytes());
    let again = run(&["init", "--state-dir", "b"], dir);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).starts_with("error: b/state exists already"));

    let mut running = start(dir);
    let mut wire = Tcp(running.2.clone());
    let mut ask =
        |message: &Message| borsh::from_slice::<Reply>(&wire.call(&encode(message)).unwrap()).unwrap();
    let Reply::Challenge(nonce) = ask(&Message::Challenge) else { panic!() };
    let question = Ask {
        nonce,
        ephemeral: [9; 32],
        instance: [3; 32],
        deployment: DeploymentId([1; 32]),
        purpose: Purpose::Create,
    };
    // Genuine, and about something else.
    let refused = ask(&Message::Release(Call { ask: question, quote: QUOTE.to_vec() }));
    assert!(
        matches!(refused, Reply::Refused(Refusal::Denied(ref why)) if why.contains("not about")),
        "{refused:?}"
    );
    let other = run(&RUN, dir);
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("another key broker uses b"));

    // After a kill it goes on.
    running.0.kill().unwrap();
    let mut log = String::new();
    running.1.read_to_string(&mut log).unwrap();
    assert!(log.contains("warning: the collateral (or a part of it) ended"), "{log}");
    assert!(log.contains("refused: the quote is not about"), "{log}");
    drop(running);
    drop(start(dir));
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let dir = folder();
    let dir = dir.path();
    let says = |text: &str| {
        let ran = run(&RUN, dir);
        let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(1) && stderr.contains(text), "{stderr}");
    };
    says("b/secret: No such file");
    assert!(run(&["init", "--state-dir", "b"], dir).status.success());
    fs::rename(dir.join("b/state"), dir.join("kept")).unwrap();
    says("there is no b/state");
    fs::write(dir.join("b/state"), b"x").unwrap();
    says("b/state was damaged");
    fs::rename(dir.join("kept"), dir.join("b/state")).unwrap();
    fs::write(dir.join("p.toml"), "").unwrap();
    says("p.toml: is no policy");
    fs::remove_file(dir.join("c.json")).unwrap();
    fs::remove_file(dir.join("p.toml")).unwrap();
    says("p.toml: No such file");
    assert_eq!(run(&["run"], dir).status.code(), Some(2));
}
