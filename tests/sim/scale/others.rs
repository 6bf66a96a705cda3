//! All other clients: registered for real, and as lean as can be.

use rayon::prelude::*;
use zeroize::Zeroizing;
use zipnet_committee::core::{Core, Open};
use zipnet_dcnet::chain::Chain;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::Header;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::ClientId;
use zipnet_dcnet::register::{Answer, Pending};
use zipnet_dcnet::roster::{Entry, Roster};
use zipnet_dcnet::seal::{Content, Envelope, seal};
use zipnet_dcnet::signed::{Signed, encode};

use super::committee::{Committee, identity};
use super::cpu::timed;
use super::report::Row;

/// Up to so many, every client has its chains.
const ALL_REAL: usize = 10_000;
/// Clients beyond that which have.
const FEW_REAL: usize = 1_000;

/// Clients that are measured together.
const AT_ONCE: usize = 256;

struct Other {
    identity: Identity,
    id: ClientId,
    session: [u8; 32],
    /// By server; empty for those that send zeros.
    chains: Vec<Chain>,
}

/// See the module.
pub(super) struct Others(Vec<Other>);

/// What registering with one server gave.
struct Registered {
    answers: Vec<Signed<Answer>>,
    chains: Vec<Chain>,
    client_ms: f64,
    server_ms: f64,
    bytes: u64,
}

impl Others {
    /// Registers `n` clients with every server, one thread per server.
    pub(super) fn register(n: usize, committee: &mut Committee, row: &mut Row) -> Self {
        let new = |n: usize| {
            let identity = identity(4, n);
            let id = identity.client_bundle().client_id();
            let mut session = [5; 32];
            session[..8].copy_from_slice(&(n as u64).to_le_bytes());
            Other { identity, id, session, chains: Vec::new() }
        };
        let mut all: Vec<Other> = (0..n).into_par_iter().map(new).collect();
        let real = if n <= ALL_REAL { n } else { FEW_REAL };
        let (state, now) = (&committee.state, committee.now);
        let register = |(s, core): (usize, &mut Core)| {
            let deployment = state.deployment();
            let request = |(i, other): (usize, &Other)| {
                let mut random = Zeroizing::new([s as u8 + 9; 32]);
                random[..8].copy_from_slice(&(i as u64).to_le_bytes());
                let (identity, session) = (&other.identity, other.session);
                Pending::new(identity, deployment, core.me(), core.boot(), session, Vec::new(), &random)
            };
            let (requests, asking) = timed(|| all.iter().enumerate().map(request).collect::<Vec<_>>());
            let bytes = requests.first().map_or(0, |r| encode(&r.1).len() as u64);
            let (answers, server_ms) = timed(|| {
                let answer =
                    |r: &(Pending, _)| core.register(now, state, &Open, &r.1).expect("there is room");
                requests.iter().map(answer).collect::<Vec<_>>()
            });
            let pendings = requests.into_iter().map(|(pending, _)| pending);
            let (chains, finishing) = timed(|| {
                let some = all.iter().zip(pendings).zip(&answers).take(real);
                some.map(|((other, p), answer)| p.finish(&other.identity, answer).expect("it fits").0)
                    .collect()
            });
            let bytes = bytes + answers.first().map_or(0, |a| encode(a).len() as u64);
            let client_ms = asking / n as f64 + finishing / real as f64;
            Registered { answers, chains, client_ms, server_ms: server_ms / n as f64, bytes }
        };
        let cores: Vec<_> = committee.cores.iter_mut().enumerate().collect();
        let registered: Vec<Registered> = cores.into_par_iter().map(register).collect();
        let servers = registered.len() as f64;
        row.register_client = registered.iter().map(|r| r.client_ms).sum();
        row.register_server = registered.iter().map(|r| r.server_ms).sum::<f64>() / servers;
        row.register_bytes = registered.iter().map(|r| r.bytes).sum();
        let mut vouching = 0.0;
        // In the order in which clients come: for more than its share of the registry no server vouches alone.
        for from in (0..n).step_by(AT_ONCE) {
            for (s, registered) in registered.iter().enumerate() {
                let answers = &registered.answers[from..n.min(from + AT_ONCE)];
                let vouches: Vec<_> = answers.iter().map(|a| committee.vouch(s, a.trusted())).collect();
                row.vouch_bytes = encode(&vouches[0]).len() as u64;
                vouching += committee.apply(&vouches);
            }
        }
        for registered in registered {
            for (other, chain) in all.iter_mut().zip(registered.chains) {
                other.chains.push(chain);
            }
        }
        row.vouch_cpu = vouching / n as f64;
        Self(all)
    }

    /// Everybody's envelope, handed to `fold`; the bytes of one.
    pub(super) fn seal(
        &mut self,
        descriptor: &Descriptor,
        header: &Header,
        roster: &Roster,
        fold: &mut impl FnMut(Vec<(ClientId, Envelope)>),
    ) -> u64 {
        let (params, digest) = (&descriptor.params, header.digest());
        let mut bytes = 0;
        let mut seal_one = |other: &mut Other| {
            let index = roster.index(&other.id).expect("everybody is registered");
            let vector = if other.chains.is_empty() {
                vec![0; params.vector_bytes()]
            } else {
                let keys = other.chains.iter_mut().map(|c| c.take(header.round, &digest).expect("once"));
                seal(params, &digest, keys.collect(), &Content::default()).expect("nothing is too long")
            };
            let envelope = Envelope { round: header.round, index, vector };
            if bytes == 0 {
                bytes = encode(&envelope).len() as u64;
            }
            (other.id, envelope)
        };
        for some in self.0.chunks_mut(AT_ONCE) {
            fold(some.iter_mut().map(&mut seal_one).collect());
        }
        bytes
    }

    /// What one client more costs everybody who has the roster.
    pub(super) fn joins(committee: &Committee, row: &mut Row) {
        let old = committee.state.last_roster();
        let new = Entry { client: ClientId([7; 32]), session: [7; 32], vouches: vec![[7; 32]; 5] };
        let entries = old.entries().iter().cloned().chain([new]).collect();
        let changed = Roster::new(entries).expect("a new one");
        let (delta, ms) = timed(|| changed.delta(old));
        (row.delta_server, row.delta) = (ms, encode(&delta).len() as u64);
        let (applied, ms) = timed(|| old.apply(&delta).map(|roster| roster.digest()));
        assert_eq!(applied, Some(changed.digest()));
        row.delta_client = ms;
    }
}
