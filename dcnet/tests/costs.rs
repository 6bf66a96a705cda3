//! docs/costs.md: what a deployment costs by its parameters, computed from the parameters and the encodings that travel.
//! `UPDATE_DOCS=1` writes the tables.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use zipnet_dcnet::absence::slack;
use zipnet_dcnet::aggregate::{Aggregate, Bitmap};
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::ids::{ClientId, DeploymentId, PeerId};
use zipnet_dcnet::params::Params;
use zipnet_dcnet::record::{Record, SignedRecord};
use zipnet_dcnet::roster::{Entry, Roster};
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::{Signature, encode};
use zipnet_dcnet::wire::{Ended, Event, RosterUpdate};

const PAGE: &str = "../docs/costs.md";

/// Tag and length of a frame on a link.
const FRAME: usize = 5;
/// What a packet carries of a stream, and what it costs besides: IPv4 20, UDP 8, QUIC about 38. An assumption, not measured.
const PACKET: usize = 1_200;
const PACKET_HEADER: usize = 66;
/// 30 days.
const MONTH_MS: u64 = 30 * 24 * 3_600 * 1_000;
const SIGNATURE: Signature = Signature([0; 64]);
const PEER: PeerId = PeerId([0; 32]);
const DEPLOYMENT: DeploymentId = DeploymentId([0; 32]);

/// Bytes on the wire of a frame with this body.
fn wire(body: usize) -> usize {
    let len = FRAME + body;
    len + len.div_ceil(PACKET) * PACKET_HEADER
}

fn envelope(params: &Params) -> usize {
    encode(&Envelope { round: 0, index: 0, vector: vec![0; params.vector_bytes()] }).len()
}

fn aggregate(params: &Params, clients: u32) -> usize {
    let body = Aggregate {
        deployment: DEPLOYMENT,
        round: 0,
        header_digest: [0; 32],
        aggregator: PEER,
        participants: Bitmap::new(clients),
        vector: vec![0; params.vector_bytes()],
    };
    encode(&body).len() + SIGNATURE.0.len()
}

/// The opening of a round, one aggregator, roster as before.
fn open(servers: usize, clients: u32) -> usize {
    let header = Header {
        deployment: DEPLOYMENT,
        round: 0,
        prev: [0; 32],
        servers: vec![PEER; servers],
        aggregators: vec![PEER],
        roster: [0; 32],
        roster_len: clients,
    };
    let header = SignedHeader { header, signatures: vec![SIGNATURE; servers] };
    encode(&Event::Open { header: Box::new(header), roster: RosterUpdate::Same }).len()
}

/// A final record, in which this many slots are full, signed by all. Up to K clients all reserve.
fn ended(params: &Params, servers: usize, clients: u32, full: u32) -> usize {
    let record = Record {
        deployment: DEPLOYMENT,
        round: 0,
        header_digest: [0; 32],
        aggregate_digest: [0; 32],
        prev: [0; 32],
        participants: Bitmap::new(clients),
        servers: vec![PEER; servers],
        reservations: vec![0; clients.min(params.slots) as usize],
        messages: (0..full).map(|slot| (slot, vec![0; params.max_payload()])).collect(),
        garbled: Vec::new(),
    };
    let signed = SignedRecord { record, signatures: vec![(PEER, SIGNATURE); servers] };
    encode(&Ended::Final(Box::new(signed))).len()
}

/// What a client sends in a round: its envelope.
fn up(params: &Params) -> usize {
    wire(envelope(params))
}

/// What it receives: the opening, and the record with all signatures.
fn down(params: &Params, servers: usize, clients: u32, full: u32) -> usize {
    wire(open(servers, clients)) + wire(1 + ended(params, servers, clients, full))
}

fn per_month(bytes: usize, params: &Params) -> f64 {
    bytes as f64 * (MONTH_MS / u64::from(params.round_period_ms)) as f64
}

fn gigabytes(bytes: f64) -> String {
    format!("{:.1} GB", bytes / 1e9)
}

fn rate(bytes: usize, params: &Params) -> String {
    let bits = bytes as f64 * 8_000.0 / f64::from(params.round_period_ms);
    match bits {
        ..999_500.0 => format!("{:.0} kbit/s", bits / 1e3),
        ..999_500_000.0 => format!("{:.1} Mbit/s", bits / 1e6),
        _ => format!("{:.1} Gbit/s", bits / 1e9),
    }
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let start = digits.len() % 3;
    let mut out = digits[..start].to_owned();
    for (i, digit) in digits[start..].char_indices() {
        if i % 3 == 0 && !out.is_empty() {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Whole seconds where they are.
fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1_000) {
        format!("{} s", ms / 1_000)
    } else {
        format!("{:.1} s", ms as f64 / 1_000.0)
    }
}

/// The fewest participants with which clients talk: less the slack they are `min_anonymity` (R8, R9).
fn fewest(min_anonymity: u32) -> u32 {
    (min_anonymity..2 * min_anonymity).find(|n| n - slack(*n) >= min_anonymity).unwrap()
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(head.to_vec()) + &line(vec!["---"; head.len()]);
    for row in rows {
        assert_eq!(row.len(), head.len());
        out += &line(row.iter().map(String::as_str).collect());
    }
    out
}

/// The part of the page between its marker and the next end has to be `text`.
fn part(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let whole = fs::read_to_string(&path).unwrap();
    let marker = format!("<!-- generated: {name} -->\n");
    let start = whole.find(&marker).unwrap_or_else(|| panic!("the page has no `{marker}`")) + marker.len();
    let end = start + whole[start..].find("<!-- end -->").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [&whole[..start], text, &whole[end..]].concat()).unwrap();
    } else {
        assert_eq!(&whole[start..end], text, "docs/costs.md, {name}: run this test with UPDATE_DOCS=1");
    }
}

