//! What a link and the universe bring, and what is shown on a terminal.

use zeroize::Zeroizing;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::signed::encode;
use zipnet_network::describe::{DescribeAnswer, MAX_LINKS};
use zipnet_network::links::{Kind, LinkAddr, Refusal, fuzz};
use zipnet_proto::terminal::{payload, tame};

pub(crate) fn identity(n: u8) -> Identity {
    Identity::from_seed(Zeroizing::new([n; 32]))
}

/// Words of strangers: whatever they are, nothing of it moves a cursor.
pub(crate) fn terminal(data: &[u8]) {
    let moves = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
    let shown = payload(data);
    assert!(!shown.contains(moves), "{shown:?}");
    assert_eq!(str::from_utf8(data).is_err(), shown.starts_with("[base64] "), "{shown:?}");
    let lossy = String::from_utf8_lossy(data);
    let tamed = tame(&lossy);
    assert!(!tamed.contains(moves), "{tamed:?}");
    assert_eq!(tame(&tamed), tamed, "what is tame stays as it is");
}

pub(crate) fn terminal_seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 6] = [
        "héllo 👋".as_bytes(),
        b"\x1b[2Jx\r\n\ty\x7f",
        "a\u{9b}31m\u{202e}b\u{2066}\u{200b}\u{feff}".as_bytes(),
        b"[base64] /xs=",
        &[0xff, 0x1b, 0x80],
        b"C:\\x\\u{1b}c",
    ];
    texts.map(<[u8]>::to_vec).to_vec()
}

/// Messages on a stream.
pub(crate) fn frames(data: &[u8]) {
    fuzz::frames(data);
}

pub(crate) fn frames_seeds() -> Vec<Vec<u8>> {
    let message = |tag: u8, body: &[u8]| {
        let mut out = vec![tag];
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(body);
        out
    };
    let mut out: Vec<Vec<u8>> = Kind::ALL.map(|kind| message(kind as u8, &[kind as u8; 40])).to_vec();
    out.push(message(1, &encode(&Refusal::new(5, "later"))));
    out.push([message(0, b"one"), message(0, b"two"), message(2, b"")].concat());
    out
}

/// The first message of either side.
pub(crate) fn hello(data: &[u8]) {
    fuzz::hello(data);
}

pub(crate) fn hello_seeds() -> Vec<Vec<u8>> {
    fuzz::hellos()
}

/// The answer to `describe`.
pub(crate) fn describe(data: &[u8]) {
    if let Ok(answer) = DescribeAnswer::from_bytes(data, "acme") {
        assert!(answer.links.len() <= MAX_LINKS && answer.descriptor.check().is_ok());
        assert_eq!(answer.to_bytes(), data);
    }
}

pub(crate) fn describe_seeds() -> Vec<Vec<u8>> {
    let bundle = identity(1).server_bundle();
    let descriptor = Descriptor::new("acme", Params::dev(1), vec![bundle.peer_id]).unwrap();
    let addrs = vec!["192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:65535".parse().unwrap()];
    let link = LinkAddr { peer_id: bundle.peer_id, link_pk: bundle.link_pk, addrs };
    let none = DescribeAnswer { descriptor, links: Vec::new() };
    let some = DescribeAnswer { links: vec![link], ..none.clone() };
    vec![none.to_bytes(), some.to_bytes()]
}
