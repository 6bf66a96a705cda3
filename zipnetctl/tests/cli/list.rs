//! `list`: pages, states, and the table.

use zipnet_proto::{
    MAX_LIST_PAGE, Reason,
    v1::{ListRequest, ListResponse, Message, MessageState},
};

use crate::{
    fake::{Daemon, Script, at, message},
    run::{Ran, ctl_at, expect, run, snapshot},
};

fn pages() -> Script {
    let waits = Message {
        id: "01990000-0000-7000-8000-000000000002".into(),
        attempts: 1,
        last_reason: "round 11 was abandoned\u{1b}[0m".into(),
        length: 240,
        ..message(MessageState::Queued)
    };
    let failed = Message {
        id: "01990000-0000-7000-8000-000000000003".into(),
        reason: "exposed".into(),
        uid: 1000,
        ..at(MessageState::Failed, 12, 1)
    };
    let first = ListResponse {
        messages: vec![at(MessageState::Published, 12, 4), waits],
        next_page: "second".into(),
    };
    let second = ListResponse { messages: vec![failed], next_page: String::new() };
    Script { list: [Ok(first), Ok(second)].into(), ..Script::default() }
}

fn list(daemon: &Daemon, args: &[&str]) -> Ran {
    run(ctl_at(daemon.socket(), &[&["list"], args].concat()), daemon.dir.path())
}

#[test]
fn a_table_through_all_pages() {
    let daemon = Daemon::start(pages());
    snapshot("list", &list(&daemon, &[]));
    let all = ListRequest { states: vec![], limit: MAX_LIST_PAGE, page: String::new() };
    let next = ListRequest { page: "second".into(), ..all.clone() };
    assert_eq!(daemon.script(|script| std::mem::take(&mut script.lists)), [all, next]);

    daemon.script(|script| script.list = [Ok(ListResponse::default())].into());
    expect(&list(&daemon, &[]), 0, "", "no messages\n");
}

#[test]
fn one_object_a_line() {
    let daemon = Daemon::start(pages());
    let ran = list(&daemon, &["--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |field: &str| lines.iter().map(|line| line[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("state"), ["published", "queued", "failed"]);
    assert_eq!(of("uid"), [0, 0, 1000]);
    assert_eq!(of("receipt"), [false, false, false]);
    daemon.script(|script| script.list = [Ok(ListResponse::default())].into());
    expect(&list(&daemon, &["--json"]), 0, "", "");
}

#[test]
fn only_so_many_and_only_in_these_states() {
    let daemon = Daemon::start(pages());
    let ran = list(&daemon, &["--limit", "2", "--state", "queued", "--state", "failed", "--json"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 2), "{}", ran.stderr);
    let states = vec![MessageState::Queued.into(), MessageState::Failed.into()];
    let asked = ListRequest { states, limit: 2, page: String::new() };
    assert_eq!(daemon.script(|script| std::mem::take(&mut script.lists)), [asked], "no page too many");

    // What is left is asked for, and a daemon that gives more is cut.
    daemon.script(|script| script.list = pages().list);
    daemon.script(|script| script.list[1].as_mut().unwrap().messages.push(message(MessageState::Queued)));
    assert_eq!(list(&daemon, &["--limit", "3", "--json"]).stdout.lines().count(), 3);
    assert_eq!(daemon.script(|script| script.lists[1].limit), 1);
    assert_eq!(list(&daemon, &["--limit", "0"]).code, 2);
    assert_eq!(list(&daemon, &["--state", "lost"]).code, 2);
}

#[test]
fn pages_that_do_not_end_are_an_error() {
    let again = || ListResponse { messages: vec![], next_page: "same".into() };
    let daemon = Daemon::start(Script { list: [Ok(again()), Ok(again())].into(), ..Script::default() });
    expect(
        &list(&daemon, &[]),
        1,
        "",
        "error: the daemon failed at List: it names the page same again (Internal)\n\
         hint: the daemon's log may say more\n",
    );
    let lost = Reason::InvalidRequest.into_status("no page is named so");
    daemon.script(|script| script.list = [Err(lost)].into());
    assert_eq!(list(&daemon, &[]).code, 1);
}