/// Slots, bytes of each, period, fold deadline.
fn choices() -> Vec<Params> {
    let of = |slots: u32, slot_bytes, period: u32, fold_deadline_ms| {
        let params = Params {
            slots,
            slot_bytes,
            cells: 4 * slots,
            round_period_ms: period,
            fold_deadline_ms,
            round_deadline_ms: 5 * period,
            ..Params::standard(3)
        };
        params.check(3).unwrap();
        params
    };
    vec![
        Params::standard(3),
        of(16, 256, 3_000, 2_000),
        of(64, 256, 10_000, 5_000),
        of(64, 256, 60_000, 10_000),
        of(64, 1_024, 3_000, 2_000),
        of(256, 256, 3_000, 2_000),
        of(16, 4_096, 10_000, 5_000),
        of(128, 1_024, 5_000, 3_000),
    ]
}

fn name(params: &Params) -> Vec<String> {
    let plain = |n: u32| thousands(n.into());
    vec![plain(params.slots), plain(params.slot_bytes), seconds(params.round_period_ms.into())]
}

#[test]
fn the_traffic_of_a_client_is_the_documented_one() {
    let rows: Vec<_> = choices()
        .iter()
        .map(|p| {
            let mut row = name(p);
            row.push(thousands(p.vector_bytes() as u64));
            row.push(gigabytes(per_month(up(p), p)));
            row.push(rate(up(p), p));
            row.push(gigabytes(per_month(down(p, 3, 100, 0), p)));
            row.push(gigabytes(per_month(down(p, 3, 100, p.slots), p)));
            row
        })
        .collect();
    let head = [
        "slots",
        "slot bytes",
        "period",
        "vector, bytes",
        "sent a month",
        "sent",
        "received a month, silence",
        "received a month, every slot full",
    ];
    part("traffic", &table(&head, &rows));
}

#[test]
fn the_seconds_to_publication_are_the_documented_ones() {
    let rows: Vec<_> = choices()
        .iter()
        .map(|p| {
            let (period, fold) = (u64::from(p.round_period_ms), u64::from(p.fold_deadline_ms));
            let warm = u64::from(p.warm_up) * period;
            let mut row = name(p);
            row.push(seconds(fold));
            row.push(thousands(p.max_payload() as u64));
            row.push(thousands(u64::from(p.slots) * 3_600_000 / period));
            row.push(seconds(period));
            row.push(seconds(period / 2 + period + fold));
            row.push(seconds(2 * period + fold));
            row.push(format!("{} to {}", seconds(warm), seconds(2 * warm)));
            row
        })
        .collect();
    let head = [
        "slots",
        "slot bytes",
        "period",
        "fold deadline",
        "longest message, bytes",
        "messages an hour, at most",
        "soonest",
        "on average",
        "at the latest",
        "after a start",
    ];
    part("latency", &table(&head, &rows));
}

#[test]
fn the_cost_of_a_crowd_is_the_documented_one() {
    let p = Params::standard(3);
    let rows: Vec<_> = [10u32, 100, 1_000, 10_000, 100_000]
        .into_iter()
        .map(|clients| {
            let entry = Entry { client: ClientId([0; 32]), session: [0; 32], vouches: vec![[0; 32]; 3] };
            let entry = encode(&entry).len();
            let empty = encode(&Roster::default()).len();
            let served = (clients as usize).div_ceil(3) * down(&p, 3, clients, 0);
            vec![
                thousands(clients.into()),
                rate(clients as usize * up(&p), &p),
                thousands(aggregate(&p, clients) as u64),
                rate(served, &p),
                thousands(ended(&p, 3, clients, 0) as u64),
                thousands((empty + entry * clients as usize) as u64),
                gigabytes(f64::from(p.retain) * ended(&p, 3, clients, 0) as f64),
                gigabytes(f64::from(p.retain) * ended(&p, 3, clients, p.slots) as f64),
            ]
        })
        .collect();
    let head = [
        "clients",
        "aggregator receives",
        "an aggregate, bytes",
        "a server sends, of three",
        "a record, bytes",
        "the roster, bytes",
        "log on disk, silence",
        "log on disk, every slot full",
    ];
    part("crowd", &table(&head, &rows));
}

#[test]
fn the_size_of_the_set_is_the_documented_one() {
    let rows: Vec<_> = [3u32, 8, 16, 32, 64, 128, 256, 1_024]
        .into_iter()
        .map(|least| {
            let need = fewest(least);
            let plain = |n: u32| thousands(n.into());
            vec![plain(least), plain(need), plain(slack(need)), plain(slack(need) + 1)]
        })
        .collect();
    let head = ["`min_anonymity`", "participants needed to talk", "may leave at once", "can stop all talk"];
    part("set", &table(&head, &rows));
}

/// The README and the operators' pages name this figure.
#[test]
fn a_client_sends_about_sixteen_gigabytes_a_month() {
    let p = Params::standard(3);
    let month = per_month(envelope(&p), &p) / 1e9;
    assert!((15.5..16.5).contains(&month), "{month}");
}

#[test]
fn numbers_read_as_people_write_them() {
    let written = [0, 999, 1_000, 18_432, 1_000_000].map(thousands);
    assert_eq!(written, ["0", "999", "1,000", "18,432", "1,000,000"]);
    assert_eq!((seconds(3_000), seconds(3_500)), ("3 s".to_owned(), "3.5 s".to_owned()));
    assert_eq!((fewest(8), fewest(3)), (9, 4), "as docs/threat-model.md says");
}
