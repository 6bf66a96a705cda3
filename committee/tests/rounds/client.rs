//! A fake client: registers for real, follows R2 to R5, R8 and R12 as far as a committee can see.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use zeroize::Zeroizing;
use zipnet_committee::core::{Admission, Core, RegisterRefused};
use zipnet_committee::state::State;
use zipnet_dcnet::absence::slack;
use zipnet_dcnet::chain::Chain;
use zipnet_dcnet::descriptor;
use zipnet_dcnet::header::SignedHeader;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{ClientId, PeerId, Session};
use zipnet_dcnet::record::Record;
use zipnet_dcnet::register::{Pending, Request};
use zipnet_dcnet::reservation::owners;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::seal::{Content, Envelope, seal};
use zipnet_tdx::verify::Admitted;

/// A client that is not listed for so many rounds starts a new session.
const UNLISTED: u32 = 8;

struct Registration {
    boot: [u8; 32],
    chain: Chain,
    vouch: [u8; 32],
}

/// What a client put into a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) slot: u32,
    pub(crate) payload: Vec<u8>,
}

/// The release that the first client runs, and that of all others.
pub(crate) const FIRST: &str = "1";
pub(crate) const OTHERS: &str = "2";

/// Admits everybody, as of this release.
struct Of(&'static str);

/// Admits everybody but this release.
pub(crate) struct Without(pub(crate) &'static str);

impl Admission for Of {
    fn kind(&self) -> descriptor::Admission {
        descriptor::Admission::Tdx
    }

    fn record(&self, _: &Record) {}

    fn admit(&self, _: &Request) -> Result<Admitted, String> {
        Ok(Admitted { release: self.0.to_owned(), until: u64::MAX })
    }

    fn still(&self, _: &Admitted) -> Result<(), String> {
        Ok(())
    }
}

impl Admission for Without {
    fn kind(&self) -> descriptor::Admission {
        descriptor::Admission::Tdx
    }

    fn record(&self, _: &Record) {}

    fn admit(&self, _: &Request) -> Result<Admitted, String> {
        Err("withdrawn".to_owned())
    }

    fn still(&self, admitted: &Admitted) -> Result<(), String> {
        if admitted.release == self.0 { Err("withdrawn".to_owned()) } else { Ok(()) }
    }
}

pub(crate) struct Client {
    pub(crate) identity: Arc<Identity>,
    pub(crate) release: &'static str,
    pub(crate) session: Session,
    pub(crate) up: bool,
    /// Servers that it cannot reach.
    pub(crate) cut_off: Vec<PeerId>,
    registrations: BTreeMap<PeerId, Registration>,
    /// The token it reserved with, and in which round.
    token: Option<(u64, NonZeroU32)>,
    /// The last round it looked at.
    seen: u64,
    /// Rounds in a row that did not list it although it is registered.
    unlisted: u32,
}

impl Client {
    pub(crate) fn new(identity: Identity, release: &'static str, rng: &mut ChaCha20Rng) -> Self {
        let mut client = Self {
            identity: Arc::new(identity),
            release,
            session: [0; 32],
            up: true,
            cut_off: Vec::new(),
            registrations: BTreeMap::new(),
            token: None,
            seen: 0,
            unlisted: 0,
        };
        client.restart(rng);
        client
    }

    pub(crate) fn id(&self) -> ClientId {
        self.identity.client_bundle().client_id()
    }

    /// A new start: a new session, nothing remembered.
    pub(crate) fn restart(&mut self, rng: &mut ChaCha20Rng) {
        rng.fill_bytes(&mut self.session);
        self.registrations.clear();
        self.token = None;
        self.unlisted = 0;
    }

    /// What a server answers when it is asked whether it shares a chain with this session: if not, there is a next one.
    pub(crate) fn ask(&mut self, core: &Core, state: &State) {
        if !core.shares(state, &self.id(), &self.session) {
            self.registrations.remove(&core.me());
        }
    }

    /// Registers with a server, unless it has or cannot.
    pub(crate) fn register(&mut self, now: u64, core: &mut Core, state: &State, rng: &mut ChaCha20Rng) {
        let (server, boot) = (core.me(), core.boot());
        let known = self.registrations.get(&server).is_some_and(|r| r.boot == boot);
        if known || self.cut_off.contains(&server) {
            return;
        }
        let mut random = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *random);
        let deployment = state.deployment();
        let (pending, request) =
            Pending::new(&self.identity, deployment, server, boot, self.session, Vec::new(), &random);
        match core.register(now, state, &Of(self.release), &request) {
            Ok(answer) => {
                let again = core.register(now, state, &Of(self.release), &request);
                assert_eq!(again.unwrap(), answer, "R2: the same e_cs gets the same answer");
                let (chain, vouch) = pending.finish(&self.identity, &answer).unwrap();
                self.registrations.insert(server, Registration { boot, chain, vouch });
            }
            Err(RegisterRefused::Starting | RegisterRefused::Stopping | RegisterRefused::Withdrawn) => {}
            Err(RegisterRefused::Evicted | RegisterRefused::OtherKey) => self.restart(rng),
            Err(error) => panic!("registration: {error}"),
        }
    }

    /// Seals for an open round, once: what goes to an aggregator, and what it says if it talks.
    pub(crate) fn seal(
        &mut self,
        state: &State,
        signed: &SignedHeader,
        roster: &Roster,
        rng: &mut ChaCha20Rng,
    ) -> Option<(Envelope, Option<Said>)> {
        let header = &signed.header;
        if header.round <= self.seen {
            return None;
        }
        self.seen = header.round;
        let digest = signed.verify(state.descriptor(), &state.deployment()).unwrap();
        let mine = |server: &PeerId| Some(self.registrations.get(server)?.vouch);
        let vouches: Option<Vec<_>> = header.servers.iter().map(mine).collect();
        let listed = roster.index(&self.id()).filter(|index| {
            let entry = &roster.entries()[*index as usize];
            entry.session == self.session && Some(&entry.vouches) == vouches.as_ref()
        });
        let Some(index) = listed else {
            // Registered with all of them, and still not in: as if evicted.
            self.unlisted += u32::from(vouches.is_some());
            if self.unlisted == UNLISTED {
                self.restart(rng);
            }
            return None;
        };
        self.unlisted = 0;
        let params = &state.descriptor().params;
        let last = state.last();
        let before = last.map_or(0, zipnet_dcnet::record::Record::count);
        let quiet = header.is_quiet(last)
            || (header.servers.len() as u32) < params.min_servers
            || before - slack(before) < params.min_anonymity;
        let said = self.slot(state, header.round).filter(|_| !quiet).map(|slot| {
            let payload = format!("{} in {}", self.id(), header.round).into_bytes();
            Said { slot, payload: payload[40..].to_vec() }
        });
        let drawn = NonZeroU32::new(rng.next_u32()).unwrap_or(NonZeroU32::MIN);
        self.token = (!quiet).then_some((header.round, drawn));
        let mut keys = Vec::new();
        for (server, registration) in &mut self.registrations {
            if header.servers.contains(server) {
                keys.push(registration.chain.take(header.round, &digest).unwrap());
            } else if registration.chain.at() <= header.round {
                registration.chain.advance(header.round + 1).unwrap();
            }
        }
        let message = said.as_ref().map(|s| (s.slot, s.payload.as_slice()));
        let content = Content { token: self.token.map(|t| t.1), message };
        let vector = seal(params, &digest, keys, &content).unwrap();
        Some((Envelope { round: header.round, index, vector }, said))
    }

    /// The slot it owns in this round.
    fn slot(&self, state: &State, round: u64) -> Option<u32> {
        let (reserved, token) = self.token?;
        let last = state.last().filter(|last| last.round == reserved && reserved + 1 == round)?;
        let slots = state.descriptor().params.slots;
        let owners = owners(&state.last_digest(), &last.reservations, slots);
        owners.iter().position(|t| *t == token.get()).map(|slot| slot as u32)
    }
}
