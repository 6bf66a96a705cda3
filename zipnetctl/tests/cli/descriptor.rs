//! `descriptor new|show|verify`.

use std::{fs, path::Path};

use serde_json::Value;
use zipnet_dcnet::descriptor::Descriptor;

use crate::run::{Ran, ctl, expect, run};

const A: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
const B: &str = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b";
const C: &str = "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c";

fn new(dir: &Path, more: &[&str]) -> Ran {
    let args = ["descriptor", "new", "--instance", "acme.test", "--server", B, "--server", A, "--server", C];
    let mut command = ctl(&args);
    command.args(more).current_dir(dir);
    run(command, dir)
}

fn descriptor(dir: &Path, args: &[&str]) -> Ran {
    let mut command = ctl(&["descriptor"]);
    command.args(args).current_dir(dir);
    run(command, dir)
}

#[test]
fn made_shown_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let made =
        new(dir, &["-o", "d.json", "--param", "slots=32", "--param", "gossip=servers", "--predecessor", C]);
    let file = fs::read_to_string(dir.join("d.json")).unwrap();
    let parsed: Descriptor = serde_json::from_str(&file).unwrap();
    assert_eq!((parsed.params.slots, parsed.params.slot_bytes, parsed.params.min_servers), (32, 256, 3));
    let id = parsed.id().to_string();
    expect(&made, 0, &format!("{id}\n"), "");
    assert_eq!(parsed.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), [A, B, C]);

    expect(
        &descriptor(dir, &["show", "d.json"]),
        0,
        &format!(
            "\
deployment         {id}
instance           acme.test
admission          open
predecessor        {C}
servers            {A}
                   {B}
                   {C}
absence_limit      32
cells              256
fold_deadline_ms   2000
gossip             servers
min_anonymity      8
min_participants   3
min_servers        3
retain             28800
round_deadline_ms  15000
round_period_ms    3000
slot_bytes         256
slots              32
warm_up            16
"
        ),
        "",
    );
    let shown: Value = serde_json::from_str(&descriptor(dir, &["show", "d.json", "--json"]).stdout).unwrap();
    assert_eq!(shown["id"], id.as_str());
    assert_eq!(shown["pin"], format!("acme.test#{id}"));
    assert_eq!(shown["descriptor"], serde_json::from_str::<Value>(&file).unwrap());

    for expected in [&[][..], &["acme.test"], &[&format!("acme.test#{id}")]] {
        let ran = descriptor(dir, &[&["verify", "d.json"], expected].concat());
        expect(&ran, 0, &format!("acme.test#{id}\n"), "");
    }
    let hint =
        "hint: ask the operators which one is right; a new deployment has a new id and is pinned by hand\n";
    for expected in ["acme.prod", &format!("acme.test#{A}")] {
        let other = expected.strip_prefix("acme.test#").unwrap_or(expected);
        expect(
            &descriptor(dir, &["verify", "d.json", expected]),
            1,
            "",
            &format!("error: d.json is deployment {id} of acme.test, expected {other}\n{hint}"),
        );
    }

    // Without a file the descriptor goes to standard output, the same one.
    let again = new(dir, &["--param", "slots=32", "--param", "gossip=servers", "--predecessor", C]);
    expect(&again, 0, &file, &format!("{id}\n"));
    expect(&new(dir, &["-o", "d.json"]), 1, "", "error: d.json: File exists (os error 17)\n");
    assert_eq!(fs::read_to_string(dir.join("d.json")).unwrap(), file, "the file in use is untouched");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let hint = "hint: the parameters and their limits are in docs/protocol.md, section 1\n";
    expect(
        &new(dir, &["--param", "fold_deadline_ms=3000"]),
        1,
        "",
        &format!(
            "error: this descriptor cannot be: parameter round_period_ms = 3000: must be 3001 to 3600000; fold < \
             period\n{hint}"
        ),
    );
    expect(
        &new(dir, &["--param", "round_deadline_ms=3000"]),
        1,
        "",
        &format!(
            "error: this descriptor cannot be: parameter round_deadline_ms = 3000: must be 3001 to 3600000; period < \
             deadline\n{hint}"
        ),
    );
    expect(
        &new(dir, &["--server", A]),
        1,
        "",
        &format!(
            "error: this descriptor cannot be: the descriptor lists 4 servers: must be 1 to 32, ascending, each once\n{hint}"
        ),
    );
    for (param, problem) in [
        ("slots", "expected NAME=VALUE"),
        ("slots=many", "expected a number below 2^32"),
        ("gossip=none", "unknown variant `none`, expected `all` or `servers`"),
    ] {
        expect(&new(dir, &["--param", param]), 2, "", &format!("error: --param {param}: {problem}\n"));
    }
    let unknown = new(dir, &["--param", "slotz=3"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.stderr.contains("there is no such parameter, only absence_limit, cells, "),
        "{}",
        unknown.stderr
    );
    let bad_id = descriptor(dir, &["new", "--instance", "a", "--server", "xyz"]);
    assert_eq!(bad_id.code, 2);
    assert!(bad_id.stderr.contains("`xyz` is not a peer id"), "{}", bad_id.stderr);
}

#[test]
fn files_that_are_no_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    expect(
        &descriptor(dir, &["verify", "none.json"]),
        1,
        "",
        "error: none.json: No such file or directory (os error 2)\n",
    );
    fs::write(dir.join("huge"), vec![b' '; 70_000]).unwrap();
    expect(
        &descriptor(dir, &["verify", "huge"]),
        1,
        "",
        "error: huge: is no descriptor: longer than 65536 bytes\n",
    );
    fs::write(dir.join("text"), "hello").unwrap();
    expect(
        &descriptor(dir, &["show", "text"]),
        1,
        "",
        "error: text: is no descriptor: expected value at line 1 column 1\n",
    );
    assert_eq!(new(dir, &["-o", "d.json"]).code, 0);
    let broken = fs::read_to_string(dir.join("d.json")).unwrap().replace("15000", "2500");
    fs::write(dir.join("broken"), broken).unwrap();
    expect(
        &descriptor(dir, &["verify", "broken"]),
        1,
        "",
        "error: broken: parameter round_deadline_ms = 2500: must be 3001 to 3600000; period < deadline\n\
         hint: the parameters and their limits are in docs/protocol.md, section 1\n",
    );
}
