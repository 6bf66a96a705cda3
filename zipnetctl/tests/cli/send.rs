//! `send` without waiting, `show`, refusals and usage errors.

use std::{fmt::Write, time::Duration};

use zipnet_proto::{MAX_PAYLOAD_BYTES, Reason, v1::MessageState};

use crate::{
    fake::{Daemon, ID, Script, at, message},
    run::{ctl_at, expect, run, run_with},
};

#[test]
fn prints_the_id_alone() {
    let daemon = Daemon::start(Script::default());
    let ran = run(ctl_at(daemon.socket(), &["send", "hello", "--ttl", "2m"]), daemon.dir.path());
    expect(&ran, 0, &format!("{ID}\n"), "");
    let ran = run(ctl_at(daemon.socket(), &["send", "hello", "--request-id", "mine"]), daemon.dir.path());
    expect(&ran, 0, &format!("{ID}\n"), "");

    let sent = daemon.script(|script| script.sent.clone());
    assert_eq!(sent[0].payload, b"hello");
    assert_eq!(sent[0].ttl_ms, Some(120_000));
    let made = sent[0].request_id.clone().unwrap();
    assert_eq!((made.len(), &made[14..15]), (36, "7"), "a UUIDv7: {made}");
    assert_eq!((sent[1].request_id.as_deref(), sent[1].ttl_ms), (Some("mine"), None));
}

#[test]
fn standard_input_is_sent_to_the_last_byte() {
    let daemon = Daemon::start(Script::default());
    let dir = daemon.dir.path();
    expect(&run_with(ctl_at(daemon.socket(), &["send"]), dir, b"line\n"), 0, &format!("{ID}\n"), "");
    expect(&run_with(ctl_at(daemon.socket(), &["send", "-"]), dir, b"\xff\0"), 0, &format!("{ID}\n"), "");
    expect(&run_with(ctl_at(daemon.socket(), &["send", "-"]), dir, b""), 0, &format!("{ID}\n"), "");
    expect(&run_with(ctl_at(daemon.socket(), &["send", ""]), dir, b"unread"), 0, &format!("{ID}\n"), "");
    let sent: Vec<_> = daemon.script(|script| script.sent.iter().map(|s| s.payload.clone()).collect());
    assert_eq!(sent, [b"line\n".to_vec(), b"\xff\0".to_vec(), vec![], vec![]]);
}

#[test]
fn nothing_to_send_and_too_much_never_reach_the_daemon() {
    let daemon = Daemon::start(Script::default());
    expect(
        &run(ctl_at(daemon.socket(), &["send"]), daemon.dir.path()),
        2,
        "",
        "error: nothing to send: no text was given and standard input is a terminal or empty\n\
         hint: zipnetctl send \"some text\", or pipe the message in; an empty message is \"\"\n",
    );
    let huge = vec![b'x'; MAX_PAYLOAD_BYTES + 1];
    expect(
        &run_with(ctl_at(daemon.socket(), &["send"]), daemon.dir.path(), &huge),
        1,
        "",
        "error: the message has more than 261120 bytes, no deployment takes that\n\
         hint: split it; `zipnetctl status` shows the longest message that fits, and nothing was queued\n",
    );
    assert!(daemon.script(|script| script.sent.is_empty()));
    let edge = run_with(ctl_at(daemon.socket(), &["send"]), daemon.dir.path(), &huge[1..]);
    expect(&edge, 0, &format!("{ID}\n"), "");
}

#[test]
fn json_and_a_repeated_request() {
    let daemon = Daemon::start(Script { duplicate: true, ..Script::default() });
    let args = ["send", "hello", "--request-id", "r-1"];
    expect(
        &run(ctl_at(daemon.socket(), &args), daemon.dir.path()),
        0,
        &format!("{ID}\n"),
        "this request id was sent before: it is that message's id, nothing new was queued\n",
    );
    expect(
        &run(ctl_at(daemon.socket(), &[&args[..], &["--json"]].concat()), daemon.dir.path()),
        0,
        &format!("{{\"message_id\":\"{ID}\",\"request_id\":\"r-1\",\"duplicate\":true}}\n"),
        "",
    );
}

