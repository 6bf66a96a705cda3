//! Identity, client id, registration, chain, pad.

use serde_json::{Value, json};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;
use zipnet_dcnet::chain::Chain;
use zipnet_dcnet::hash::{Use, hash64, keyed32};
use zipnet_dcnet::ids::Bundle;
use zipnet_dcnet::pad;
use zipnet_dcnet::register::{Pending, answer};
use zipnet_dcnet::signed::encode;

use super::{DEPLOYMENT, bundle, case, check, hex, identity, rising};

#[test]
fn identity_keys() {
    let cases: Vec<Value> = [(0, "header", rising(7).to_vec()), (200, "zipnet link", Vec::new())]
        .into_iter()
        .map(|(seed, domain, msg)| {
            let id = identity(seed);
            let input = json!({ "seed": hex(rising(seed)), "domain": domain, "msg": hex(&msg) });
            let output = json!({
                "peer_secret": hex(*id.peer_secret()),
                "link_secret": hex(*id.link_secret()),
                "client_bundle": hex(encode(&id.client_bundle())),
                "server_bundle": hex(encode(&id.server_bundle())),
                "signature": hex(id.sign(domain, &msg).0),
            });
            case(&format!("seed {seed}"), &input, &output)
        })
        .collect();
    check("identity", &cases);
}

#[test]
fn client_id() {
    let id = identity(0);
    let bytes = Bundle { peer_id: id.peer_id(), identity_pk: rising(1), link_pk: rising(2) };
    let bundles = [("client", id.client_bundle()), ("server", id.server_bundle()), ("any bytes", bytes)];
    let one = |(name, b): (&str, Bundle)| {
        case(name, &bundle(&b), &json!({ "client_id": b.client_id().to_string() }))
    };
    check("client_id", &bundles.map(one));
}

struct Agreement {
    client: u8,
    server: u8,
    client_random: u8,
    server_random: u8,
    boot: u8,
    session: u8,
    start: u64,
    evidence: &'static [u8],
}

const AGREEMENTS: [Agreement; 2] = [
    Agreement {
        client: 10,
        server: 60,
        client_random: 110,
        server_random: 160,
        boot: 1,
        session: 2,
        start: 1,
        evidence: b"",
    },
    Agreement {
        client: 11,
        server: 61,
        client_random: 111,
        server_random: 161,
        boot: 3,
        session: 4,
        start: 0x0102_0304_0506,
        evidence: b"evidence",
    },
];

impl Agreement {
    /// Both sides; the client's chain, and the server's, with what went over the wire.
    fn run(&self) -> (Chain, Chain, Value) {
        let (c, s) = (identity(self.client), identity(self.server));
        let (boot, session) = (rising(self.boot), rising(self.session));
        let random = Zeroizing::new(rising(self.client_random));
        let evidence = self.evidence.to_vec();
        let (pending, request) = Pending::new(&c, DEPLOYMENT, s.peer_id(), boot, session, evidence, &random);
        let random = Zeroizing::new(rising(self.server_random));
        let (theirs, reply) = answer(&s, DEPLOYMENT, boot, self.start, &request, &random).unwrap();
        let (ours, vouch) = pending.finish(&c, &reply).unwrap();
        let out =
            json!({ "request": hex(encode(&request)), "answer": hex(encode(&reply)), "vouch": hex(vouch) });
        (ours, theirs, out)
    }

