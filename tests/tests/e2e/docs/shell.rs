//! The commands of the operators' pages: blocks that begin with ```` ```sh vm:NAME ```` run in a virtual machine.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use super::pages;

/// What differs from host to host: the pages say what each is.
const VARIABLES: [&str; 13] = [
    "AGGREGATOR",
    "BACKUP",
    "BOOTSTRAP",
    "DEPLOYMENT_ID",
    "INSTANCE",
    "NAME",
    "NEW_HOST",
    "NEW_ID",
    "OLD_ID",
    "PACKAGE",
    "SERVER1",
    "SERVER2",
    "SERVER3",
];

/// All blocks by name.
fn blocks() -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for rest in text.split("\n```sh vm:").skip(1) {
            let (name, rest) = rest.split_once('\n').unwrap();
            let (body, _) = rest.split_once("\n```").expect("a block ends");
            let word = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            assert!(word && !name.is_empty(), "{}: the name `{name}`", page.display());
            let before = out.insert(name.to_owned(), format!("{body}\n"));
            assert!(before.is_none(), "{}: a second block `{name}`", page.display());
        }
    }
    out
}

#[test]
fn every_command_parses_and_says_what_it_needs() {
    let blocks = blocks();
    for (name, body) in &blocks {
        let mut check = Command::new("sh");
        check.args(["-n", "-c", body]).stdin(Stdio::null());
        assert!(check.status().unwrap().success(), "`{name}` does not parse:\n{body}");
        for rest in body.split('$').skip(1) {
            let used: String = rest
                .chars()
                .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
                .collect();
            assert!(VARIABLES.contains(&used.as_str()), "`{name}` uses ${used}, which no page explains");
        }
    }
    for wanted in
        ["cover-node", "adduser", "second", "server-key", "server-key-restore", "descriptor", "move-pin"]
    {
        assert!(blocks.contains_key(wanted), "there is no block `{wanted}`");
    }
}

#[test]
fn every_variable_is_explained() {
    let all: String = pages().iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    for variable in VARIABLES {
        let said = [format!("`${variable}`"), "`$SERVER1` and so on".to_owned()];
        let series = variable.starts_with("SERVER");
        assert!(all.contains(&said[usize::from(series)]), "no page says what ${variable} is");
    }
}
