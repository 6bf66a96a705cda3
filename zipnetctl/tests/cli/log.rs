//! `log verify`: how far it is, what is wrong, and the exit code.

use tonic::Status;
use zipnet_proto::{
    Reason,
    v1::{LogProblem, LogProgress, VerifyLogItem, VerifyLogRequest, verify_log_item::Item},
};

use crate::{
    fake::{Daemon, Script},
    run::{ctl_at, run, snapshot},
};

fn at(next_round: u64) -> Item {
    Item::Progress(LogProgress {
        server: "51".repeat(32),
        earliest_round: 1,
        latest_round: 2_400,
        first_round: 1,
        next_round,
        records: next_round - 1,
        abandoned: 3,
        signatures: 3 * (next_round - 1),
        uncounted: u64::from(next_round > 2_400),
        last_digest: if next_round > 1 { "ab".repeat(32) } else { String::new() },
    })
}

fn problem(round: u64, what: &str, text: &str) -> Item {
    Item::Problem(LogProblem { round, what: what.into(), text: text.into() })
}

fn walk(items: Vec<Item>) -> Vec<Result<VerifyLogItem, Status>> {
    items.into_iter().map(|item| Ok(VerifyLogItem { item: Some(item) })).collect()
}

#[test]
fn a_log_that_holds() {
    let items = walk([1, 65, 1_001, 1_900, 2_100, 2_401].map(at).to_vec());
    let daemon = Daemon::start(Script { walk: items, ..Script::default() });
    snapshot("log_verify", &run(ctl_at(daemon.socket(), &["log", "verify"]), daemon.dir.path()));
    assert_eq!(daemon.script(|script| script.walks.clone()), [VerifyLogRequest::default()]);
}

#[test]
fn problems_are_told_as_they_are_found_and_end_with_code_1() {
    let items = vec![
        at(1),
        problem(7, "Signature", "the signature under `record` is not one of peer 51\u{1b}[2J"),
        at(65),
        problem(70, "Fork", "this client has another record of round 70, from another server: a fork"),
        at(129),
    ];
    let daemon = Daemon::start(Script { walk: walk(items), ..Script::default() });
    let (dir, server) = (daemon.dir.path(), "51".repeat(32));
    let args = ["log", "verify", "--from", "5", "--server", &server];
    snapshot("log_verify_wrong", &run(ctl_at(daemon.socket(), &args), dir));
    let asked = VerifyLogRequest { from_round: 5, server: server.clone() };
    assert_eq!(daemon.script(|script| script.walks[0].clone()), asked);

    let ran = run(ctl_at(daemon.socket(), &["log", "verify", "--json"]), dir);
    assert_eq!(ran.code, 1);
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!((&lines[0]["last_digest"], &lines[0]["problems"]), (&().into(), &0.into()));
    assert_eq!((&lines[1]["round"], &lines[1]["what"]), (&7.into(), &"Signature".into()));
    assert_eq!((&lines[4]["next_round"], &lines[4]["problems"]), (&129.into(), &2.into()));
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["reason"], "InvalidLog");
}

#[test]
fn a_server_that_keeps_nothing_and_one_that_does_not_answer() {
    let said =
        LogProgress { server: "51".repeat(32), first_round: 1, next_round: 1, ..LogProgress::default() };
    let daemon = Daemon::start(Script { walk: walk(vec![Item::Progress(said)]), ..Script::default() });
    snapshot("log_verify_empty", &run(ctl_at(daemon.socket(), &["log", "verify"]), daemon.dir.path()));

    let status = Reason::ConnectTimeout.into_status("server 5151 does not give its log from round 1 on");
    let daemon = Daemon::start(Script { walk: vec![Err(status)], ..Script::default() });
    let ran = run(ctl_at(daemon.socket(), &["log", "verify"]), daemon.dir.path());
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""));

    let ran = run(ctl_at(daemon.socket(), &["log", "verify", "--server", "5151"]), daemon.dir.path());
    assert_eq!(ran.code, 2, "{ran:?}");
}
