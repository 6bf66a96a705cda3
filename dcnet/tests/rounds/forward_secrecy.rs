//! R2, R3: a node's whole memory gives no pad of a finished round. The tests look: they read all memory of their own
//! process and search it for the keys, which they know in complement only.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Mutex;

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};
use zipnet_dcnet::chain::Chain;
use zipnet_dcnet::hash::{Use, hash64, keyed32};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::pad;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::register::{Pending, answer};
use zipnet_dcnet::seal::{Content, seal};
use zipnet_dcnet::signed::encode;

/// One at a time: each searches the whole process.
static MEMORY: Mutex<()> = Mutex::new(());

const D: DeploymentId = DeploymentId([0x5d; 32]);
const HEADER: [u8; 32] = [0x5e; 32];
const START: u64 = 40;

/// Each secret under its name, with every bit flipped, so that the list itself is not found.
type Hidden = Vec<(String, Vec<u8>)>;

fn hide(secret: &[u8]) -> Vec<u8> {
    secret.iter().map(|b| !b).collect()
}

/// What the writable memory of this process holds of the secrets: any 16 bytes in a row from either end count.
fn found(hidden: &Hidden) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut needles: Vec<(&str, &[u8])> = Vec::new();
    for (name, secret) in hidden {
        needles.push((name, &secret[..16]));
        needles.push((name, &secret[secret.len() - 16..]));
    }
    let mut out = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    for line in maps.lines().filter(|l| l.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let (mut at, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        while at < to {
            let len = (to - at).min(buffer.len() as u64) as usize;
            memory.seek(SeekFrom::Start(at)).unwrap();
            // Some mappings cannot be read, such as those of the kernel.
            let Ok(()) = memory.read_exact(&mut buffer[..len]) else { break };
            for (name, needle) in &needles {
                if search(&buffer[..len], needle) {
                    out.push((*name).to_owned());
                }
            }
            // What was read is wiped before the next piece, which may be this buffer.
            buffer.zeroize();
            buffer.resize(1 << 20, 0);
            let overlap = if at + (len as u64) < to { 15 } else { 0 };
            at += len as u64 - overlap;
        }
    }
    out.sort();
    out.dedup();
    out
}

