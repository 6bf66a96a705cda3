//! A fleet under load, and the measuring of what a fault costs.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;
use zipnet_tests::{Fleet, FleetConfig, Load, Outcome, Pulse, until};

/// Generous: nothing here depends on how fast the machine is.
pub(crate) const WITHIN: Duration = Duration::from_mins(4);

/// Fast rounds, and sets as small as the test is.
pub(crate) const PARAMS: &[&str] = &[
    "round_period_ms=1000",
    "fold_deadline_ms=700",
    "round_deadline_ms=6000",
    "min_anonymity=3",
    "warm_up=0",
];

/// The times of the deployment, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    /// From one opening to the next.
    pub(crate) period: u64,
    /// The leader abandons a round after this.
    pub(crate) deadline: u64,
}

/// A fleet whose first daemon reads, whose next three talk, and whose others cover.
pub(crate) struct Scene {
    pub(crate) pulse: Pulse,
    pub(crate) load: Load,
    pub(crate) fleet: Fleet,
    pub(crate) setting: Setting,
    rows: Vec<String>,
}

impl Scene {
    pub(crate) fn start(config: &FleetConfig<'_>, setting: Setting) -> Self {
        let began = Instant::now();
        let fleet = Fleet::start(config);
        let mut this = Self::of(fleet, setting, Vec::new());
        this.flows(Instant::now());
        this.note(&format!("up after {} s", began.elapsed().as_secs()));
        this
    }

    /// Reader and talkers of a fleet.
    fn of(fleet: Fleet, setting: Setting, rows: Vec<String>) -> Self {
        let pulse = Pulse::start(&fleet.clients[0].daemon);
        let talkers = fleet.clients[1..4].iter().map(|client| &client.daemon);
        let load = Load::start(talkers, Duration::from_millis(500) * setting.period as u32);
        Self { pulse, load, fleet, setting, rows }
    }

    /// The same fleet in a new deployment.
    pub(crate) fn begin_again(self) -> Self {
        let Self { fleet, setting, rows, .. } = self;
        Self::of(fleet, setting, rows)
    }

    /// What the reader's daemon says.
    pub(crate) fn status(&self) -> Value {
        until(WITHIN, "a status", || self.fleet.clients[0].daemon.status())
    }

    /// The round that is open or has ended last, as the reader knows.
    pub(crate) fn round(&self) -> u64 {
        self.status()["round"].as_u64().unwrap()
    }

    /// Waits until six rounds have published something since then.
    pub(crate) fn flows(&self, since: Instant) {
        until(WITHIN, "messages to be published again", || {
            let rounds = self.pulse.rounds(since);
            ensure!(rounds >= 6, "{rounds} rounds so far; {}", self.status());
            Ok(())
        });
    }

    /// Waits until the last header names all these servers, or none of them. How long that took.
    pub(crate) fn named(&self, since: Instant, servers: &[usize], named: bool) -> Duration {
        let ids: Vec<&str> = servers.iter().map(|i| self.fleet.servers[*i].peer_id()).collect();
        until(WITHIN, &format!("servers {servers:?} to be named: {named}"), || {
            let status = self.fleet.clients[0].daemon.status()?;
            let header = status["servers"].as_array().cloned().unwrap_or_default();
            let fits = ids.iter().all(|id| header.iter().any(|s| s == id) == named);
            ensure!(fits, "{status}");
            Ok(since.elapsed())
        })
    }

    /// How often a server said that it is up.
    pub(crate) fn ups(&mut self, server: usize) -> usize {
        self.fleet.servers[server].process().unwrap().log().matches("server up").count()
    }

    /// Waits until it has said so that often.
    pub(crate) fn up(&mut self, server: usize, times: usize) {
        until(WITHIN, "the server to be up", || {
            let ups = self.ups(server);
            ensure!(ups >= times, "it was up {ups} times");
            Ok(())
        });
    }

    /// Waits until a server that is up is in the headers again; how many rounds that took. Its state before it went does
    /// not count: the header has to have been without it, or made by it anew.
    pub(crate) fn back(&self, server: usize) -> u64 {
        let before = self.round();
        self.named(Instant::now(), &[server], true);
        self.round() - before
    }

    /// Kills servers, waits until the headers are without them and rounds publish, and starts them again.
    pub(crate) fn killed(&mut self, which: &[usize], what: &str) {
        let ups: Vec<usize> = which.iter().map(|i| self.ups(*i)).collect();
        let since = Instant::now();
        for server in which {
            self.fleet.servers[*server].kill();
        }
        let out = self.named(since, which, false);
        self.heals(since, &format!("kill -9 of {what}"), &format!("out after {:.1} s", out.as_secs_f64()));
        self.soon_out(out, 2);
        let since = Instant::now();
        for server in which {
            self.fleet.servers[*server].start();
        }
        which.iter().zip(ups).for_each(|(i, ups)| self.up(*i, ups + 1));
        let rounds = which.iter().map(|i| self.back(*i)).max().unwrap();
        self.heals(since, "… and back", &format!("in again after {rounds} rounds"));
        Self::soon_in(rounds);
    }

    /// A server that is down is out of the headers within two round deadlines. One that is cut off may lead, and does not know that
    /// it is: then a third one is allowed for.
    pub(crate) fn soon_out(&self, out: Duration, deadlines: u64) {
        let limit = Duration::from_secs(self.setting.deadline * deadlines);
        assert!(out <= limit, "out of the header only after {out:?}");
    }

    /// One that is back is in again within ten rounds.
    pub(crate) fn soon_in(rounds: u64) {
        assert!(rounds <= 10, "in again only after {rounds} rounds");
    }

    /// After a fault: messages are published again; notes how long none were.
    pub(crate) fn heals(&mut self, since: Instant, what: &str, more: &str) {
        self.flows(since);
        let gap = self.pulse.longest_gap(since);
        let periods = gap.as_secs_f64() / self.setting.period as f64;
        self.note(&format!("{what} | {periods:.1} | {more}"));
    }

    pub(crate) fn note(&mut self, row: &str) {
        eprintln!("| {row} |");
        self.rows.push(row.to_owned());
    }

    /// The end: everything is settled, and everybody tells the same.
    pub(crate) fn end(mut self) -> Outcome {
        let outcome = self.fleet.audit(&self.load);
        self.fleet.readers_agree();
        let total = outcome.total();
        self.note(&format!("{total} messages: {outcome:?}, 0 lost, 0 twice, 0 forks"));
        eprintln!("{}", self.rows.join("\n"));
        assert!(outcome.published * 10 >= total * 8, "too many were given up: {outcome:?}");
        outcome
    }
}
