//! The texts of what the daemon refuses; those of not reaching it are in `connect.rs`.

use std::time::Duration;

use tonic::Status;
use zipnet_proto::Reason;

use crate::{
    fake::{Daemon, ID, Script, progress},
    run::{ctl_at, run, snapshot},
};

#[test]
fn a_message_that_is_not_taken() {
    let daemon = Daemon::start(Script::default());
    let full = Reason::QueueFull
        .into_status_retry("10000 messages are queued, at most 10000", Duration::from_secs(3));
    for (name, status) in [
        ("queue_full", full),
        ("too_long", Reason::MessageTooLong.into_status("the message has 241 bytes, a slot holds 240")),
        ("paused", Reason::Paused.into_status("sending is paused")),
        ("draining", Reason::Draining.into_status("the daemon is on its way down")),
        ("request_id_reused", Reason::RequestIdReused.into_status("r-1 named another payload")),
        ("instance_unknown", Reason::InstanceUnknown.into_status("acme.mainnet is not found yet")),
        ("store_full", Reason::StoreFull.into_status("the message could not be kept: no room on the disk")),
    ] {
        daemon.script(|script| script.send = Some(status));
        snapshot(name, &run(ctl_at(daemon.socket(), &["send", "x"]), daemon.dir.path()));
    }
}

#[test]
fn a_message_that_is_not_shown() {
    let daemon = Daemon::start(Script::default());
    let unknown = Reason::NotFound.into_status(format!("no message has the id {ID}"));
    let foreign = Reason::NotYours.into_status(format!("message {ID} was sent by another user"));
    for (name, status) in [
        ("unknown_id", unknown),
        ("somebody_elses_id", foreign),
        ("version_mismatch", Status::unimplemented("")),
        ("daemon_failed", Status::internal("a bug")),
    ] {
        daemon.script(|script| {
            script.get = [Err(status.clone())].into();
            script.cancel = Some(Err(status.clone()));
            script.receipt = Some(Err(status));
        });
        let ran = run(ctl_at(daemon.socket(), &["show", ID]), daemon.dir.path());
        snapshot(name, &ran);
        // The other two name the call.
        if !matches!(name, "daemon_failed" | "version_mismatch") {
            for args in [&["cancel", ID][..], &["show", ID, "--receipt"]] {
                assert_eq!(run(ctl_at(daemon.socket(), args), daemon.dir.path()), ran);
            }
        }
    }
}

#[test]
fn a_reader_that_is_too_slow_or_one_too_many() {
    let lagged =
        vec![progress(7, 3), Err(Reason::Lagged.into_status("this reader was 1000 messages behind"))];
    let many = vec![Err(Reason::TooManyCallers.into_status("64 readers are there, at most 64"))];
    let daemon = Daemon::start(Script { read: [lagged, many].into(), ..Script::default() });
    for name in ["lagged", "too_many_readers"] {
        snapshot(name, &run(ctl_at(daemon.socket(), &["read"]), daemon.dir.path()));
    }
}