/// Whether the complement of `needle` is in `memory`.
fn search(memory: &[u8], needle: &[u8]) -> bool {
    let first = !needle[0];
    let mut rest = memory;
    while let Some(at) = rest.iter().position(|b| *b == first) {
        let Some(window) = rest.get(at..at + needle.len()) else { return false };
        if window.iter().zip(needle).all(|(m, n)| *m == !*n) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// The secrets of the registration below, computed here by section 11, in a thread whose stack is gone afterwards.
fn secrets(seed: u8, rounds: usize) -> Hidden {
    let compute = move || {
        let keyed = |purpose, key: &[u8], parts: &[&[u8]]| {
            let mut out = Zeroizing::new([0; 32]);
            keyed32(purpose, key, parts, &mut out);
            out
        };
        let x25519 = |seed: &[u8; 32]| Box::new(StaticSecret::from(*keyed(Use::IDENTITY_KEY, seed, &[])));
        let (id_c, id_s) = (x25519(&[seed; 32]), x25519(&[seed + 1; 32]));
        let ephemeral = |n: u8| Box::new(StaticSecret::from(**random(n)));
        let (e_cs, e_sc) = (ephemeral(seed + 2), ephemeral(seed + 3));
        let mut ikm = Zeroizing::new(vec![0; 128]);
        let pairs = [(&id_c, &id_s), (&e_cs, &e_sc), (&e_cs, &id_s), (&id_c, &e_sc)];
        for (out, (a, b)) in ikm.chunks_exact_mut(32).zip(pairs) {
            out.copy_from_slice(a.diffie_hellman(&PublicKey::from(&**b)).as_bytes());
        }
        let mut hidden = vec![
            ("client's ephemeral secret".to_owned(), hide(e_cs.as_bytes())),
            ("server's ephemeral secret".to_owned(), hide(e_sc.as_bytes())),
        ];
        for (i, shared) in ikm.chunks_exact(32).enumerate() {
            hidden.push((format!("shared secret {i}"), hide(shared)));
        }
        let mut key = Zeroizing::new([0; 64]);
        hash64(Use::CHAIN_KEY, &[&ikm], &mut key);
        hidden.push(("chain key".to_owned(), hide(&*key)));
        let (c, s) = (identity(seed).client_bundle(), identity(seed + 1).server_bundle());
        let (e_cs, e_sc) = (PublicKey::from(&*e_cs).to_bytes(), PublicKey::from(&*e_sc).to_bytes());
        let (c, s) = (encode(&c), encode(&s));
        let parts: [&[u8]; 7] = [&D.0, &[seed; 32], &c, &s, &e_cs, &e_sc, &START.to_le_bytes()];
        let mut chain = keyed(Use::CHAIN_START, &*key, &parts);
        for i in 0..rounds {
            hidden.push((format!("chain {i}"), hide(&*chain)));
            let pad = keyed(Use::PAD, &*chain, &[b"pad", &HEADER]);
            hidden.push((format!("pad key {i}"), hide(&*pad)));
            let next = keyed(Use::RATCHET, &*chain, &[b"ratchet"]);
            chain.copy_from_slice(&*next);
        }
        hidden
    };
    std::thread::scope(|scope| scope.spawn(compute).join().unwrap())
}

fn identity(n: u8) -> Identity {
    Identity::from_seed(Zeroizing::new([n; 32]))
}

/// Random bytes of a test; not `[n; 32]`, which other things may look like.
#[expect(clippy::unnecessary_box_returns, reason = "moving the bytes themselves leaves a copy on the stack")]
fn random(n: u8) -> Box<Zeroizing<[u8; 32]>> {
    let mut out = Box::new(Zeroizing::new([0; 32]));
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = n.wrapping_mul(31) ^ (i as u8).wrapping_mul(73);
    }
    out
}

fn registered(seed: u8) -> (Chain, Chain) {
    let (c, s) = (identity(seed), identity(seed + 1));
    let (pending, request) =
        Pending::new(&c, D, s.peer_id(), [9; 32], [seed; 32], Vec::new(), &random(seed + 2));
    let (theirs, reply) = answer(&s, D, [9; 32], START, &request, &random(seed + 3)).unwrap();
    let (ours, _) = pending.finish(&c, &reply).unwrap();
    (ours, theirs)
}

fn exclusive() -> std::sync::MutexGuard<'static, ()> {
    MEMORY.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// After a round is sealed and unblinded nothing in the client's and the server's memory leads to its pads: not the chain
/// key, not the pad key, and nothing of the registration that both came from. What is there leads to later rounds only.
#[test]
fn forward_secrecy() {
    let _alone = exclusive();
    let hidden = secrets(0x61, 5);
    let live = ["chain 3".to_owned()];
    let (mut ours, mut theirs) = registered(0x61);
    assert_eq!(found(&hidden), ["chain 0"], "after the registration");
    let params = Params::standard(1);
    for round in START..START + 3 {
        let key = theirs.take(round, &HEADER).unwrap();
        let i = round - START;
        let both = [format!("chain {i}"), format!("chain {}", i + 1), format!("pad key {i}")];
        assert_eq!(found(&hidden), both, "the search finds what is there");
        let partial = pad::sum(std::slice::from_ref(&key), params.vector_bytes());
        drop(key);
        let keys = vec![ours.take(round, &HEADER).unwrap()];
        let vector = seal(&params, &HEADER, keys, &Content::default()).unwrap();
        assert_eq!(vector, *partial);
    }
    assert_eq!(found(&hidden), live, "after three rounds");
    drop((ours, theirs));
    assert_eq!(found(&hidden), Vec::<String>::new(), "after the chains are dropped");
}

/// A round that passes unused is as lost as a used one.
#[test]
fn forward_secrecy_of_a_round_that_passes_unused() {
    let _alone = exclusive();
    let hidden = secrets(0x71, 4);
    let (mut ours, mut theirs) = registered(0x71);
    ours.advance(START + 3).unwrap();
    theirs.advance(START + 3).unwrap();
    assert_eq!(found(&hidden), ["chain 3"]);
}
