//! One deterministic simulation of whole deployments, in virtual time.
//!
//! A world has a committee, aggregators, clients and their callers. All of the roles is real: core and state of the
//! committee, the folding of the aggregator, the core of zipnetd with its ledger and queue on the store's twin in memory,
//! the crypto, every encoding of the log. Modelled are the shells (sockets, tasks), which are thin, and the replicated
//! log ([`log`]): openraft is tested by itself in `committee/src/raft/tests`. A seed decides everything else: delays, loss,
//! duplication, reordering, partitions in both directions or one, crashes that lose what was not synced, clocks that drift
//! and jump, full and slow disks, who is hostile and how. What has to hold at every step is in [`truth`].
//!
//! - `ZIPNET_SIM_SEED=n` runs exactly that seed, `ZIPNET_SIM_TRACE=1` prints every event.
//! - `ZIPNET_SIM_SEEDS=n` runs so many seeds instead of 500, `ZIPNET_SIM_FIRST=n` begins with another one than 0.
#![allow(clippy::unwrap_used)]

mod aggregator;
mod client;
mod clock;
mod collect;
mod faults;
mod hostile;
mod hub;
mod leave;
mod log;
mod messages;
mod mutations;
mod net;
mod plan;
mod progress;
mod scale;
mod seeds;
mod server;
mod subscribe;
mod trace;
mod truth;
mod world;

use plan::Plan;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: a number is expected")))
}

/// Every seed is a deployment of its own; see the module.
#[test]
fn seeds_keep_every_promise() {
    if let Some(seed) = number("ZIPNET_SIM_SEED") {
        match seeds::run(Plan::of(seed)) {
            Ok(summary) => return println!("{:#?}\n{summary:#?}", Plan::of(seed)),
            Err(failure) => panic!("{failure}"),
        }
    }
    let (first, count) = (number("ZIPNET_SIM_FIRST").unwrap_or(0), number("ZIPNET_SIM_SEEDS").unwrap_or(500));
    let all = seeds::run_all(first..first + count).unwrap_or_else(|failure| panic!("{failure}"));
    let sum = |f: fn(&world::Summary) -> u64| all.iter().map(f).sum::<u64>();
    let most = |f: fn(&world::Summary) -> u64| all.iter().map(f).max().unwrap_or(0);
    println!(
        "{} seeds: {} rounds opened, {} final, {} quiet; {} messages accepted, {} published, {} exposed, {} unknown, \
         {} expired; {} elections, {} proposals lost, {} snapshots installed; healed after {} rounds at most; \
         {} events, {} s of virtual time",
        all.len(),
        sum(|s| s.opened),
        sum(|s| s.finals),
        sum(|s| s.quiet),
        sum(|s| s.messages),
        sum(|s| s.published),
        sum(|s| s.exposed),
        sum(|s| s.unknown),
        sum(|s| s.expired),
        sum(|s| s.elections),
        sum(|s| s.lost),
        sum(|s| s.snapshots),
        most(|s| s.healed),
        sum(|s| s.events),
        sum(|s| s.virtual_ms) / 1_000,
    );
    // A simulation in which nothing happens finds nothing.
    assert!(sum(|s| s.published) > 0 && sum(|s| s.finals) * 10 > sum(|s| s.opened));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 17] {
        let hash = || seeds::run(Plan::of(seed)).unwrap_or_else(|failure| panic!("{failure}")).hash;
        assert_eq!(hash(), hash(), "seed {seed}");
    }
}
