//! What the launcher hands on to QEMU, and to the guest.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use zipnet_guest::host::Host;
use zipnet_tdx::image::COMMAND_LINE;

use super::launcher::{Place, said};

fn arguments(place: &Place, options: &[&str]) -> Vec<String> {
    let output = place.run(options);
    assert_eq!(output.status.code(), Some(7), "QEMU's own exit code: {}", said(&output));
    let left: Vec<_> = fs::read_dir(place.path("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?} is left");
    fs::read_to_string(place.path("arguments")).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn after<'a>(arguments: &'a [String], option: &str) -> &'a str {
    let at =
        arguments.iter().position(|argument| argument == option).unwrap_or_else(|| panic!("no {option}"));
    &arguments[at + 1]
}

#[test]
fn emulation_is_loud_and_has_the_measured_command_line() {
    let place = Place::new();
    let output = place.run(&["--emulate"]);
    assert!(said(&output).contains("EMULATED: this is no TDX guest"), "{}", said(&output));
    let all = arguments(&place, &["--emulate"]);
    assert_eq!(after(&all, "-append"), COMMAND_LINE);
    assert_eq!(
        (after(&all, "-m"), after(&all, "-smp"), after(&all, "-accel")),
        ("512M", "1", "tcg,thread=multi")
    );
    assert!(!all.iter().any(|argument| argument.contains("tdx-guest") || argument == "kvm"));
    for rom in all.iter().filter(|argument| argument.starts_with("virtio-net")) {
        assert!(rom.contains("romfile=,"), "an option ROM would be measured: {rom}");
    }
    assert_eq!(Host::parse(&fs::read(place.path("host")).unwrap()), Ok(Host::default()));
}

#[test]
fn every_option_arrives() {
    let place = Place::new();
    let peers = "aa@192.0.2.1:4701,bb@[2001:db8::1]:4701";
    let options = [
        "--emulate",
        "--memory",
        "2G",
        "--cpus",
        "2",
        "--bootstrap",
        peers,
        "--relay",
        "https://r.example:1/x",
    ];
    let options = [
        &options[..],
        &[
            "--universe",
            "acme.universe",
            "--cadence",
            "3",
            "--forward",
            "udp:4700:4700",
            "--forward",
            "tcp:9100:9101",
        ],
    ]
    .concat();
    let all = arguments(&place, &options);
    assert_eq!((after(&all, "-m"), after(&all, "-smp")), ("2G", "2"));
    assert_eq!(
        after(&all, "-netdev"),
        "user,id=net,hostfwd=udp:127.0.0.1:4700-:4700,hostfwd=tcp:127.0.0.1:9100-:9101"
    );
    let host = Host {
        bootstrap: Some(peers.to_owned()),
        relay: Some("https://r.example:1/x".to_owned()),
        universe: Some("acme.universe".to_owned()),
        cadence: Some(3),
    };
    assert_eq!(Host::parse(&fs::read(place.path("host")).unwrap()), Ok(host));
}

/// The disk is made once, private and with its room, and is the same one the next time.
#[test]
fn the_state_is_a_disk_of_the_guest_and_the_way_in_a_port_of_the_host() {
    let place = Place::new();
    let state = place.path("its, state");
    let options = ["--emulate", "--state", state.to_str().unwrap(), "--socket", "14780"];
    for _ in 0..2 {
        let all = arguments(&place, &options);
        assert_eq!(after(&all, "-netdev"), "user,id=net,hostfwd=tcp:127.0.0.1:14780-:4780");
        let file = state.display().to_string().replace(',', ",,");
        let drive = format!("file={file},format=raw,if=none,id=state,cache=writeback");
        assert!(all.contains(&drive), "{all:?}");
        assert!(all.iter().any(|argument| argument.contains("drive=state,serial=zipnet-state")));
        let made = fs::metadata(&state).unwrap();
        assert_eq!((made.len(), made.mode() & 0o777), (256 << 20, 0o600));
        assert!(made.blocks() * 512 >= 256 << 20, "no room was taken");
    }
    assert!(said(&place.run(&options)).contains("whoever controls this host reads their messages"));
    let text = place.path("collateral.json");
    fs::write(&text, "{}").unwrap();
    let all = arguments(&place, &["--emulate", "--collateral", text.to_str().unwrap()]);
    assert!(all.iter().any(|argument| argument.contains("drive=collateral,serial=zipnet-coll")), "{all:?}");
    let nowhere = place.run(&["--emulate", "--state", "/no such folder/state"]);
    assert_eq!(nowhere.status.code(), Some(4), "{}", said(&nowhere));
    assert!(said(&nowhere).contains("/no such folder/state cannot be made"), "{}", said(&nowhere));
    let all = arguments(&place, &["--emulate"]);
    assert!(!all.iter().any(|argument| argument.contains("state") || argument.contains("hostfwd")));
}

#[test]
fn what_would_be_another_option_is_refused() {
    let place = Place::new();
    let long = "a".repeat(3501);
    let cases: [&[&str]; 17] = [
        &["--shell"],
        &["--memory"],
        &["--memory", "512"],
        &["--memory", "512M,slots=2"],
        &["--cpus", "0"],
        &["--cpus", "x"],
        &["--cadence", "0"],
        &["--forward", "udp:1:2,guestfwd=x"],
        &["--forward", "icmp:1:2"],
        &["--bootstrap", "a b"],
        &["--bootstrap", "a\nrelay http://x"],
        &["--bootstrap", &long],
        &["--universe", "a b"],
        &["--relay", "file:///etc/passwd"],
        &["--socket", "0"],
        &["--socket", "1-:22,hostfwd=x"],
        &["--qgs", "2:4050\"}"],
    ];
    for options in cases {
        let output = place.run(&[&["--emulate"], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}", said(&output));
        assert!(said(&output).contains("--help"), "{}", said(&output));
    }
    // Each fits, together they do not.
    let some = "a".repeat(3000);
    let output = place.run(&["--emulate", "--bootstrap", &some, "--bootstrap", &some]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!place.path("arguments").exists(), "QEMU was started all the same");
    let help = place.run(&["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(
        help.contains("--emulate") && help.contains("Exit codes") && !help.contains("pipefail"),
        "{help}"
    );
}
