//! `--help`, `completions`, `man`.

use std::fs;

use crate::run::{Ran, ctl, run, snapshot};

fn ask(args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run(ctl(args), dir.path())
}

#[test]
fn help_lists_the_verbs_and_not_the_hidden_ones() {
    snapshot("help", &ask(&["--help"]));
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = ask(&["completions", shell]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
        assert!(ran.stdout.contains("log-level") && ran.stdout.contains("doctor"), "{shell}");
    }
    assert_eq!(ask(&["completions", "tcsh"]).code, 2);
}

#[test]
fn a_manual_page_for_each_verb() {
    let page = ask(&["man"]);
    assert_eq!((page.code, page.stderr.as_str()), (0, ""));
    assert!(page.stdout.contains(".TH zipnetctl 1") && page.stdout.contains("Exit codes:"));

    let dir = tempfile::tempdir().unwrap();
    let written = run(ctl(&["man", "--dir", dir.path().to_str().unwrap()]), dir.path());
    assert_eq!((written.code, written.stdout.as_str(), written.stderr.as_str()), (0, "", ""));
    assert!(fs::read_to_string(dir.path().join("zipnetctl.1")).unwrap().starts_with(".ie"));
    assert!(fs::read_to_string(dir.path().join("zipnetctl-send.1")).unwrap().contains("ps"));

    let none = dir.path().join("none");
    let failed = run(ctl(&["man", "--dir", none.to_str().unwrap()]), dir.path());
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.starts_with("error: [DIR]/none: No such file"), "{}", failed.stderr);
}