    /// `ikm`, the chain key and chain_0, by section 11 and not by `register.rs`.
    fn secrets(&self) -> ([u8; 128], [u8; 64], [u8; 32]) {
        let secret = |seed: u8| {
            let mut out = [0; 32];
            keyed32(Use::IDENTITY_KEY, &rising(seed), &[], &mut out);
            StaticSecret::from(out)
        };
        let (id_c, id_s) = (secret(self.client), secret(self.server));
        let (e_cs, e_sc) =
            (StaticSecret::from(rising(self.client_random)), StaticSecret::from(rising(self.server_random)));
        let mut ikm = [0; 128];
        for (out, (a, b)) in
            ikm.chunks_exact_mut(32).zip([(&id_c, &id_s), (&e_cs, &e_sc), (&e_cs, &id_s), (&id_c, &e_sc)])
        {
            out.copy_from_slice(a.diffie_hellman(&PublicKey::from(b)).as_bytes());
        }
        let (mut key, mut chain) = ([0; 64], [0; 32]);
        hash64(Use::CHAIN_KEY, &[&ikm], &mut key);
        let (c, s) = (identity(self.client).client_bundle(), identity(self.server).server_bundle());
        let parts: [&[u8]; 7] = [
            &DEPLOYMENT.0,
            &rising(self.session),
            &encode(&c),
            &encode(&s),
            &PublicKey::from(&e_cs).to_bytes(),
            &PublicKey::from(&e_sc).to_bytes(),
            &self.start.to_le_bytes(),
        ];
        keyed32(Use::CHAIN_START, &key, &parts, &mut chain);
        (ikm, key, chain)
    }
}

#[test]
fn chain() {
    let cases: Vec<Value> = AGREEMENTS
        .iter()
        .map(|a| {
            let (mut ours, mut theirs, mut out) = a.run();
            assert_eq!((ours.at(), theirs.at()), (a.start, a.start));
            let (ikm, key, mut chain) = a.secrets();
            let (mut chain_keys, mut pad_keys, mut headers) = (Vec::new(), Vec::new(), Vec::new());
            for i in 0..4 {
                let header = rising(30 + i);
                headers.push(hex(header));
                chain_keys.push(hex(chain));
                let mut pad = [0; 32];
                keyed32(Use::PAD, &chain, &[b"pad", &header], &mut pad);
                let round = a.start + u64::from(i);
                assert_eq!(*ours.take(round, &header).unwrap().expose(), pad);
                assert_eq!(*theirs.take(round, &header).unwrap().expose(), pad);
                pad_keys.push(hex(pad));
                let old = chain;
                keyed32(Use::RATCHET, &old, &[b"ratchet"], &mut chain);
            }
            let input = json!({
                "client_seed": hex(rising(a.client)),
                "server_seed": hex(rising(a.server)),
                "client_random": hex(rising(a.client_random)),
                "server_random": hex(rising(a.server_random)),
                "deployment": DEPLOYMENT.to_string(),
                "boot": hex(rising(a.boot)),
                "session": hex(rising(a.session)),
                "evidence": hex(a.evidence),
                "start": a.start,
                "header_digests": headers,
            });
            out["ikm"] = hex(ikm).into();
            out["chain_key"] = hex(key).into();
            out["chains"] = chain_keys.into();
            out["pad_keys"] = pad_keys.into();
            case(&format!("start {}", a.start), &input, &out)
        })
        .collect();
    check("chain", &cases);
}

#[test]
fn pads() {
    let (mut chain, ..) = AGREEMENTS[0].run();
    let cases: Vec<Value> = [1, 64, 300, 18_432]
        .into_iter()
        .map(|bytes| {
            let key = chain.take(chain.at(), &rising(30)).unwrap();
            let mut pad = vec![0; bytes];
            pad::apply(&key, &mut pad);
            let input = json!({ "pad_key": hex(key.expose()), "bytes": bytes });
            case(&format!("{bytes} bytes"), &input, &json!({ "pad": hex(&pad) }))
        })
        .collect();
    check("pad", &cases);
}

/// Pad keys for a test vector: of the first chain, in its first rounds.
pub(crate) fn pad_keys(count: usize) -> Vec<zipnet_dcnet::chain::PadKey> {
    let (mut chain, ..) = AGREEMENTS[0].run();
    (0..count).map(|_| chain.take(chain.at(), &rising(90)).unwrap()).collect()
}
