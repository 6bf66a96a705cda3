//! A promise in the docs names the test that keeps it: every test named there exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
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
        "tests",
        "fuzz",
    ] {
        functions(&root.join(folder), &mut known);
    }
    let mut named = 0;
    for page in ["promises.md", "threat-model.md"] {
        let text = fs::read_to_string(root.join("docs").join(page)).unwrap();
        for line in text.lines().filter(|line| line.starts_with('|')) {
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
