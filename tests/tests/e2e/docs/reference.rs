//! docs/reference/ is what the definitions say. `UPDATE_DOCS=1` writes the generated parts.

use std::collections::BTreeMap;
use std::fs;

use clap::{Arg, Command, CommandFactory};
use zipnet_tests::man;

use super::{part, root, table};

fn meaning(arg: &Arg) -> String {
    arg.get_help().map(ToString::to_string).unwrap_or_default()
}

/// A flag as it is typed.
pub(super) fn flag(arg: &Arg) -> String {
    let takes = arg.get_action().takes_values();
    let value = arg.get_value_names().unwrap_or_default().first().filter(|_| takes);
    format!("`--{}{}`", arg.get_long().unwrap(), value.map(|v| format!(" {v}")).unwrap_or_default())
}

pub(super) fn built(mut command: Command) -> Command {
    command.build();
    command
}

fn servers() -> [Command; 2] {
    [built(zipnet_committee::cli::command()), built(zipnet_aggregator::cli::command())]
}

#[test]
fn the_settings_of_the_servers_are_those_of_their_command_lines() {
    let [server, aggregator] = servers();
    let of_both = |id: &str| aggregator.get_arguments().any(|arg| arg.get_id() == id);
    for arg in aggregator.get_arguments() {
        let twin = server.get_arguments().find(|twin| twin.get_id() == arg.get_id());
        assert_eq!(twin.map(meaning), Some(meaning(arg)), "a setting of the aggregator only");
    }
    let settings = server.get_arguments().filter(|arg| arg.get_env().is_some()).map(|arg| {
        let variable = arg.get_env().unwrap().to_string_lossy().into_owned();
        let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
        let default = if defaults.is_empty() { "none".to_owned() } else { defaults.join(", ") };
        let program = if of_both(arg.get_id().as_str()) { "both" } else { "server" };
        let several = if arg.get_value_delimiter() == Some(',') { "; several by commas" } else { "" };
        vec![flag(arg), format!("`{variable}`"), default, program.to_owned(), meaning(arg) + several]
    });
    let log = ["none", "`RUST_LOG`", "info", "both", "What is logged to standard error"].map(str::to_owned);
    let head = ["flag", "variable", "default", "program", "meaning"];
    let rows: Vec<_> = settings.chain([log.to_vec()]).collect();
    assert!(rows.len() > 8, "{rows:?}");
    part("docs/reference/servers.md", "settings", &table(&head, rows));

    let verbs = server.get_subcommands().filter(|verb| verb.get_name() != "help");
    let rows = verbs.map(|verb| {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        vec![format!("`{}`", verb.get_name()), about]
    });
    part("docs/reference/servers.md", "verbs", &table(&["verb", "what it does"], rows));
}

/// The default files of the units have every variable, and no other.
#[test]
fn the_default_files_have_every_variable() {
    for (command, name) in servers().into_iter().zip(["zipnet-server", "zipnet-aggregator"]) {
        let text = fs::read_to_string(root().join("systemd/default").join(name)).unwrap();
        let given = text.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
        let mut given: Vec<&str> = given.map(|(variable, _)| variable).filter(|v| !v.contains(' ')).collect();
        let named =
            command.get_arguments().filter_map(Arg::get_env).map(|v| v.to_string_lossy().into_owned());
        // The unit says where the state is.
        let mut wanted: Vec<String> = named.filter(|v| v != "ZIPNET_STATE_DIR").collect();
        wanted.push("RUST_LOG".to_owned());
        wanted.sort();
        given.sort_unstable();
        assert_eq!(given, wanted, "{name}");
    }
}

