//! *No payload leaks*: what is sent appears in no log at TRACE, no metric, no error, no argument, no environment.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use zipnet_tests::{Deployment, DeploymentConfig, bin, until};

use super::START;
use crate::processes::PARAMS;

const CANARY: &str = "canary-4f1c9a7e";

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// The word as it is, and as logs may spell bytes.
fn spellings() -> Vec<String> {
    let hex = CANARY.bytes().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let list: Vec<String> = CANARY.bytes().map(|b| b.to_string()).collect();
    vec![CANARY.to_owned(), hex, list.join(", "), "Y2FuYXJ5LTRmMWM5YTdl".to_owned()]
}

fn scrape(port: u16) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    text
}

fn of_process(pid: u32) -> Vec<u8> {
    let read = |what: &str| fs::read(Path::new("/proc").join(pid.to_string()).join(what)).unwrap();
    [read("cmdline"), read("environ")].concat()
}

#[test]
fn no_payload_leaks() {
    let config = DeploymentConfig { instance: "canary.test", servers: 3, params: PARAMS };
    let deployment = Deployment::start(&config);
    let others: Vec<_> = (0..4).map(|i| deployment.daemon(&format!("daemon-{i}"))).collect();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut talker = deployment.daemon_of("talker", &deployment.pinned());
    talker.set("RUST_LOG", "trace");
    talker.set("ZIPNET_METRICS", &port.to_string());
    talker.start();
    talker.wait_registered(START * 3);

    // By standard input, refused ones too: errors must not quote.
    for text in [CANARY.to_owned(), CANARY.repeat(40)] {
        let mut send = Command::new(bin("zipnetctl"));
        send.args(["send", "--request-id", &text.len().to_string(), "--socket"]).arg(talker.socket());
        let mut child =
            send.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.success(), text == CANARY);
        for spelling in spellings() {
            assert!(!contains(&[out.stdout.clone(), out.stderr.clone()].concat(), &spelling));
        }
    }
    until(START * 2, "the message to be published", || {
        let log = others[0].read()?;
        anyhow::ensure!(log.iter().any(|m| m.payload == CANARY), "it is not there");
        Ok(())
    });
    let mut places = vec![
        ("metrics".to_owned(), scrape(port)),
        ("the process".to_owned(), of_process(talker.process().id())),
    ];
    talker.process().stop();
    places.push(("the talker's log".to_owned(), talker.process().log().into_bytes()));
    for process in deployment.processes() {
        places.push((format!("{}'s log", process.name()), process.log().into_bytes()));
    }
    assert!(places[2].1.len() > 10_000, "the log at TRACE has hardly anything");
    for (place, bytes) in &places {
        for spelling in spellings() {
            assert!(!contains(bytes, &spelling), "{place} has the message as `{spelling}`");
        }
    }
}