/// The exit code and the hint of every reason: a table to be read, and changed on purpose only.
#[test]
fn every_reason_has_its_exit_code_and_hint() {
    let daemon = Daemon::start(Script::default());
    let mut table = String::new();
    for &reason in Reason::ALL {
        daemon.script(|script| script.send = Some(reason.into_status("no.")));
        let ran = run(ctl_at(daemon.socket(), &["send", "x"]), daemon.dir.path());
        assert_eq!(ran.stdout, "");
        let hint = ran.stderr.strip_prefix("error: no.\nhint: ").unwrap();
        write!(table, "{} {reason}: {hint}", ran.code).unwrap();
    }
    let expected = "\
1 InvalidRequest: `zipnetctl --help` describes what can be asked
1 MessageTooLong: split it; `zipnetctl status` shows the longest message that fits, and nothing was queued
1 RequestIdReused: one request id names one message: leave --request-id away to send another, nothing was queued
1 QueueFull: messages leave with the rounds, `zipnetctl status` says why if they do not; nothing was queued
1 TooManyCallers: end other readers of this daemon first
1 InstanceUnknown: the daemon has not found its instance yet: `zipnetctl status` shows its name, check it for typos; \
nothing was queued
3 ConnectTimeout: check the instance's name for typos (ZIPNET_INSTANCE) and that its bootstrap peer can be reached
1 Unpinned: name the deployment: ZIPNET_INSTANCE=\"name#id\", with the id that the operators publish
1 Draining: start the daemon again, or wait until it is back
1 Paused: the operator paused sending, `zipnetctl resume` ends that; messages already queued are kept
1 NotFound: the id is the line that `zipnetctl send` printed; only the daemon that took it knows it
4 NotYours: only the user who sent a message may see it, besides root and the daemon's own user, who alone may drain, \
pause and set the log level
1 Lagged: read faster, or less: --from names the first round
1 StoreLocked: another zipnetd uses the same state directory: stop it, or set ZIPNET_STATE_DIR
1 StoreCorrupt: the daemon's log names the folder where the damaged store was put
1 StoreFull: free some space where the state directory is; what was accepted before is kept
1 StoreFailed: look at the disk and at the daemon's log, then start the daemon again; what was accepted before is kept
1 VersionMismatch: install the same version of zipnetctl and zipnetd; `zipnetctl version` shows both
";
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn a_refusal_as_json_and_with_a_time_to_retry() {
    let full = Reason::QueueFull
        .into_status_retry("10000 messages are queued, at most 10000", Duration::from_secs(3));
    let daemon = Daemon::start(Script { send: Some(full), ..Script::default() });
    let hint = "messages leave with the rounds, `zipnetctl status` says why if they do not; nothing was queued; try \
                again in 3s";
    expect(
        &run(ctl_at(daemon.socket(), &["send", "x"]), daemon.dir.path()),
        1,
        "",
        &format!("error: 10000 messages are queued, at most 10000\nhint: {hint}\n"),
    );
    expect(
        &run(ctl_at(daemon.socket(), &["send", "x", "--json"]), daemon.dir.path()),
        1,
        "",
        &format!(
            "{{\"error\":\"10000 messages are queued, at most 10000\",\"reason\":\"QueueFull\",\"hint\":\"{hint}\",\
             \"retry_after_ms\":3000}}\n"
        ),
    );
}

#[test]
fn a_daemon_of_another_version_and_one_that_fails() {
    let daemon = Daemon::start(Script::default());
    daemon.script(|script| script.get = [Err(tonic::Status::unimplemented("no Get here"))].into());
    expect(
        &run(ctl_at(daemon.socket(), &["show", ID]), daemon.dir.path()),
        1,
        "",
        "error: no Get here\n\
         hint: install the same version of zipnetctl and zipnetd; `zipnetctl version` shows both\n",
    );
    daemon.script(|script| script.get = [Err(tonic::Status::internal("a bug\u{1b}[2J"))].into());
    expect(
        &run(ctl_at(daemon.socket(), &["show", ID, "--json"]), daemon.dir.path()),
        1,
        "",
        "{\"error\":\"the daemon failed at Get: a bug\\\\u{1b}[2J (Internal)\",\"reason\":\"DaemonFailed\",\
         \"hint\":\"the daemon's log may say more\"}\n",
    );
}

#[test]
fn show_tells_the_whole_story() {
    let mut waiting = message(MessageState::Queued);
    waiting.attempts = 1;
    waiting.last_reason = "round 11 was abandoned".into();
    waiting.next_step = "reserves in round 14".into();
    waiting.next_at_ms = Some(1_770_000_060_000);
    let daemon = Daemon::start(Script { get: [Ok(waiting)].into(), ..Script::default() });
    let dir = daemon.dir.path();
    expect(
        &run(ctl_at(daemon.socket(), &["show", ID]), dir),
        0,
        "\
id            01990000-0000-7000-8000-000000000001
state         queued
request id    r-1
length        5 bytes
accepted      2026-02-02T02:40:00Z
attempts      1
expires       2026-02-02T02:50:00Z
last attempt  round 11 was abandoned
next          reserves in round 14, 2026-02-02T02:41:00Z
",
        "",
    );
    assert_eq!(daemon.script(|script| script.got[0].message_id.clone()), ID);

    daemon.script(|script| script.get = [Ok(at(MessageState::Published, 14, 3))].into());
    expect(
        &run(ctl_at(daemon.socket(), &["show", ID]), dir),
        0,
        "\
id          01990000-0000-7000-8000-000000000001
state       published in round 14, slot 3
request id  r-1
length      5 bytes
accepted    2026-02-02T02:40:00Z
attempts    1
",
        "",
    );
    expect(
        &run(ctl_at(daemon.socket(), &["--json", "show", ID]), dir),
        0,
        "{\"id\":\"01990000-0000-7000-8000-000000000001\",\"request_id\":\"r-1\",\"state\":\"published\",\
         \"reason\":null,\"round\":14,\"slot\":3,\"accepted_at_ms\":1770000000000,\"expires_at_ms\":1770000600000,\
         \"attempts\":1,\"length\":5,\"last_reason\":null,\"next_step\":null,\"next_at_ms\":null,\"receipt\":false,\"uid\":0}\n",
        "",
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let daemon = Daemon::start(Script::default());
    for args in [
        &["send", "x", "--timeout", "5s"][..],
        &["send", "x", "--ttl", "0s"],
        &["send", "x", "--ttl", "soon"],
        &["send", "x", "--request-id", "two words"],
        &["read", "--from", "-1"],
        &["show"],
        &["sned"],
        &[],
    ] {
        let ran = run(ctl_at(daemon.socket(), args), daemon.dir.path());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("Usage:") || ran.stderr.contains("--help"), "{args:?}: {}", ran.stderr);
    }
    expect(
        &run(ctl_at(daemon.socket(), &["send", "x", "--json", "--request-id", ""]), daemon.dir.path()),
        2,
        "",
        "{\"error\":\"invalid value '' for '--request-id <ID>': a request id has 1 to 64 printable ASCII characters and no \
         blanks\",\"reason\":\"Usage\",\"hint\":null}\n",
    );
    assert!(daemon.script(|script| script.sent.is_empty()));
    let help = run(ctl_at(daemon.socket(), &["send", "--help"]), daemon.dir.path());
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("`ps`"), "the help of send warns that argv is seen: {}", help.stdout);
}
