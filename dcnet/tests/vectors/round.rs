//! Digests: descriptor, roster, header, aggregate, record.

use serde_json::{Value, json};
use zipnet_dcnet::aggregate::{Bitmap, Fold};
use zipnet_dcnet::descriptor::{Admission, Descriptor};
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::ClientId;
use zipnet_dcnet::params::{Gossip, Params};
use zipnet_dcnet::partial::Partial;
use zipnet_dcnet::record::Record;
use zipnet_dcnet::roster::{Entry, Roster};
use zipnet_dcnet::signed::{Signature, encode};

use super::{DEPLOYMENT, case, check, hex, identity, peer_names, peers, rising};

/// What the servers with these seeds sign over a digest, ascending by peer id.
fn signatures(seeds: &[u8], domain: &str, digest: &[u8; 32]) -> Value {
    let mut signers: Vec<_> = seeds.iter().map(|s| identity(*s)).collect();
    signers.sort_by_key(zipnet_dcnet::identity::Identity::peer_id);
    signers
        .iter()
        .map(|s| {
            let Signature(bytes) = s.sign(domain, digest);
            json!([s.peer_id().to_string(), hex(bytes)])
        })
        .collect()
}

fn seeds(seeds: &[u8]) -> Value {
    seeds.iter().map(|s| hex(rising(*s))).collect()
}

#[test]
fn deployment_id() {
    let standard = Descriptor::new("acme.mainnet", Params::standard(3), peers(&[60, 61, 62])).unwrap();
    let other = Descriptor {
        admission: Admission::Tdx,
        predecessor: Some(standard.id()),
        params: Params { gossip: Gossip::Servers, ..Params::dev(1) },
        servers: peers(&[60]),
        ..standard.clone()
    };
    let one = |(name, d): (&str, &Descriptor)| {
        let output = json!({ "bytes": hex(encode(d)), "deployment_id": d.id().to_string() });
        case(name, &serde_json::to_value(d).unwrap(), &output)
    };
    check("deployment_id", &[one(("standard", &standard)), one(("dev, tdx, a predecessor", &other))]);
}

#[test]
fn roster_digest() {
    let entry = |n: u8, vouches: u8| Entry {
        client: ClientId(rising(n)),
        session: rising(n + 1),
        vouches: (0..vouches).map(|v| rising(n + 2 + v)).collect(),
    };
    let one = |(name, entries): (&str, Vec<Entry>)| {
        let roster = Roster::new(entries).unwrap();
        let entries: Vec<_> = roster
            .entries()
            .iter()
            .map(|e| {
                let vouches: Vec<_> = e.vouches.iter().map(hex).collect();
                json!({ "client": e.client.to_string(), "session": hex(e.session), "vouches": vouches })
            })
            .collect();
        let output = json!({ "bytes": hex(encode(&roster)), "digest": hex(roster.digest()) });
        case(name, &json!({ "entries": entries }), &output)
    };
    let three = vec![entry(100, 3), entry(1, 3), entry(50, 3)];
    check("roster_digest", &[one(("nobody", vec![])), one(("three clients, three servers", three))]);
}

#[test]
fn header_digest() {
    let one = |(name, round, servers, aggregators): (&str, u64, &[u8], &[u8])| {
        let header = Header {
            deployment: DEPLOYMENT,
            round,
            prev: if round == 1 { DEPLOYMENT.0 } else { rising(80) },
            servers: peers(servers),
            aggregators: peers(aggregators),
            roster: rising(81),
            roster_len: 100,
        };
        let input = json!({
            "deployment": DEPLOYMENT.to_string(),
            "round": round,
            "prev": hex(header.prev),
            "servers": peer_names(&header.servers),
            "aggregators": peer_names(&header.aggregators),
            "roster": hex(header.roster),
            "roster_len": header.roster_len,
            "signer_seeds": seeds(servers),
        });
        let digest = header.digest();
        let output = json!({
            "bytes": hex(encode(&header)),
            "digest": hex(digest),
            "signatures": signatures(servers, "header", &digest),
        });
        case(name, &input, &output)
    };
    check(
        "header_digest",
        &[one(("the first", 1, &[60], &[70])), one(("three servers", 1_000_000, &[60, 61, 62], &[70, 71]))],
    );
}

fn bitmap(len: u32, ones: &[u32]) -> Bitmap {
    let mut out = Bitmap::new(len);
    for i in ones {
        out.set(*i);
    }
    out
}

#[test]
fn aggregate_digest() {
    let one = |(name, len, ones, bytes): (&str, u32, &[u32], usize)| {
        let fold = Fold {
            round: 9,
            header_digest: rising(82),
            participants: bitmap(len, ones),
            vector: (0..bytes).map(|i| (i * 7) as u8).collect(),
        };
        let server = identity(60).peer_id();
        let partial = Partial {
            deployment: DEPLOYMENT,
            round: 9,
            server,
            header_digest: fold.header_digest,
            aggregate_digest: fold.digest(),
            nonce: rising(83),
            vector: fold.vector.iter().map(|b| !b).collect(),
        };
        let input = json!({
            "header_digest": hex(fold.header_digest),
            "roster_len": len,
            "participants": ones,
            "vector": hex(&fold.vector),
            "server": server.to_string(),
            "nonce": hex(partial.nonce),
            "partial": hex(&partial.vector),
        });
        let output = json!({
            "participants": hex(encode(&fold.participants)),
            "digest": hex(fold.digest()),
            "commitment": hex(partial.commitment()),
        });
        case(name, &input, &output)
    };
    check(
        "aggregate_digest",
        &[
            one(("three of eleven", 11, &[0, 7, 10], 100)),
            one(("all of eight", 8, &[0, 1, 2, 3, 4, 5, 6, 7], 41)),
        ],
    );
}

#[test]
fn record_digest() {
    let servers = [60, 61];
    let empty = Record {
        deployment: DEPLOYMENT,
        round: 1,
        header_digest: rising(84),
        aggregate_digest: rising(85),
        prev: DEPLOYMENT.0,
        participants: bitmap(3, &[0, 1, 2]),
        servers: peers(&servers),
        reservations: vec![],
        messages: vec![],
        garbled: vec![],
    };
    let full = Record {
        round: 77,
        prev: rising(86),
        participants: bitmap(20, &[0, 8, 9, 19]),
        reservations: vec![1, 500, 0xffff_ffff],
        messages: vec![(0, b"hello".to_vec()), (5, vec![]), (63, vec![0xff; 240])],
        garbled: vec![2, 7],
        ..empty.clone()
    };
    let one = |(name, record): (&str, &Record)| {
        let messages: Vec<_> = record.messages.iter().map(|(slot, p)| json!([slot, hex(p)])).collect();
        let input = json!({
            "deployment": DEPLOYMENT.to_string(),
            "round": record.round,
            "header_digest": hex(record.header_digest),
            "aggregate_digest": hex(record.aggregate_digest),
            "prev": hex(record.prev),
            "roster_len": record.participants.len(),
            "participants": record.participants.ones().collect::<Vec<_>>(),
            "servers": peer_names(&record.servers),
            "reservations": record.reservations,
            "messages": messages,
            "garbled": record.garbled,
            "signer_seeds": seeds(&servers),
        });
        let digest = record.digest();
        let output = json!({
            "bytes": hex(encode(record)),
            "digest": hex(digest),
            "signatures": signatures(&servers, "record", &digest),
        });
        case(name, &input, &output)
    };
    check("record_digest", &[one(("nothing said", &empty)), one(("messages and garbled slots", &full))]);
}
