//! Every relative link in docs/ and README.md leads to a file that is there, and to a heading of it; every page is in the
//! book, and the book has every page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{pages, root};

/// The text outside of fenced blocks, line by line.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// Where the links of a page lead.
fn links(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in prose(text) {
        for rest in without_code(line).split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            out.push(target.to_owned());
        }
    }
    out
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut out = BTreeSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = seen.entry(anchor.clone()).or_default();
        out.insert(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
        *before += 1;
    }
    out
}

/// What is wrong with a link of a page, if anything.
fn wrong(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { page.to_owned() } else { page.parent()?.join(path) };
    if !file.exists() {
        return Some(format!("{}: `{target}`: there is no such file", page.display()));
    }
    let is_page = file.extension().is_some_and(|end| end == "md");
    if anchor.is_empty() || (is_page && anchors(&fs::read_to_string(&file).unwrap()).contains(anchor)) {
        return None;
    }
    Some(format!("{}: `{target}`: there is no such heading", page.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    let mut all = Vec::new();
    for page in pages().into_iter().chain([root().join("README.md"), root().join("SECURITY.md")]) {
        for target in links(&fs::read_to_string(&page).unwrap()) {
            checked += 1;
            all.extend(wrong(&page, &target));
        }
    }
    assert!(all.is_empty(), "{all:#?}");
    assert!(checked > 100, "only {checked} links were found");
}

#[test]
fn a_link_to_nowhere_is_noticed() {
    let page = root().join("docs/README.md");
    assert_eq!(wrong(&page, "protocol.md#4-a-round"), None);
    assert_eq!(wrong(&page, "https://example.org/x#y"), None);
    assert!(wrong(&page, "protocol.md#no-such-heading").unwrap().ends_with("no such heading"));
    assert!(wrong(&page, "no-such-page.md").unwrap().ends_with("no such file"));
    assert_eq!(links("see [a](b.md) and `[c](d.md)`, [e](f.md#g)\n```\n[h](i)\n```\n"), ["b.md", "f.md#g"]);
    let twice = anchors("# A b\n## 1. Two: x\n## A b\n```\n# not one\n```\n");
    assert_eq!(twice, ["1-two-x", "a-b", "a-b-1"].map(str::to_owned).into());
}

#[test]
fn the_book_has_every_page_once() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: Vec<PathBuf> = links(&summary).iter().map(|link| docs.join(link)).collect();
    let once: BTreeSet<PathBuf> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), once.len(), "a page is listed twice");
    let there: BTreeSet<PathBuf> = pages().into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(once, there, "SUMMARY.md and the pages in docs/ differ");
}
