//! docs/metrics.md and the operators' files are what the programs' lists of metrics say. That a program exports its list
//! and nothing else, its own tests show.

use std::collections::BTreeSet;
use std::fs;

use zipnet_aggregator::metrics::METRICS as AGGREGATOR;
use zipnet_committee::metrics::METRICS as SERVER;
use zipnet_role::metrics as role;
use zipnetd::metrics as daemon;

use super::{part, root, table};

fn list<'a>(metrics: impl Iterator<Item = (&'a str, bool, Option<&'a str>, &'a str)>) -> String {
    let row = |(name, counter, label, text): (&str, bool, Option<&str>, &str)| {
        let kind = if counter { "counter" } else { "gauge" };
        let label = label.map_or(String::new(), |label| format!("`{label}`"));
        vec![format!("`{name}`"), kind.to_owned(), label, text.to_owned()]
    };
    table(&["name", "kind", "label", "meaning"], metrics.map(row))
}

#[test]
fn the_metrics_are_those_of_the_programs() {
    for (name, private) in [("metrics", false), ("private metrics", true)] {
        let ours = daemon::METRICS.iter().filter(|metric| metric.private == private);
        let ours = ours.map(|m| (m.name, m.kind == daemon::Kind::Counter, m.label, m.text));
        part("docs/metrics.md", name, &list(ours));
    }
    for (name, metrics) in [("server metrics", &SERVER[..]), ("aggregator metrics", &AGGREGATOR[..])] {
        let theirs = metrics.iter().map(|m| (m.name, m.kind == role::Kind::Counter, m.label, m.text));
        part("docs/metrics.md", name, &list(theirs));
    }
}

/// What reads like one of our metrics in a text.
fn metric_names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !word(c)).filter(|word| word.starts_with("zipnet_"));
    words.map(str::to_owned).collect()
}

#[test]
fn operators_files_name_metrics_that_exist() {
    let daemon = daemon::METRICS.iter().map(|metric| metric.name.to_owned());
    let nodes = SERVER.iter().chain(&AGGREGATOR).map(|metric| metric.name.to_owned());
    let all: BTreeSet<String> = daemon.chain(nodes).collect();
    for file in ["docs/ops/alerts.yml", "docs/ops/dashboard.json"] {
        let named = metric_names(&fs::read_to_string(root().join(file)).unwrap());
        assert!(named.is_disjoint(&BTreeSet::from(["zipnet_".to_owned()])) && !named.is_empty());
        let unknown: Vec<_> = named.difference(&all).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which nobody exports");
    }
    let alerts = metric_names(&fs::read_to_string(root().join("docs/ops/alerts.yml")).unwrap());
    assert!(alerts.iter().filter(|name| name.starts_with("zipnet_server_")).count() > 5, "{alerts:?}");
    let documented = metric_names(&fs::read_to_string(root().join("docs/metrics.md")).unwrap());
    let missing: Vec<_> = all.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    let gone: Vec<_> = documented.difference(&all).collect();
    assert!(gone.is_empty(), "docs/metrics.md names {gone:?}, which nobody exports");
}

#[test]
fn the_dashboard_is_one() {
    let text = fs::read_to_string(root().join("docs/ops/dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(!panels.is_empty());
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id {}", panel["id"]);
        let targets = panel["targets"].as_array().unwrap();
        let asks = |target: &serde_json::Value| !metric_names(target["expr"].as_str().unwrap()).is_empty();
        assert!(!targets.is_empty() && targets.iter().all(asks), "{}", panel["title"]);
    }
}
