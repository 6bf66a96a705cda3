//! Power loss: before each acknowledgement leaves the daemon, the store's file was synced to the disk.

use std::fs;
use std::process::Command;

use zipnet_tests::bin;

use super::{answers, offline};

const MESSAGES: usize = 20;

/// `strace` belongs to no default installation.
fn strace() {
    let there = || Command::new("strace").arg("-V").output().is_ok_and(|out| out.status.success());
    if !there() {
        let got = Command::new("apt-get").args(["install", "-y", "-qq", "strace"]).output();
        assert!(got.is_ok() && there(), "this test needs strace, and apt-get could not install it: {got:?}");
    }
}

#[test]
fn an_acknowledgement_leaves_only_after_fdatasync() {
    strace();
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = offline(dir.path());
    let trace = dir.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "4096", "-e", "trace=fdatasync,write,writev,sendto,sendmsg", "-o"]);
    // strace that is killed lets go of what it traces: the daemon ends with it.
    command.arg(&trace).args(["setpriv", "--pdeathsig", "KILL"]).arg(bin("zipnetd"));
    daemon.start_by(command);
    answers(&daemon);
    let ids: Vec<String> = (0..MESSAGES).map(|n| daemon.send(&format!("message {n}")).unwrap()).collect();
    let trace = fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    // One after the other: between two acknowledgements there is a finished sync of the store's file.
    let synced = |line: &&str| line.contains("fdatasync") && line.trim_end().ends_with("= 0");
    let mut from = 0;
    for id in &ids {
        let answer = lines[from..].iter().position(|line| line.contains(id) && !line.contains("fdatasync"));
        let answer = from + answer.unwrap_or_else(|| panic!("no line of the trace acknowledges {id}"));
        assert!(lines[from..answer].iter().any(synced), "{id} was acknowledged without a sync before");
        from = answer + 1;
    }
    assert!(trace.contains("client/data/db>"), "what is synced is the store's file");
}
