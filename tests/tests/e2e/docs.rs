//! The pages of docs/: their links, their commands, what is generated in them; and a promise in them names the test that
//! keeps it: every test named there exists.

mod links;
mod reference;
mod shell;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All pages of docs/.
fn pages() -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

/// The part of a page between its marker and the next end has to be `text`.
fn part(page: &str, name: &str, text: &str) {
    let path = root().join(page);
    let whole = fs::read_to_string(&path).unwrap();
    let marker = format!("<!-- generated: {name} -->\n");
    let start = whole.find(&marker).unwrap_or_else(|| panic!("{page} has no `{marker}`")) + marker.len();
    let end = start + whole[start..].find("<!-- end -->").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [&whole[..start], text, &whole[end..]].concat()).unwrap();
    } else {
        let hint = "run the tests once with UPDATE_DOCS=1 and read the difference";
        assert_eq!(&whole[start..end], text, "{page}, {name}: {hint}");
    }
}

/// A table of Markdown.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rule: Vec<String> = head.iter().map(|_| "---".to_owned()).collect();
    let mut out = line(&head) + &line(&rule);
    for row in rows {
        assert_eq!(row.len(), head.len());
        out += &line(&row);
    }
    out
}

/// All functions of a crate's tests and sources, as `file::function` with the file's stem (the folder's for `mod.rs`).
fn functions(dir: &Path, out: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            functions(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            for line in fs::read_to_string(&path).unwrap().lines() {
                let line = line.trim_start().trim_start_matches("async ");
                if let Some((name, _)) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
                    out.insert(format!("{stem}::{name}"));
                }
            }
        }
    }
}

#[test]
fn every_test_that_the_docs_name_exists() {
    let root = root();
    let mut known = BTreeSet::new();
    for folder in [
        "dcnet",
        "store",
        "network",
        "committee",
        "aggregator",
        "zipnetd",
        "zipnetctl",
        "proto",
        "tdx",
        "tests",
    ] {
        functions(&root.join(folder), &mut known);
    }
    let mut named = 0;
    for (page, tables) in [
        ("promises.md", true),
        ("threat-model.md", true),
        ("operators/backup.md", false),
        ("reference/servers.md", false),
        ("reference/exit-codes.md", false),
        ("reference/systemd.md", false),
    ] {
        let text = fs::read_to_string(root.join("docs").join(page)).unwrap();
        for line in text.lines().filter(|line| !tables || line.starts_with('|')) {
            for name in line.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
                named += 1;
                // The last two parts: file and function; `*` stands for the rest of a name.
                let parts: Vec<&str> = name.split("::").collect();
                let wanted = parts[parts.len() - 2..].join("::");
                let there = match wanted.split_once('*') {
                    Some((start, _)) => known.iter().any(|f| f.starts_with(start)),
                    None => known.contains(&wanted),
                };
                assert!(there, "{page} names `{name}`, and there is no such test");
            }
        }
    }
    assert!(named > 40, "only {named} tests are named");
}
