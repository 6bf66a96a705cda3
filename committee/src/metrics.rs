//! Metrics of a server: the one list of names, and where each gets its value. docs/metrics.md is made of the list.
//!
//! They say what the committee's log and the broadcast log tell, and how this process is doing; nothing of any client.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::metrics::{counter, gauge};
use zipnet_role::metrics::{LINKS, Metric};

const FINAL: Metric = Metric::counter(
    "zipnet_server_rounds_final_total",
    "rounds that this server saw become final since its start",
);
const QUIET: Metric = Metric::counter("zipnet_server_rounds_quiet_total", "of these, the quiet ones");
const ABANDONED: Metric = Metric::counter(
    "zipnet_server_rounds_abandoned_total",
    "rounds that this server saw given up, by the stage that they got stuck at (`signing`, `folding`, `committing`, \
     `revealing`) or what doomed them (`restart`, `absence`, `fold`, or another refusal of the fold)",
)
.by("reason");
const PARTICIPANTS: Metric =
    Metric::gauge("zipnet_server_participants", "participants of the last final record");
const ROUND: Metric = Metric::gauge("zipnet_server_round", "the last opened round");
const REGISTRY: Metric =
    Metric::gauge("zipnet_server_registry_clients", "clients that at least one server vouches for");
const ROSTER: Metric = Metric::gauge("zipnet_server_roster_clients", "entries of the last header's roster");
const NAMED: Metric = Metric::gauge(
    "zipnet_server_named",
    "1 while the last header names this server of the committee, otherwise 0",
)
.by("server");
const SERVER_UP: Metric =
    Metric::gauge("zipnet_server_peer_up", "1 while the link to this other server is up, otherwise 0")
        .by("server");
const AGGREGATOR_UP: Metric =
    Metric::gauge("zipnet_server_aggregator_up", "1 while the link to this aggregator is up, otherwise 0")
        .by("aggregator");
const LEADER: Metric = Metric::gauge("zipnet_server_leader", "1 while this server leads, otherwise 0");
const CHANGES: Metric =
    Metric::counter("zipnet_server_leader_changes_total", "how often another server began to lead");
const PARTIAL: Metric =
    Metric::gauge("zipnet_server_partial_seconds", "time that computing this server's last partial took");
const ENTRIES: Metric =
    Metric::gauge("zipnet_server_log_index", "the last entry of the log that is applied here");
const STORE: Metric = Metric::gauge("zipnet_server_store_bytes", "size of the log's folder on the disk");
const REFUSED: Metric =
    Metric::counter("zipnet_server_refused_total", "entries of the log that the rules do not allow")
        .by("reason");
const REGISTRATIONS: Metric =
    Metric::counter("zipnet_server_registrations_refused_total", "registrations that were refused")
        .by("reason");
const WITHDRAWN: Metric = Metric::counter(
    "zipnet_server_vouches_withdrawn_total",
    "vouches that this server asked to take back, because the client has to show a new quote or its release was withdrawn",
);
const AGGREGATES: Metric = Metric::counter(
    "zipnet_server_aggregates_refused_total",
    "aggregates that this server, leading, did not take into a fold",
)
.by("reason");
const BUILD: Metric = Metric::gauge("zipnet_build_info", "always 1, labelled with the version").by("version");

/// Every metric of a server.
pub const METRICS: [Metric; 22] = [
    FINAL,
    QUIET,
    ABANDONED,
    PARTICIPANTS,
    ROUND,
    REGISTRY,
    ROSTER,
    NAMED,
    SERVER_UP,
    AGGREGATOR_UP,
    LEADER,
    CHANGES,
    PARTIAL,
    ENTRIES,
    STORE,
    REFUSED,
    REGISTRATIONS,
    WITHDRAWN,
    AGGREGATES,
    LINKS[0],
    LINKS[1],
    BUILD,
];

/// Between two looks at the size of the store.
const LOOK: Duration = Duration::from_mins(1);

/// How a server is doing, as far as others may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) leads: bool,
    /// Who leads, shortened, if anybody does.
    pub(crate) leader: Option<String>,
    pub(crate) round: u64,
    pub(crate) participants: u32,
    pub(crate) registry: usize,
    pub(crate) roster: usize,
    pub(crate) index: u64,
    /// The committee's servers, shortened, and whether the last header names them.
    pub(crate) named: Vec<(String, bool)>,
    /// The other servers, shortened, and whether the link to them is up.
    pub(crate) servers: Vec<(String, bool)>,
    /// The same of the aggregators.
    pub(crate) aggregators: Vec<(String, bool)>,
}

fn each(metric: &Metric, list: &[(String, bool)]) {
    let label = metric.label.expect("invariant: it has one series for each");
    for (who, yes) in list {
        gauge!(metric.name, label => who.clone()).set(u8::from(*yes));
    }
}

impl Figures {
    /// Sets the gauges.
    pub(crate) fn show(&self) {
        gauge!(PARTICIPANTS.name).set(self.participants);
        gauge!(ROUND.name).set(self.round as f64);
        gauge!(REGISTRY.name).set(self.registry as f64);
        gauge!(ROSTER.name).set(self.roster as f64);
        gauge!(ENTRIES.name).set(self.index as f64);
        gauge!(LEADER.name).set(u8::from(self.leads));
        each(&NAMED, &self.named);
        each(&SERVER_UP, &self.servers);
        each(&AGGREGATOR_UP, &self.aggregators);
    }

