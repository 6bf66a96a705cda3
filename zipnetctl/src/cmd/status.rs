//! `status`: one screen.

use serde::Serialize;
use zipnet_proto::v1::{QueueCounts, StatusResponse};

use super::Context;
use crate::{failure::Failure, text};

#[derive(Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "the fields of StatusResponse")]
struct Shown<'a> {
    instance: &'a str,
    deployment: Option<&'a str>,
    pinned: bool,
    universe: &'a str,
    gossip: &'a str,
    client_id: Option<&'a str>,
    peer_id: &'a str,
    identity: Option<&'a str>,
    state: &'a str,
    why: Option<&'a str>,
    registered: bool,
    connected_since_ms: Option<u64>,
    round: u64,
    round_at_ms: Option<u64>,
    participants: u32,
    participants_low_1h: Option<u32>,
    min_anonymity: u32,
    servers: &'a [String],
    servers_total: u32,
    min_servers: u32,
    slots: u32,
    slot_bytes: u32,
    max_payload: u32,
    queue: Queue,
    oldest_age_ms: Option<u64>,
    warnings: &'a [String],
    version: &'a str,
    paused: bool,
    draining: bool,
    cadence: u32,
    now_ms: u64,
    started_at_ms: u64,
    store_bytes: Option<u64>,
    disk_free_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Queue {
    queued: u32,
    reserved: u32,
    sealed: u32,
    published: u32,
    cancelled: u32,
    expired: u32,
    failed: u32,
}

pub(crate) async fn run(context: &mut Context) -> Result<(), Failure> {
    let status = context.connect().await?.status().await?;
    if context.out.json() { context.out.object(&json(&status)) } else { context.out.table(&rows(&status)) }
}

fn json(s: &StatusResponse) -> Shown<'_> {
    let q = s.queue.unwrap_or_default();
    Shown {
        instance: &s.instance,
        deployment: text::some(&s.deployment),
        pinned: s.pinned,
        universe: &s.universe,
        gossip: &s.gossip,
        client_id: text::some(&s.client_id),
        peer_id: &s.peer_id,
        identity: text::some(&s.identity),
        state: &s.state,
        why: text::some(&s.why),
        registered: s.registered,
        connected_since_ms: s.connected_since_ms,
        round: s.round,
        round_at_ms: s.round_at_ms,
        participants: s.participants,
        participants_low_1h: s.participants_low_1h,
        min_anonymity: s.min_anonymity,
        servers: &s.servers,
        servers_total: s.servers_total,
        min_servers: s.min_servers,
        slots: s.slots,
        slot_bytes: s.slot_bytes,
        max_payload: s.max_payload,
        queue: Queue {
            queued: q.queued,
            reserved: q.reserved,
            sealed: q.sealed,
            published: q.published,
            cancelled: q.cancelled,
            expired: q.expired,
            failed: q.failed,
        },
        oldest_age_ms: s.oldest_age_ms,
        warnings: &s.warnings,
        version: &s.version,
        paused: s.paused,
        draining: s.draining,
        cadence: s.cadence,
        now_ms: s.now_ms,
        started_at_ms: s.started_at_ms,
        store_bytes: s.store_bytes,
        disk_free_bytes: s.disk_free_bytes,
    }
}

/// What has no value yet is said to be so, and nothing is invented.
fn rows(s: &StatusResponse) -> Vec<(&'static str, String)> {
    let known = !s.deployment.is_empty();
    let or_not_yet = |text: &str| if text.is_empty() { "not known yet".into() } else { text::tame(text) };
    let mut rows = vec![("state", state(s))];
    if !s.why.is_empty() {
        rows.push(("", text::tame(&s.why)));
    }
    rows.push(("instance", text::tame(&s.instance)));
    let pin = if s.pinned { "pinned" } else { "unpinned, taken on the bootstrap peer's word" };
    rows.push((
        "deployment",
        if known { format!("{} ({pin})", text::tame(&s.deployment)) } else { or_not_yet("") },
    ));
    rows.push(("universe", format!("{}, gossip {}", text::tame(&s.universe), or_not_yet(&s.gossip))));
    rows.push(("client id", or_not_yet(&s.client_id)));
    rows.push(("peer id", or_not_yet(&s.peer_id)));
    rows.push(("identity", identity(&s.identity)));
    if let Some(since) = s.connected_since_ms {
        rows.push(("connected", format!("since {}", text::moment(since))));
    }
    if known {
        let at = s.round_at_ms.map(|at| format!(", opened {}", text::moment(at))).unwrap_or_default();
        rows.push(("round", format!("{}{at}", s.round)));
        let low = s.participants_low_1h.map(|n| format!("lowest in the last hour {n}, ")).unwrap_or_default();
        rows.push((
            "participants",
            format!("{} ({low}at least {} to send)", s.participants, s.min_anonymity),
        ));
        let named = s.servers.len();
        rows.push((
            "servers",
            format!("{named} of {} (at least {} to send)", s.servers_total, s.min_servers),
        ));
        rows.extend(s.servers.iter().map(|peer| ("", text::tame(peer))));
        let longest = text::count(s.max_payload, "byte");
        rows.push((
            "slots",
            format!("{} of {} bytes, a message has at most {longest}", s.slots, s.slot_bytes),
        ));
    }
    let q = s.queue.unwrap_or_default();
    rows.push(("queue", queue(&q, s.oldest_age_ms)));
    rows.push(("ended", ended(&q)));
    if let Some(store) = store(s) {
        rows.push(("store", store));
    }
    let started = if s.started_at_ms == 0 {
        String::new()
    } else {
        format!(", started {}", text::moment(s.started_at_ms))
    };
    rows.push(("version", text::tame(&s.version) + &started));
    rows.extend(s.warnings.iter().map(|warning| ("warning", text::tame(warning))));
    rows
}

fn state(s: &StatusResponse) -> String {
    let registered = if s.registered { "registered" } else { "not registered" };
    let paused = if s.paused { ", paused" } else { "" };
    let draining = if s.draining { ", draining" } else { "" };
    format!("{}, {registered}{paused}{draining}", text::tame(&s.state))
}

/// What the daemon says about its identity, and what that means for whoever looks on.
pub(super) fn identity(said: &str) -> String {
    match said {
        "" => "not known: this zipnetd does not say".to_owned(),
        "fresh" => "fresh for this run: runs cannot be linked".to_owned(),
        sealed => format!("{}: the same in every run", text::tame(sealed)),
    }
}

fn store(s: &StatusResponse) -> Option<String> {
    let free = s.disk_free_bytes.map(|bytes| format!("{} free on its disk", text::size(bytes)));
    let used = s.store_bytes.map(text::size);
    match (used, free) {
        (Some(used), Some(free)) => Some(format!("{used}, {free}")),
        (one, other) => one.or(other),
    }
}

fn queue(q: &QueueCounts, oldest_age_ms: Option<u64>) -> String {
    let counts = format!("{} queued, {} reserved, {} sealed", q.queued, q.reserved, q.sealed);
    match oldest_age_ms {
        Some(age) => format!("{counts}; the oldest is {} old", text::span(age)),
        None => counts,
    }
}

fn ended(q: &QueueCounts) -> String {
    format!(
        "{} published, {} cancelled, {} expired, {} failed",
        q.published, q.cancelled, q.expired, q.failed
    )
}
