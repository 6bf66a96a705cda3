//! `servers`, and `descriptor fetch`.

use std::fs;

use zipnet_dcnet::{descriptor::Descriptor, ids::PeerId, params::Params, signed::encode};
use zipnet_proto::{
    Reason,
    v1::{AggregatorState, GetDescriptorResponse, ServerState, ServersResponse},
};

use crate::{
    fake::{Daemon, Script},
    run::{ctl_at, expect, run, snapshot},
};

fn answer() -> ServersResponse {
    let server = |byte: u8, named, since_before, reachable| ServerState {
        peer_id: format!("{byte:02x}").repeat(32),
        named,
        since_round: Some(if since_before { 7 } else { 812 }),
        since_ms: Some(1_770_000_000_000),
        since_before,
        reachable,
    };
    ServersResponse {
        round: Some(1234),
        round_at_ms: Some(1_770_000_100_000),
        min_servers: 3,
        servers: vec![
            server(0x51, true, true, true),
            server(0x52, true, false, false),
            server(0x53, false, false, false),
        ],
        aggregators: vec![
            AggregatorState { peer_id: "61".repeat(32), reachable: true },
            AggregatorState { peer_id: "62".repeat(32), reachable: false },
        ],
    }
}

#[test]
fn who_is_in_since_when_and_who_can_be_reached() {
    let daemon = Daemon::start(Script { servers: Some(Ok(answer())), ..Script::default() });
    snapshot("servers", &run(ctl_at(daemon.socket(), &["servers"]), daemon.dir.path()));
}

#[test]
fn as_json() {
    let daemon = Daemon::start(Script { servers: Some(Ok(answer())), ..Script::default() });
    let ran = run(ctl_at(daemon.socket(), &["servers", "--json"]), daemon.dir.path());
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.lines().count()), (0, "", 1));
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown["round"], 1234);
    assert_eq!(
        shown["servers"][2],
        serde_json::json!({
            "peer_id": "53".repeat(32), "named": false, "since_round": 812, "since_ms": 1_770_000_000_000_u64,
            "since_before": false, "reachable": false,
        })
    );
    assert_eq!(shown["aggregators"][0], serde_json::json!({ "peer_id": "61".repeat(32), "reachable": true }));
}

#[test]
fn before_the_first_header_nothing_is_made_up() {
    let server = ServerState { peer_id: "51".repeat(32), ..ServerState::default() };
    let servers = ServersResponse { servers: vec![server], min_servers: 1, ..ServersResponse::default() };
    let daemon = Daemon::start(Script { servers: Some(Ok(servers)), ..Script::default() });
    snapshot("servers_unknown", &run(ctl_at(daemon.socket(), &["servers"]), daemon.dir.path()));
}

fn descriptor() -> Descriptor {
    let servers = (1..=3).map(|n| PeerId([n; 32])).collect();
    Descriptor::new("acme.mainnet", Params::standard(3), servers).unwrap()
}

fn fetched(bytes: Vec<u8>, pinned: bool) -> Daemon {
    let answer = GetDescriptorResponse { descriptor: bytes, pinned };
    Daemon::start(Script { descriptor: Some(Ok(answer)), ..Script::default() })
}

#[test]
fn a_descriptor_is_fetched_to_standard_output_or_a_new_file() {
    let text = serde_json::to_string_pretty(&descriptor()).unwrap();
    let pin = format!("acme.mainnet#{}", descriptor().id());
    let daemon = fetched(encode(&descriptor()), true);
    let dir = daemon.dir.path();
    let fetch = |args: &[&str]| run(ctl_at(daemon.socket(), &[&["descriptor", "fetch"], args].concat()), dir);
    expect(&fetch(&[]), 0, &format!("{text}\n"), &format!("{pin} (pinned)\n"));
    let file = dir.join("acme.json");
    let path = file.to_str().unwrap();
    expect(&fetch(&["-o", path]), 0, &format!("{pin}\n"), "pinned\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{text}\n"));
    let verified = run(ctl_at(daemon.socket(), &["descriptor", "verify", path, &pin]), dir);
    expect(&verified, 0, &format!("{pin}\n"), "");
    assert_eq!(fetch(&["-o", path]).code, 1, "never over a file that is there");

    let shown: serde_json::Value = serde_json::from_str(&fetch(&["--json"]).stdout).unwrap();
    assert_eq!((&shown["pinned"], &shown["pin"]), (&true.into(), &pin.into()));
    assert_eq!(shown["descriptor"]["instance"], "acme.mainnet");
}

#[test]
fn one_that_is_not_pinned_says_so_and_one_that_cannot_be_is_refused() {
    let daemon = fetched(encode(&descriptor()), false);
    let ran = run(ctl_at(daemon.socket(), &["descriptor", "fetch"]), daemon.dir.path());
    let word = format!("acme.mainnet#{} (unpinned, taken on the bootstrap peer's word)\n", descriptor().id());
    assert_eq!((ran.code, ran.stderr), (0, word));

    let mut wrong = descriptor();
    wrong.servers.reverse();
    let daemon = fetched(encode(&wrong), true);
    let file = daemon.dir.path().join("wrong.json");
    let fetch = ["descriptor", "fetch", "-o", file.to_str().unwrap()];
    snapshot("fetch_wrong", &run(ctl_at(daemon.socket(), &fetch), daemon.dir.path()));
    assert!(!file.exists());

    let status = Reason::InstanceUnknown.into_status("no descriptor of the instance is known yet");
    let daemon = Daemon::start(Script { descriptor: Some(Err(status)), ..Script::default() });
    let ran = run(ctl_at(daemon.socket(), &["descriptor", "fetch"]), daemon.dir.path());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
}
