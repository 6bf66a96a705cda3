//! `attest`: real quotes (tdx/tests/data/README.md), at the time of their collateral.

use std::{fs, path::Path};

use serde_json::Value;

use crate::run::{Ran, ctl, expect, run, run_with, snapshot};

const QUOTE: &[u8] = include_bytes!("../../../tdx/tests/data/v4.quote");
const COLLATERAL: &[u8] = include_bytes!("../../../tdx/tests/data/v4.collateral.json");
const OLD_PLATFORM: &[u8] = include_bytes!("../../../tdx/tests/data/v5.quote");
const SGX: &[u8] = include_bytes!("../../../tdx/tests/data/sgx.quote");

fn attest(dir: &Path, args: &[&str]) -> Ran {
    let mut command = ctl(&["attest"]);
    command.args(args).current_dir(dir);
    run(command, dir)
}

/// A folder with the quote, its collateral and a policy that admits it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    fs::write(at.join("q"), QUOTE).unwrap();
    fs::write(at.join("c.json"), COLLATERAL).unwrap();
    let shown: Value = serde_json::from_str(&attest(at, &["show", "q", "--json"]).stdout).unwrap();
    let field = |name: &str| format!("{name} = {}\n", shown[name]);
    let release = ["mrtd", "rtmr1", "rtmr2"].map(field).concat();
    fs::write(at.join("p.toml"), format!("[[release]]\nname = \"1.0\"\n{release}")).unwrap();
    dir
}

const VERIFY: [&str; 6] = ["verify", "q", "--policy", "p.toml", "--collateral", "c.json"];

fn verify(dir: &Path, at: &str) -> Ran {
    attest(dir, &[&VERIFY[..], &["--at", at]].concat())
}

#[test]
fn shown_as_bytes_as_digits_and_from_standard_input() {
    let dir = folder();
    let dir = dir.path();
    let shown = attest(dir, &["show", "q"]);
    snapshot("attest_show", &shown);
    let digits: String =
        hex::encode(QUOTE).as_bytes().chunks(64).map(|l| String::from_utf8_lossy(l) + "\n").collect();
    fs::write(dir.join("q.hex"), &digits).unwrap();
    assert_eq!(attest(dir, &["show", "q.hex"]), shown);
    let mut piped = ctl(&["attest", "show", "-"]);
    piped.current_dir(dir);
    assert_eq!(run_with(piped, dir, QUOTE), shown);
    let json: Value = serde_json::from_str(&attest(dir, &["show", "q", "--json"]).stdout).unwrap();
    assert_eq!((&json["version"], &json["under_debug"]), (&4.into(), &false.into()));
}

#[test]
fn a_real_quote_of_an_admitted_release_is_verified() {
    let dir = folder();
    let dir = dir.path();
    snapshot("attest_verify", &verify(dir, "2025-06-30T00:00:00Z"));
    snapshot("attest_verify_soon", &verify(dir, "2025-07-18T00:00:00Z"));
    let json = attest(dir, &[&VERIFY[..], &["--at", "2025-06-30T00:00:00Z", "--json"]].concat());
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["release"], &json["tcb"], &json["quote"]["version"]),
        (&"1.0".into(), &"UpToDate".into(), &4.into())
    );
}

#[test]
fn what_does_not_hold_is_refused_with_its_reason() {
    let dir = folder();
    let dir = dir.path();
    snapshot("attest_verify_late", &verify(dir, "2025-08-01T00:00:00Z"));
    // Now is long after.
    assert_eq!(attest(dir, &VERIFY).code, 1);
    let policy = fs::read_to_string(dir.join("p.toml")).unwrap();
    let other = policy.replace("mrtd = \"9", "mrtd = \"8");
    assert_ne!(other, policy);
    fs::write(dir.join("p.toml"), other).unwrap();
    snapshot("attest_verify_other", &verify(dir, "2025-06-30T00:00:00Z"));
    fs::write(dir.join("p.toml"), policy.replace("[[release]]\n", "[[release]]\nwithdrawn = true\n"))
        .unwrap();
    snapshot("attest_verify_withdrawn", &verify(dir, "2025-06-30T00:00:00Z"));
    fs::write(dir.join("p.toml"), &policy).unwrap();

    let mut bent = QUOTE.to_vec();
    bent[600] ^= 1;
    fs::write(dir.join("q"), bent).unwrap();
    snapshot("attest_verify_bent", &verify(dir, "2025-06-30T00:00:00Z"));
    fs::write(dir.join("q"), OLD_PLATFORM).unwrap();
    snapshot("attest_verify_no_collateral", &verify(dir, "2025-06-30T00:00:00Z"));
    fs::write(dir.join("q"), SGX).unwrap();
    let ran = attest(dir, &["show", "q", "--json"]);
    assert_eq!(ran.code, 1);
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["reason"], "QuoteRefused");
    fs::write(dir.join("q"), vec![4; 200_000]).unwrap();
    assert!(attest(dir, &["show", "q"]).stderr.contains("at most"));
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let dir = folder();
    let dir = dir.path();
    fs::write(dir.join("p.toml"), "release = []").unwrap();
    let ran = verify(dir, "2025-06-30T00:00:00Z");
    expect(&ran, 1, "", "error: p.toml: the policy has 0 releases, must be 1 to 64\n");
    let ran = attest(dir, &["verify", "q", "--policy", "none", "--collateral", "c.json"]);
    expect(&ran, 1, "", "error: none: No such file or directory (os error 2)\n");
    fs::write(dir.join("c.json"), "[]").unwrap();
    fs::write(dir.join("p.toml"), fs::read(folder().path().join("p.toml")).unwrap()).unwrap();
    let ran = verify(dir, "2025-06-30T00:00:00Z");
    expect(&ran, 1, "", "error: c.json: the collateral is of 0 platform families, must be 1 to 128\n");
    assert_eq!(verify(dir, "yesterday").code, 2);
    assert_eq!(attest(dir, &["verify", "q"]).code, 2);
}