    /// The line that `systemctl status` shows.
    pub(crate) fn line(&self) -> String {
        let role = match &self.leader {
            _ if self.leads => "leading".to_owned(),
            Some(leader) => format!("following {leader}"),
            None => "no leader".to_owned(),
        };
        let count = |list: &[(String, bool)]| list.iter().filter(|(_, yes)| *yes).count();
        let mut line = format!(
            "{role}: round {}, {} participants, {} of {} servers",
            self.round,
            self.participants,
            count(&self.named),
            self.named.len()
        );
        if count(&self.aggregators) == 0 {
            line += ", no aggregator reachable";
        }
        line
    }
}

/// Gives the counters the values they start with: an alert needs to see the first step from 0.
pub(crate) fn begin() {
    gauge!(BUILD.name, "version" => env!("CARGO_PKG_VERSION")).set(1);
    counter!(FINAL.name).absolute(0);
    counter!(QUIET.name).absolute(0);
    counter!(CHANGES.name).absolute(0);
    for reason in ["signing", "folding", "committing", "revealing", "restart", "absence", "fold"] {
        counter!(ABANDONED.name, "reason" => reason).absolute(0);
    }
}

pub(crate) fn round_final(quiet: bool) {
    counter!(FINAL.name).increment(1);
    counter!(QUIET.name).increment(u64::from(quiet));
}

pub(crate) fn round_abandoned(reason: &'static str) {
    counter!(ABANDONED.name, "reason" => reason).increment(1);
}

pub(crate) fn leader_changed() {
    counter!(CHANGES.name).increment(1);
}

pub(crate) fn partial_took(time: Duration) {
    gauge!(PARTIAL.name).set(time.as_secs_f64());
}

pub(crate) fn entry_refused(reason: &'static str) {
    counter!(REFUSED.name, "reason" => reason).increment(1);
}

pub(crate) fn registration_refused(reason: &'static str) {
    counter!(REGISTRATIONS.name, "reason" => reason).increment(1);
}

/// A vouch is to be taken back.
pub(crate) fn vouch_withdrawn() {
    counter!(WITHDRAWN.name).increment(1);
}

/// An aggregate was not taken.
pub(crate) fn aggregate_refused(reason: &'static str) {
    counter!(AGGREGATES.name, "reason" => reason).increment(1);
}

/// Keeps the size of the store up to date until the runtime ends.
pub(crate) async fn keep_store_size(folder: PathBuf) {
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let folder = folder.clone();
        if let Ok(Some(bytes)) = tokio::task::spawn_blocking(move || size(&folder)).await {
            store_is(bytes);
        }
    }
}

fn store_is(bytes: u64) {
    gauge!(STORE.name).set(bytes as f64);
}

/// Bytes of all files in the folder and those below it.
fn size(folder: &Path) -> Option<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        bytes += if found.is_dir() { size(&entry.path()).unwrap_or(0) } else { found.len() };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    fn figures() -> Figures {
        let list = |names: &[(&str, bool)]| names.iter().map(|(n, yes)| ((*n).to_owned(), *yes)).collect();
        Figures {
            leads: false,
            leader: Some("aaaa".to_owned()),
            round: 812,
            participants: 14,
            named: list(&[("aaaa", true), ("bbbb", true), ("cccc", false)]),
            servers: list(&[("aaaa", true), ("cccc", false)]),
            aggregators: list(&[("dddd", true)]),
            ..Figures::default()
        }
    }

    #[test]
    fn all_that_is_listed_is_exported_and_nothing_else() {
        let page = zipnet_role::metrics::rendered(&METRICS, || {
            begin();
            figures().show();
            round_final(true);
            round_abandoned("signing");
            leader_changed();
            partial_took(Duration::from_millis(2));
            entry_refused("busy");
            registration_refused("full");
            vouch_withdrawn();
            aggregate_refused("overlap");
            for metric in &LINKS {
                counter!(metric.name, "reason" => "version").increment(1);
            }
            store_is(7);
            counter!("a_dependency_total").increment(1);
        });
        let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
        let found: BTreeSet<_> =
            page.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(name).collect();
        let listed: BTreeSet<_> = METRICS.iter().map(|m| m.name.to_owned()).collect();
        assert_eq!(found, listed);
        assert_eq!(listed.len(), METRICS.len());
        assert!(page.contains("zipnet_server_named{server=\"cccc\"} 0"), "{page}");
    }

    #[test]
    fn the_status_is_a_line_with_what_the_log_tells_and_warns_of_what_is_missing() {
        let mut figures = figures();
        assert_eq!(figures.line(), "following aaaa: round 812, 14 participants, 2 of 3 servers");
        figures.leads = true;
        figures.aggregators[0].1 = false;
        let said = "leading: round 812, 14 participants, 2 of 3 servers, no aggregator reachable";
        assert_eq!(figures.line(), said);
        (figures.leads, figures.leader) = (false, None);
        assert!(figures.line().starts_with("no leader: "));
    }

    #[test]
    fn the_size_of_a_folder_is_that_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        fs::write(dir.path().join("db"), [0; 100]).unwrap();
        fs::write(dir.path().join("blobs/1"), [0; 11]).unwrap();
        assert_eq!(size(dir.path()), Some(111));
        assert_eq!(size(&dir.path().join("none")), None);
    }
}
