//! What docs/ says is what the definitions say. `UPDATE_DOCS=1` rewrites the generated parts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory};
use zipnetd::cli::Cli;
use zipnetd::config::{KEYS, variable};
use zipnetd::metrics::{Kind, METRICS};

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The part of a page between its marker and the next end has to be `text`.
fn part(page: &str, name: &str, text: &str) {
    let path = repo(page);
    let whole = fs::read_to_string(&path).unwrap();
    let marker = format!("{BEGIN}{name} -->\n");
    let start = whole.find(&marker).unwrap_or_else(|| panic!("{page} has no `{marker}`")) + marker.len();
    let end = start + whole[start..].find(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [&whole[..start], text, &whole[end..]].concat()).unwrap();
    } else {
        let hint = "run the tests once with UPDATE_DOCS=1 and read the difference";
        assert_eq!(&whole[start..end], text, "{page}, {name}: {hint}");
    }
}

/// A table of Markdown; a bar in a cell would end the cell.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rule: Vec<String> = head.iter().map(|_| "---".to_owned()).collect();
    let mut out = line(&head) + &line(&rule);
    for row in rows {
        assert_eq!(row.len(), head.len());
        assert!(row.iter().all(|cell| !cell.contains('|')), "{row:?}");
        out += &line(&row);
    }
    out
}

/// A flag as it is typed.
fn flag(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().first();
    let value = value.filter(|_| arg.get_action().takes_values()).map_or(String::new(), |v| format!(" {v}"));
    format!("`--{}{value}`", arg.get_long().unwrap())
}

/// What a flag's help says, and what stands in its brackets: the variable and the default.
fn help(arg: &Arg) -> (String, Option<String>, Option<String>) {
    let text = arg.get_help().unwrap().to_string();
    let Some((meaning, rest)) = text.rsplit_once(" [") else { return (text, None, None) };
    let inner = rest.strip_suffix(']').unwrap_or_else(|| panic!("`{text}` ends with its bracket"));
    match inner.split_once("default: ") {
        None => (meaning.to_owned(), Some(inner.to_owned()), None),
        Some((variable, default)) => {
            let variable = variable.trim_end_matches("; ");
            let variable = (!variable.is_empty()).then(|| variable.to_owned());
            (meaning.to_owned(), variable, Some(default.to_owned()))
        }
    }
}

fn command() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

#[test]
fn settings_flags_and_exit_codes_are_those_of_the_command_line() {
    let command = command();
    let arg = |key: &str| command.get_arguments().find(|arg| arg.get_id() == key);
    let settings = KEYS.map(|key| {
        let arg = arg(key).unwrap_or_else(|| panic!("{key} has no flag"));
        let (meaning, named, default) = help(arg);
        assert_eq!(named.as_deref(), Some(variable(key).as_str()), "the help of --{key} names its variable");
        let default = default.unwrap_or_else(|| "none".to_owned());
        vec![flag(arg), format!("`{}`", variable(key)), format!("`{key}`"), default, meaning]
    });
    let head = ["flag", "variable", "key in the file", "default", "meaning"];
    part("docs/configuration.md", "settings", &table(&head, settings));

    let others = command.get_arguments().filter(|arg| !KEYS.contains(&arg.get_id().as_str()));
    let others = others.map(|arg| {
        let (meaning, variable, default) = help(arg);
        assert_eq!(variable, None, "--{} has a variable and no key", arg.get_id());
        let default = default.map_or(String::new(), |default| format!(" (default: {default})"));
        vec![flag(arg), meaning + &default]
    });
    part("docs/configuration.md", "other flags", &table(&["flag", "meaning"], others));

    let help = command.get_after_help().unwrap().to_string();
    let codes = help.split_once("Exit codes: ").unwrap().1.trim_end_matches('.');
    let rows = codes.split("; ").map(|code| {
        let at = code
            .find(|c: char| c.is_alphabetic() && !code.starts_with("128"))
            .unwrap_or_else(|| code.find(':').unwrap() + 2);
        let (number, meaning) = code.split_at(at);
        vec![number.trim_end_matches([' ', ':']).to_owned(), meaning.to_owned()]
    });
    part("docs/configuration.md", "exit codes", &table(&["code", "meaning"], rows));
}

#[test]
fn the_metrics_are_those_of_the_daemon() {
    for (name, private) in [("metrics", false), ("private metrics", true)] {
        let rows = METRICS.iter().filter(|metric| metric.private == private).map(|metric| {
            let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
            let label = metric.label.map_or(String::new(), |label| format!("`{label}`"));
            vec![format!("`{}`", metric.name), kind.to_owned(), label, metric.text.to_owned()]
        });
        part("docs/metrics.md", name, &table(&["name", "kind", "label", "meaning"], rows));
    }
}

/// What reads like one of our metrics in a text.
fn metric_names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !word(c)).filter(|word| word.starts_with("zipnet_"));
    words.map(str::to_owned).collect()
}

/// The metrics that the sources of a server's or an aggregator's program name.
fn exported_by(folder: &Path, out: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            exported_by(&path, out);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let ours = |name: &&str| {
                ["zipnet_server_", "zipnet_aggregator_"]
                    .iter()
                    .any(|p| name.strip_prefix(p).is_some_and(|n| !n.is_empty()))
            };
            let literals = text.split('"').filter(|literal| literal.chars().all(word));
            out.extend(literals.filter(ours).map(str::to_owned));
        }
    }
}

#[test]
fn operators_files_name_metrics_that_exist() {
    let mut servers = BTreeSet::new();
    for program in ["committee/src", "aggregator/src", "network/src"] {
        exported_by(&repo(program), &mut servers);
    }
    assert!(servers.len() > 3, "the sources are searched: {servers:?}");
    let ours: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let all: BTreeSet<String> = ours.union(&servers).cloned().collect();
    for file in ["docs/ops/alerts.yml", "docs/ops/dashboard.json"] {
        let named = metric_names(&fs::read_to_string(repo(file)).unwrap());
        assert!(named.is_disjoint(&BTreeSet::from(["zipnet_".to_owned()])) && !named.is_empty());
        let unknown: Vec<_> = named.difference(&all).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which nobody exports");
    }
    let documented = metric_names(&fs::read_to_string(repo("docs/metrics.md")).unwrap());
    let missing: Vec<_> = all.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    let gone: Vec<_> = documented.difference(&all).collect();
    assert!(gone.is_empty(), "docs/metrics.md names {gone:?}, which nobody exports");
}

#[test]
fn the_dashboard_is_one() {
    let text = fs::read_to_string(repo("docs/ops/dashboard.json")).unwrap();
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
