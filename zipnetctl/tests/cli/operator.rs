//! `cancel`, `drain`, `pause`, `resume`, `log-level`.

use zipnet_proto::{
    Reason,
    v1::{CancelResponse, MessageState},
};

use crate::{
    fake::{Daemon, ID, Script, at, message},
    run::{Ran, ctl_at, expect, run, snapshot},
};

fn ask(daemon: &Daemon, args: &[&str]) -> Ran {
    run(ctl_at(daemon.socket(), args), daemon.dir.path())
}

fn orders(daemon: &Daemon) -> Vec<String> {
    daemon.script(|script| std::mem::take(&mut script.orders))
}

#[test]
fn cancelled_before_it_is_sealed_and_too_late_after() {
    let answer = |cancelled, message| Some(Ok(CancelResponse { cancelled, message: Some(message) }));
    let daemon = Daemon::start(Script::default());
    daemon.script(|script| script.cancel = answer(true, message(MessageState::Cancelled)));
    expect(&ask(&daemon, &["cancel", ID]), 0, "cancelled\n", "");
    assert_eq!(orders(&daemon), [format!("cancel {ID}")]);
    let json = ask(&daemon, &["cancel", ID, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["cancelled"], &json["message"]["state"]),
        (&true.into(), &serde_json::Value::from("cancelled"))
    );

    daemon.script(|script| script.cancel = answer(false, message(MessageState::Cancelled)));
    expect(&ask(&daemon, &["cancel", ID]), 0, "cancelled\n", "it was cancelled before\n");

    daemon.script(|script| script.cancel = answer(false, message(MessageState::Queued)));
    snapshot("cancel_too_early", &ask(&daemon, &["cancel", ID]));

    daemon.script(|script| script.cancel = answer(false, at(MessageState::Sealed, 12, 4)));
    snapshot("cancel_too_late", &ask(&daemon, &["cancel", ID]));
    let json = ask(&daemon, &["cancel", ID, "--json"]);
    assert_eq!((json.code, json.stdout.as_str()), (1, ""));
    assert!(json.stderr.contains("\"reason\":\"TooLate\""), "{}", json.stderr);
}

#[test]
fn drained_in_good_order_or_at_once() {
    let daemon = Daemon::start(Script::default());
    expect(&ask(&daemon, &["drain"]), 0, "draining; the daemon ends within 1m 31s\n", "");
    expect(&ask(&daemon, &["drain", "--now"]), 0, "draining; the daemon ends within 1s\n", "");
    expect(&ask(&daemon, &["drain", "--json"]), 0, "{\"grace_ms\":90001}\n", "");
    assert_eq!(orders(&daemon), ["drain false", "drain true", "drain false"]);
}

#[test]
fn paused_and_resumed() {
    let daemon = Daemon::start(Script::default());
    let paused = "paused: only cover leaves until `zipnetctl resume`, or a restart\n";
    expect(&ask(&daemon, &["pause"]), 0, paused, "");
    expect(&ask(&daemon, &["pause"]), 0, "it was paused already\n", "");
    expect(&ask(&daemon, &["resume"]), 0, "resumed\n", "");
    expect(&ask(&daemon, &["resume"]), 0, "it was not paused\n", "");
    expect(&ask(&daemon, &["pause", "--json"]), 0, "{\"paused\":true,\"was\":false}\n", "");
    assert_eq!(
        orders(&daemon),
        ["paused true", "paused true", "paused false", "paused false", "paused true"]
    );
}

#[test]
fn the_log_level_is_set_and_set_back() {
    let daemon = Daemon::start(Script::default());
    expect(&ask(&daemon, &["log-level", "info,zipnetd=trace"]), 0, "info,zipnetd=trace\n", "");
    expect(&ask(&daemon, &["log-level"]), 0, "info\n", "");
    expect(&ask(&daemon, &["log-level", "--json"]), 0, "{\"filter\":\"info\"}\n", "");
    assert_eq!(orders(&daemon), ["log info,zipnetd=trace", "log ", "log "]);
}

#[test]
fn who_may_not_is_told_so() {
    let no = Reason::NotYours.into_status("uid 1000 may not do this");
    let daemon = Daemon::start(Script { forbidden: Some(no), ..Script::default() });
    for args in [&["drain"][..], &["pause"], &["resume"], &["log-level", "debug"]] {
        snapshot("operator_only", &ask(&daemon, args));
    }
}
