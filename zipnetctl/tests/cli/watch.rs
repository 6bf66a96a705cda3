//! `watch`: lines, ends, and a daemon that restarts.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Stdio},
};

use zipnet_proto::{
    Reason,
    v1::{Message, MessageState},
};

use crate::{
    fake::{Daemon, ID, Script, at, change, message},
    run::{Ran, ctl_at, expect, ran, run},
};

const OTHER: &str = "01990000-0000-7000-8000-000000000002";

fn watch(daemon: &Daemon, args: &[&str]) -> Ran {
    run(ctl_at(daemon.socket(), &[&["watch"], args].concat()), daemon.dir.path())
}

/// A watch that is killed at the end of the test.
struct Running(Child);

impl Running {
    fn start(daemon: &Daemon, args: &[&str]) -> (Self, std::io::Lines<BufReader<ChildStdout>>) {
        let mut child = ctl_at(daemon.socket(), &[&["watch"], args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self(child), lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn other(message: Message) -> Message {
    Message { id: OTHER.into(), ..message }
}

/// Accepted after whatever begins now.
fn new(message: Message) -> Message {
    Message { accepted_at_ms: u64::MAX, ..message }
}

#[test]
fn one_line_a_change() {
    let again = Message { last_reason: "round 12 was abandoned".into(), ..message(MessageState::Queued) };
    let items = vec![
        change(None, "c0"),
        change(Some(message(MessageState::Queued)), "c1"),
        change(Some(at(MessageState::Sealed, 12, 4)), "c2"),
        change(None, "c2"),
        change(Some(again.clone()), "c3"),
        change(Some(again), "c3"),
        change(Some(new(other(at(MessageState::Published, 13, 0)))), "c4"),
    ];
    let daemon = Daemon::start(Script { watch: [items].into(), ..Script::default() });
    let (_watch, lines) = Running::start(&daemon, &[]);
    assert_eq!(
        lines.take(4).map(Result::unwrap).collect::<Vec<_>>(),
        [
            format!("{ID}  queued"),
            format!("{ID}  sealed in round 12, slot 4"),
            format!("{ID}  queued (last attempt: round 12 was abandoned)"),
            format!("{OTHER}  published in round 13, slot 0"),
        ]
    );
    assert_eq!(daemon.script(|script| script.watches[0].cursor.clone()), "");
}

#[test]
fn one_message_until_its_end() {
    let items = |end| {
        vec![change(None, "c0"), change(Some(message(MessageState::Queued)), "c1"), change(Some(end), "c2")]
    };
    let failed = Message { reason: "unknown".into(), ..at(MessageState::Failed, 12, 4) };
    let script = Script {
        watch: [items(at(MessageState::Published, 12, 4)), items(failed)].into(),
        get: [Ok(message(MessageState::Queued))].into(),
        ..Script::default()
    };
    let daemon = Daemon::start(script);
    expect(&watch(&daemon, &[ID]), 0, &format!("{ID}  queued\n{ID}  published in round 12, slot 4\n"), "");
    expect(
        &watch(&daemon, &[ID]),
        5,
        &format!("{ID}  queued\n{ID}  failed in round 12, slot 4: unknown\n"),
        &format!(
            "error: message {ID} failed: unknown\n\
             hint: it may be published or not: look for it with `zipnetctl read` before you send it again\n"
        ),
    );
    assert_eq!(daemon.script(|script| script.watches[0].message_id.clone()), ID);
}

#[test]
fn a_message_that_has_ended_already_is_told_and_not_waited_for() {
    let script = Script {
        watch: [vec![change(None, "c0")]].into(),
        get: [Ok(at(MessageState::Published, 12, 4))].into(),
        ..Script::default()
    };
    let daemon = Daemon::start(script);
    expect(&watch(&daemon, &[ID]), 0, &format!("{ID}  published in round 12, slot 4\n"), "");
}

#[test]
fn goes_on_after_a_restart_and_tells_nothing_twice() {
    let first = vec![change(None, "c0"), change(Some(message(MessageState::Queued)), "c1")];
    // The new daemon tells everything that it remembers.
    let second = vec![
        change(None, "d0"),
        change(Some(Message { id: "old".into(), ..at(MessageState::Published, 3, 1) }), "d1"),
        change(Some(message(MessageState::Queued)), "d2"),
        change(Some(new(other(at(MessageState::Published, 13, 0)))), "d3"),
        change(Some(at(MessageState::Published, 14, 1)), "d4"),
    ];
    let mut daemon = Daemon::start(Script { watch: [first].into(), ..Script::default() });
    let (_watch, mut lines) = Running::start(&daemon, &[]);
    assert_eq!(lines.next().unwrap().unwrap(), format!("{ID}  queued"));
    daemon.kill();
    daemon.restart(Script { watch: [second].into(), ..Script::default() });
    assert_eq!(lines.next().unwrap().unwrap(), format!("{OTHER}  published in round 13, slot 0"));
    assert_eq!(lines.next().unwrap().unwrap(), format!("{ID}  published in round 14, slot 1"));
    assert_eq!(daemon.script(|script| script.watches[0].cursor.clone()), "c1");
}

#[test]
fn a_cursor_goes_on_where_an_earlier_watch_ended() {
    let items = vec![change(None, "c7"), change(Some(at(MessageState::Published, 3, 1)), "c8")];
    let daemon = Daemon::start(Script { watch: [items].into(), ..Script::default() });
    let (_watch, mut lines) = Running::start(&daemon, &["--cursor", "c6", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((line["cursor"].as_str(), line["id"].as_str()), (Some("c8"), Some(ID)));
    assert_eq!((line["state"].as_str(), line["round"].as_u64()), (Some("published"), Some(3)));
    assert_eq!(daemon.script(|script| script.watches[0].cursor.clone()), "c6");
}

#[test]
fn lag_is_sat_out_and_a_refusal_is_not() {
    let lagged = Reason::Lagged.into_status("this reader was 1000 changes behind");
    let first = vec![change(None, "c1"), Err(lagged)];
    let second = vec![change(None, "c1"), change(Some(at(MessageState::Published, 12, 4)), "c2")];
    let script = Script {
        watch: [first, second].into(),
        get: [Ok(message(MessageState::Queued))].into(),
        ..Script::default()
    };
    let daemon = Daemon::start(script);
    expect(
        &watch(&daemon, &[ID]),
        0,
        &format!("{ID}  published in round 12, slot 4\n"),
        "this reader was 1000 changes behind; trying again\n",
    );
    assert_eq!(daemon.script(|script| script.watches[1].cursor.clone()), "c1");

    let unknown = Reason::NotFound.into_status("no message has this id");
    daemon.script(|script| script.watch = [vec![Err(unknown)]].into());
    let ran = watch(&daemon, &["none"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let items = (0..5_000).map(|n| {
        change(Some(Message { id: format!("{n}"), ..message(MessageState::Queued) }), &n.to_string())
    });
    let daemon = Daemon::start(Script { watch: [items.collect()].into(), ..Script::default() });
    let mut child =
        ctl_at(daemon.socket(), &["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    expect(&ran(&child.wait_with_output().unwrap(), daemon.dir.path()), 0, "", "");
}
