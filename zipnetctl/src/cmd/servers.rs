//! `servers`: who is in the current header, since when, and who can be reached from here.

use serde::Serialize;
use zipnet_proto::v1::{AggregatorState, ServerState, ServersResponse};

use super::Context;
use crate::{failure::Failure, text};

#[derive(Serialize)]
struct Shown<'a> {
    round: Option<u64>,
    round_at_ms: Option<u64>,
    min_servers: u32,
    servers: Vec<Server<'a>>,
    aggregators: Vec<Aggregator<'a>>,
}

#[derive(Serialize)]
struct Server<'a> {
    peer_id: &'a str,
    named: bool,
    since_round: Option<u64>,
    since_ms: Option<u64>,
    since_before: bool,
    reachable: bool,
}

#[derive(Serialize)]
struct Aggregator<'a> {
    peer_id: &'a str,
    reachable: bool,
}

impl<'a> From<&'a ServerState> for Server<'a> {
    fn from(s: &'a ServerState) -> Self {
        let ServerState { peer_id, named, since_round, since_ms, since_before, reachable } = s;
        Self {
            peer_id,
            named: *named,
            since_round: *since_round,
            since_ms: *since_ms,
            since_before: *since_before,
            reachable: *reachable,
        }
    }
}

impl<'a> From<&'a AggregatorState> for Aggregator<'a> {
    fn from(a: &'a AggregatorState) -> Self {
        Self { peer_id: &a.peer_id, reachable: a.reachable }
    }
}

pub(crate) async fn run(context: &mut Context) -> Result<(), Failure> {
    let answer = context.connect().await?.servers().await?;
    if context.out.json() { context.out.object(&json(&answer)) } else { context.out.table(&rows(&answer)) }
}

fn json(answer: &ServersResponse) -> Shown<'_> {
    Shown {
        round: answer.round,
        round_at_ms: answer.round_at_ms,
        min_servers: answer.min_servers,
        servers: answer.servers.iter().map(Server::from).collect(),
        aggregators: answer.aggregators.iter().map(Aggregator::from).collect(),
    }
}

fn rows(answer: &ServersResponse) -> Vec<(&'static str, String)> {
    let round = match (answer.round, answer.round_at_ms) {
        (Some(round), Some(at)) => format!("{round}, opened {}", text::moment(at)),
        (Some(round), None) => round.to_string(),
        (None, _) => "none was seen since the daemon's start".to_owned(),
    };
    let named = answer.servers.iter().filter(|s| s.named).count();
    let (all, needed) = (answer.servers.len(), answer.min_servers);
    let mut rows = vec![("round", round)];
    rows.push(("servers", format!("{named} of {all} in its header (at least {needed} to send)")));
    rows.extend(answer.servers.iter().map(|s| ("", server(s))));
    let word = if answer.aggregators.is_empty() { "none is known".to_owned() } else { String::new() };
    let mut aggregators = answer.aggregators.iter().map(aggregator);
    rows.push(("aggregators", aggregators.next().unwrap_or(word)));
    rows.extend(aggregators.map(|line| ("", line)));
    rows
}

fn reach(reachable: bool) -> &'static str {
    if reachable { "reachable" } else { "not reachable" }
}

fn server(s: &ServerState) -> String {
    let since = match (s.since_round, s.since_ms) {
        (Some(round), Some(at)) => {
            let word = if s.named { "in" } else { "out" };
            let before = if s.since_before { " or before" } else { "" };
            format!("{word} since round {round}{before}, {}", text::moment(at))
        }
        _ => "not known yet".to_owned(),
    };
    format!("{}  {}; {since}", text::tame(&s.peer_id), reach(s.reachable))
}

fn aggregator(a: &AggregatorState) -> String {
    format!("{}  {}", text::tame(&a.peer_id), reach(a.reachable))
}