#[test]
fn the_exit_codes_are_those_of_the_programs() {
    let cli = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let (_, list) = cli.split_once("Exit codes:\n").unwrap();
    let (list, _) = list.split_once("\n```").unwrap();
    let pair = |line: &str| {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        (code.to_owned(), meaning.to_owned())
    };
    let daemon = built(zipnetd::cli::Cli::command()).get_after_help().unwrap().to_string();
    let columns = [
        list.lines().map(pair).collect(),
        man::exit_codes(&daemon),
        man::exit_codes(zipnet_role::AFTER_HELP),
    ];
    let mut rows: BTreeMap<(usize, String), [String; 3]> = BTreeMap::new();
    for (column, codes) in columns.into_iter().enumerate() {
        for (code, meaning) in codes {
            rows.entry((code.len(), code)).or_default()[column] = meaning;
        }
    }
    assert!(rows.len() > 7, "{rows:?}");
    let rows = rows.into_iter().map(|((_, code), meanings)| [vec![code], meanings.to_vec()].concat());
    let head = ["code", "zipnetctl", "zipnetd", "zipnet-server, zipnet-aggregator"];
    part("docs/reference/exit-codes.md", "exit codes", &table(&head, rows));
}

/// `Setting=value` of a unit; what is given several times is joined.
fn unit(name: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("systemd").join(name)).unwrap();
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty()) {
        let (setting, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: `{line}`"));
        let value = if value.is_empty() { "none" } else { value };
        out.entry(setting.to_owned())
            .and_modify(|v| *v = [v, "; ", value].concat())
            .or_insert(value.to_owned());
    }
    out
}

#[test]
fn the_settings_of_the_units_are_those_in_the_files() {
    let units = ["zipnetd.service", "zipnet-server.service", "zipnet-aggregator.service"].map(unit);
    let mut settings: Vec<&String> = units.iter().flat_map(BTreeMap::keys).collect();
    settings.sort();
    settings.dedup();
    let rows = settings.iter().map(|&setting| {
        let cell = |unit: &BTreeMap<String, String>| {
            unit.get(setting).map(|value| format!("`{}`", value.replace('|', "\\|"))).unwrap_or_default()
        };
        vec![format!("`{setting}=`"), cell(&units[0]), cell(&units[1]), cell(&units[2])]
    });
    let head = ["setting", "zipnetd", "zipnet-server", "zipnet-aggregator"];
    part("docs/reference/systemd.md", "units", &table(&head, rows));
}

/// The variants of the reasons for which a server refuses an entry: their comments, and the names they are counted by.
#[test]
fn the_refusals_of_a_server_are_those_it_counts() {
    let text = fs::read_to_string(root().join("committee/src/state/refused.rs")).unwrap();
    let mut comments: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut comment, mut rows) = ("", Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("/// ") {
            comment = words;
        } else if let Some((variant, name)) = line.strip_prefix("Self::").and_then(|l| l.split_once(" => \""))
        {
            let variant = variant.split('(').next().unwrap();
            rows.push(vec![format!("`{}`", name.trim_end_matches("\",")), comments[variant].to_owned()]);
        } else if let Some(variant) = line.split([',', '(']).next().filter(|_| !comment.is_empty()) {
            comments.entry(variant).or_insert(comment);
        }
    }
    rows.push(vec!["`malformed`".to_owned(), "It does not decode.".to_owned()]);
    assert!(rows.len() > 10, "{rows:?}");
    part("docs/reference/servers.md", "refusals", &table(&["reason", "an entry of the log that is"], rows));
}

#[test]
fn every_daemon_has_a_manual_page() {
    for name in man::PAGES {
        let page = String::from_utf8(man::page(name).unwrap()).unwrap();
        assert!(page.contains(&format!(".TH {name} 8")), "{name}");
        for section in [
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "FILES",
            "ENVIRONMENT",
            "SIGNALS",
            "\"EXIT STATUS\"",
            "\"SEE ALSO\"",
        ] {
            assert!(page.contains(&format!(".SH {section}\n")), "{name} has no section {section}");
        }
        assert!(page.contains("ZIPNET_STATE_DIR") && page.contains("SIGTERM"), "{name}");
    }
    assert!(man::page("zipnetctl").is_none());
}
