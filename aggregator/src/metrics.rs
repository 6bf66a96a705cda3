//! Metrics of an aggregator: the one list of names, and where each gets its value. docs/metrics.md is made of the list.

use ::metrics::{counter, gauge};
use zipnet_role::metrics::{LINKS, Metric};

const ROUND: Metric = Metric::gauge("zipnet_aggregator_round", "the round that is being folded");
const ENVELOPES: Metric = Metric::gauge("zipnet_aggregator_envelopes", "envelopes of that round so far");
const AGGREGATES: Metric = Metric::counter(
    "zipnet_aggregator_aggregates_total",
    "aggregates that were given to a server of the round",
);
const REFUSED: Metric = Metric::counter(
    "zipnet_aggregator_refused_total",
    "envelopes, and requests for an aggregate, that were refused",
)
.by("reason");
const FOLLOWING: Metric =
    Metric::gauge("zipnet_aggregator_following", "1 while it follows a server's events, otherwise 0");
const BUILD: Metric = Metric::gauge("zipnet_build_info", "always 1, labelled with the version").by("version");

/// Every metric of an aggregator.
pub const METRICS: [Metric; 8] =
    [ROUND, ENVELOPES, AGGREGATES, REFUSED, FOLLOWING, LINKS[0], LINKS[1], BUILD];

/// Gives the ones without a label the values they start with.
pub(crate) fn begin() {
    gauge!(BUILD.name, "version" => env!("CARGO_PKG_VERSION")).set(1);
    counter!(AGGREGATES.name).absolute(0);
    following(false);
    round(0);
}

pub(crate) fn round(round: u64) {
    gauge!(ROUND.name).set(round as f64);
    envelopes(0);
}

pub(crate) fn envelopes(count: usize) {
    gauge!(ENVELOPES.name).set(count as f64);
}

pub(crate) fn aggregate() {
    counter!(AGGREGATES.name).increment(1);
}

pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED.name, "reason" => reason).increment(1);
}

pub(crate) fn following(yes: bool) {
    gauge!(FOLLOWING.name).set(u8::from(yes));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_that_is_listed_is_exported_and_nothing_else() {
        let page = zipnet_role::metrics::rendered(&METRICS, || {
            begin();
            round(7);
            envelopes(3);
            aggregate();
            refused("folded");
            for metric in &LINKS {
                counter!(metric.name, "reason" => "version").increment(1);
            }
            counter!("a_dependency_total").increment(1);
        });
        let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
        let found: BTreeSet<_> =
            page.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(name).collect();
        assert_eq!(found, METRICS.iter().map(|m| m.name.to_owned()).collect());
    }
}
