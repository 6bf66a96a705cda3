//! `send --wait`: every end, and a daemon that dies meanwhile.

use std::process::Stdio;

use zipnet_proto::v1::{Message, MessageState};

use crate::{
    fake::{Daemon, ID, Script, at, message},
    run::{Ran, ctl_at, expect, ran, run},
};

fn script(states: Vec<Message>) -> Script {
    Script { get: states.into_iter().map(Ok).collect(), ..Script::default() }
}

fn wait(daemon: &Daemon, args: &[&str]) -> Ran {
    run(ctl_at(daemon.socket(), &[&["send", "hello", "--wait"], args].concat()), daemon.dir.path())
}

#[test]
fn tells_the_states_until_it_is_published() {
    let states = || {
        vec![
            message(MessageState::Queued),
            message(MessageState::Queued),
            message(MessageState::Reserved),
            at(MessageState::Sealed, 12, 4),
            at(MessageState::Published, 12, 4),
        ]
    };
    let daemon = Daemon::start(script(states()));
    // The second answer comes after a wait without a change, which the fake draws out: bounded by the timeout.
    daemon.script(|script| drop(script.get.remove(1)));
    expect(
        &wait(&daemon, &[]),
        0,
        &format!("{ID}\n"),
        "queued\nreserved\nsealed in round 12, slot 4\npublished in round 12, slot 4\n",
    );
    let asked = daemon.script(|script| std::mem::take(&mut script.got));
    let known: Vec<_> = asked.iter().map(zipnet_proto::v1::GetRequest::known_state).collect();
    assert_eq!(
        known,
        [MessageState::Unspecified, MessageState::Queued, MessageState::Reserved, MessageState::Sealed]
    );
    assert_eq!(asked[0].wait_ms, 0);
    assert_eq!(asked[1].wait_ms, 30_000, "one wait is at most this long");

    daemon.script(|script| script.get = vec![Ok(at(MessageState::Published, 12, 4))].into());
    expect(
        &wait(&daemon, &["--json", "--request-id", "r-1"]),
        0,
        &format!(
            "{{\"message_id\":\"{ID}\",\"request_id\":\"r-1\",\"duplicate\":false,\"state\":\"published\",\
             \"reason\":null,\"round\":12,\"slot\":4}}\n"
        ),
        "",
    );
}

#[test]
fn ended_undelivered_is_exit_code_5() {
    let failed = |reason: &str| Message { reason: reason.into(), ..at(MessageState::Failed, 12, 4) };
    let ends = [
        (
            failed("exposed"),
            "failed in round 12, slot 4: exposed\n\
             error: message ID failed: exposed\n\
             hint: it may have been read and tied to this client; it is not sent again by itself: decide\n",
        ),
        (
            failed("unknown"),
            "failed in round 12, slot 4: unknown\n\
             error: message ID failed: unknown\n\
             hint: it may be published or not: look for it with `zipnetctl read` before you send it again\n",
        ),
        (
            failed("eaten"),
            "failed in round 12, slot 4: eaten\n\
             error: message ID failed: eaten\n\
             hint: `zipnetctl show ID` tells its story\n",
        ),
        (
            message(MessageState::Expired),
            "expired\n\
             error: message ID expired\n\
             hint: it was never published; `zipnetctl status` says why nothing is sent, --ttl gives more time\n",
        ),
        (message(MessageState::Cancelled), "cancelled\nerror: message ID cancelled\n"),
    ];
    let daemon = Daemon::start(Script::default());
    for (end, stderr) in ends {
        daemon.script(|script| script.get = [Ok(end)].into());
        expect(&wait(&daemon, &[]), 5, &format!("{ID}\n"), &stderr.replace("ID", ID));
    }
    daemon.script(|script| script.get = [Ok(failed("unknown"))].into());
    let json = wait(&daemon, &["--json", "--request-id", "r-1"]);
    expect(
        &json,
        5,
        &format!(
            "{{\"message_id\":\"{ID}\",\"request_id\":\"r-1\",\"duplicate\":false,\"state\":\"failed\",\
             \"reason\":\"unknown\",\"round\":12,\"slot\":4}}\n"
        ),
        &format!(
            "{{\"error\":\"message {ID} failed: unknown\",\"reason\":\"MessageFailed\",\"hint\":\"it may be published \
             or not: look for it with `zipnetctl read` before you send it again\"}}\n"
        ),
    );
}

#[test]
fn still_queued_is_exit_code_6() {
    let daemon = Daemon::start(script(vec![message(MessageState::Queued)]));
    let error = format!(
        "error: message {ID} is still queued after 300ms\n\
         hint: it stays in the daemon's queue: `zipnetctl show {ID}` follows it, `zipnetctl status` says why nothing is \
         sent if so\n"
    );
    expect(&wait(&daemon, &["--timeout", "300ms"]), 6, &format!("{ID}\n"), &format!("queued\n{error}"));
    let error = error.replace("300ms", "0s");
    expect(&wait(&daemon, &["--timeout", "0s"]), 6, &format!("{ID}\n"), &format!("queued\n{error}"));
}

#[test]
fn a_daemon_that_dies_before_it_answers_leaves_the_request_id() {
    let daemon = Daemon::start(Script { dies_at: Some("Send"), ..Script::default() });
    let ran = run(ctl_at(daemon.socket(), &["send", "hello", "--request-id", "r-1"]), daemon.dir.path());
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""));
    let (error, hint) = ran.stderr.split_once('\n').unwrap();
    assert!(error.starts_with("error: the connection to the daemon was lost during Send: "), "{error}");
    assert_eq!(
        hint,
        "hint: it may have been accepted; sending the same again with `--request-id r-1` is safe, it is taken only once\n"
    );
}

#[test]
fn a_wait_outlives_a_restart_of_the_daemon() {
    let mut daemon =
        Daemon::start(Script { dies_at: Some("Get"), ..script(vec![message(MessageState::Queued)]) });
    let child = ctl_at(daemon.socket(), &["send", "hello", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    daemon.restart(script(vec![at(MessageState::Published, 20, 0)]));
    let ran = ran(&child.wait_with_output().unwrap(), daemon.dir.path());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, format!("{ID}\n").as_str()), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("lost the daemon, trying again; it keeps the message\n"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.ends_with("\npublished in round 20, slot 0\n"), "{}", ran.stderr);
}

#[test]
fn a_wait_ends_when_the_daemon_stays_away() {
    let daemon =
        Daemon::start(Script { dies_at: Some("Get"), ..script(vec![message(MessageState::Queued)]) });
    let ran = wait(&daemon, &["--timeout", "500ms"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, format!("{ID}\n").as_str()));
    let hint = format!("\nhint: the daemon keeps the message: `zipnetctl show {ID}` when it is back\n");
    assert!(ran.stderr.ends_with(&hint), "{}", ran.stderr);
}
