//! `read`: what strangers wrote, and streams that break.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use zipnet_proto::{Reason, v1::ReadRequest};

use crate::{
    fake::{Daemon, Script, progress, published},
    run::{ctl_at, expect, ran, run},
};

fn log() -> Script {
    let items = vec![
        progress(7, 3),
        published(7, 0, b"hello"),
        published(7, 2, b"\x1b[2J\x1b]0;owned\x07 two\nlines \\n"),
        progress(8, 3),
        published(9, 1, &[0xff, 0xfe]),
        published(9, 5, b""),
        published(9, 6, b"[empty]"),
        progress(10, 3),
    ];
    Script { read: [items].into(), ..Script::default() }
}

#[test]
fn one_line_a_message_and_no_control_for_strangers() {
    let daemon = Daemon::start(log());
    expect(
        &run(ctl_at(daemon.socket(), &["read"]), daemon.dir.path()),
        0,
        "7/0  hello\n\
         7/2  \\u{1b}[2J\\u{1b}]0;owned\\u{7} two\\nlines \\\\n\n\
         9/1 [base64] //4=\n\
         9/5 [empty]\n\
         9/6  [empty]\n",
        "",
    );
    assert_eq!(daemon.script(|script| script.reads[0]), ReadRequest { from_round: None, follow: false });
}

#[test]
fn one_object_a_message() {
    let daemon = Daemon::start(log());
    expect(
        &run(ctl_at(daemon.socket(), &["read", "--json", "--from", "0"]), daemon.dir.path()),
        0,
        "{\"round\":7,\"slot\":0,\"payload\":\"hello\",\"encoding\":\"utf8\"}\n\
         {\"round\":7,\"slot\":2,\"payload\":\"\\u001b[2J\\u001b]0;owned\\u0007 two\\nlines \\\\n\",\"encoding\":\"utf8\"}\n\
         {\"round\":9,\"slot\":1,\"payload\":\"//4=\",\"encoding\":\"base64\"}\n\
         {\"round\":9,\"slot\":5,\"payload\":\"\",\"encoding\":\"utf8\"}\n\
         {\"round\":9,\"slot\":6,\"payload\":\"[empty]\",\"encoding\":\"utf8\"}\n",
        "",
    );
    assert_eq!(daemon.script(|script| script.reads[0]), ReadRequest { from_round: Some(0), follow: false });
}

#[test]
fn says_what_is_missing() {
    let items = vec![progress(300, 300), progress(310, 301)];
    let daemon = Daemon::start(Script { read: [items].into(), ..Script::default() });
    expect(
        &run(ctl_at(daemon.socket(), &["read", "--from", "5"]), daemon.dir.path()),
        0,
        "",
        "the log begins at round 300, earlier rounds are not kept\nno messages in these rounds\n",
    );
}

#[test]
fn a_broken_stream_says_where_to_go_on() {
    let items =
        |end| vec![progress(7, 3), published(7, 0, b"a"), progress(8, 3), published(8, 0, b"b"), Err(end)];
    let lagged = Reason::Lagged.into_status("this reader was 1000 messages behind");
    let draining = Reason::Draining.into_status("the daemon is shutting down");
    let daemon = Daemon::start(Script { read: [items(lagged), items(draining)].into(), ..Script::default() });
    expect(
        &run(ctl_at(daemon.socket(), &["read"]), daemon.dir.path()),
        1,
        "7/0  a\n8/0  b\n",
        "error: this reader was 1000 messages behind\nhint: go on with `zipnetctl read --from 8`\n",
    );
    expect(
        &run(ctl_at(daemon.socket(), &["read"]), daemon.dir.path()),
        1,
        "7/0  a\n8/0  b\n",
        "error: the daemon is shutting down\n\
         hint: start the daemon again, or wait until it is back\n",
    );
}

#[test]
fn following_survives_lag_and_repeats_nothing() {
    let first = vec![
        progress(7, 3),
        published(7, 0, b"a"),
        progress(8, 3),
        published(8, 0, b"b"),
        Err(Reason::Lagged.into_status("too slow")),
    ];
    let second = vec![progress(8, 3), published(8, 0, b"b"), published(8, 1, b"c"), progress(9, 3)];
    let daemon = Daemon::start(Script { read: [first, second].into(), ..Script::default() });
    let mut child = ctl_at(daemon.socket(), &["read", "--follow", "--from", "7"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(3);
    assert_eq!(lines.map(Result::unwrap).collect::<Vec<_>>(), ["7/0  a", "8/0  b", "8/1  c"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "too slow; trying again\n");
    let asked: Vec<_> =
        daemon.script(|script| script.reads.iter().map(|r| (r.from_round, r.follow)).collect());
    assert_eq!(asked, [(Some(7), true), (Some(8), true)]);
}

#[test]
fn following_survives_a_restart() {
    let first = vec![progress(7, 3), published(7, 0, b"a"), progress(8, 3)];
    let second = vec![progress(8, 3), published(8, 1, b"c"), progress(9, 3)];
    let mut daemon = Daemon::start(Script { read: [first].into(), ..Script::default() });
    let mut child = ctl_at(daemon.socket(), &["read", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "7/0  a");
    daemon.kill();
    daemon.restart(Script { read: [second].into(), ..Script::default() });
    assert_eq!(lines.next().unwrap().unwrap(), "8/1  c");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(daemon.script(|script| script.reads[0].from_round), Some(8));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let many: Vec<_> = (0..5_000).map(|round| published(round, 0, b"hello")).collect();
    let daemon = Daemon::start(Script { read: [many].into(), ..Script::default() });
    let mut child =
        ctl_at(daemon.socket(), &["read"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    expect(&ran(&child.wait_with_output().unwrap(), daemon.dir.path()), 0, "", "");
}
