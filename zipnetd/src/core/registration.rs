//! Registration with every server of the descriptor (R2), and the chains it gives (R3).

use zipnet_dcnet::chain::{Chain, MAX_STEPS, PadKey};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{DeploymentId, HeaderDigest, PeerId, RecordDigest, Session};
use zipnet_dcnet::register::{Answer, Pending, Request};
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::wire::{RegisterCall, RegisterReply};

use super::attest::Attest;
use super::draw::Draw;
use super::input::RegisterFailure;
use super::output::{Notice, Output};

/// Longest pause between two tries, in milliseconds.
const MAX_PAUSE_MS: u64 = 60_000;
/// First pause, in milliseconds.
const FIRST_PAUSE_MS: u64 = 250;
/// First pause before a server that headers leave out is asked whether it restarted, in milliseconds.
const FIRST_DOUBT_MS: u64 = 2_000;
/// A call that has no answer after this is given up, in milliseconds.
const CALL_MS: u64 = 30_000;

enum Phase {
    /// Nothing asked.
    Idle,
    /// Asked for the boot nonce.
    Nonce,
    /// A request is made; it is sent again as it is, since the same ephemeral key gets the same answer.
    Asked { pending: Box<Pending>, request: Box<Signed<Request>> },
    /// Registered.
    Done { chain: Chain, vouch: [u8; 32] },
}

struct Server {
    id: PeerId,
    phase: Phase,
    /// Its boot nonce, as far as known.
    boot: Option<[u8; 32]>,
    /// Since when a call is under way.
    calling: Option<u64>,
    failures: u32,
    retry_at: u64,
    /// When a server that this client is registered with is asked for its boot nonce: it may have restarted while this
    /// client listened to another one, and nobody else says so.
    doubt_at: Option<u64>,
    /// How often that was asked since a header named it last.
    doubts: u32,
}

/// The session and what each server gave for it. No `Debug`: it holds chains.
pub(super) struct Registrar {
    session: Session,
    attest: Attest,
    servers: Vec<Server>,
}

/// Why no keys can be taken for a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyError {
    /// A server of the header did not answer this session's registration, or its chain is past the round.
    Missing,
    /// A chain is too far behind: only a new session helps.
    TooFar,
}

impl Registrar {
    /// A new session with the servers of the descriptor, which admit by TDX quote or admit anybody.
    pub(super) fn new(servers: &[PeerId], attested: bool, draw: &mut Draw) -> Self {
        let server = |id: &PeerId| Server {
            id: *id,
            phase: Phase::Idle,
            boot: None,
            calling: None,
            failures: 0,
            retry_at: 0,
            doubt_at: None,
            doubts: 0,
        };
        Self {
            session: *draw.keys.bytes(),
            attest: Attest::new(attested),
            servers: servers.iter().map(server).collect(),
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Forgets all chains and starts over under new random bytes; boot nonces stay known.
    pub(super) fn new_session(&mut self, draw: &mut Draw) {
        self.session = *draw.keys.bytes();
        self.attest.new_session();
        for server in &mut self.servers {
            server.phase = Phase::Idle;
        }
    }

    /// A link came up: whoever waits for a retry need not, and the server may be another start of it.
    pub(super) fn link_up(&mut self, peer: &PeerId, now: u64) {
        if let Some(s) = self.servers.iter_mut().find(|s| s.id == *peer) {
            s.retry_at = s.retry_at.min(now);
            if matches!(s.phase, Phase::Done { .. }) {
                s.doubt_at = Some(now);
            }
        }
    }

    /// A header names these servers. The others are asked, ever more rarely, whether they restarted.
    pub(super) fn named(&mut self, servers: &[PeerId], now: u64, draw: &mut Draw) {
        for s in &mut self.servers {
            if servers.binary_search(&s.id).is_ok() {
                s.doubts = 0;
            } else if matches!(s.phase, Phase::Done { .. }) && s.doubt_at.is_none() && s.calling.is_none() {
                let pause = (FIRST_DOUBT_MS << s.doubts.min(10)).min(MAX_PAUSE_MS);
                s.doubt_at = Some(now + pause / 2 + draw.backoff.below(pause / 2));
                s.doubts = s.doubts.saturating_add(1);
            }
        }
    }

    /// A header does not list this session as the servers vouched for it: one of them may have restarted.
    pub(super) fn doubt(&mut self, now: u64) {
        for s in self.servers.iter_mut().filter(|s| matches!(s.phase, Phase::Done { .. })) {
            s.doubt_at.get_or_insert(now);
        }
    }

    /// The server told its boot nonce. Under another one its chains are gone.
    pub(super) fn boot(&mut self, peer: &PeerId, nonce: [u8; 32]) {
        if let Some(s) = self.servers.iter_mut().find(|s| s.id == *peer)
            && s.boot != Some(nonce)
        {
            s.boot = Some(nonce);
            s.phase = Phase::Idle;
        }
    }

    /// Servers that answered this session.
    pub(super) fn done(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.servers.iter().filter(|s| matches!(s.phase, Phase::Done { .. })).map(|s| s.id)
    }

    /// What a server's vouch for this session has to say; `None` while it did not answer.
    pub(super) fn vouch(&self, server: &PeerId) -> Option<&[u8; 32]> {
        match &self.servers.iter().find(|s| s.id == *server)?.phase {
            Phase::Done { vouch, .. } => Some(vouch),
            _ => None,
        }
    }

    /// How far the log is: the round and the digest of the last record that counts.
    pub(super) fn note_tip(&mut self, tip: Option<(u64, RecordDigest)>) {
        self.attest.note_tip(tip);
    }

    /// Calls that are due.
    pub(super) fn poll(
        &mut self,
        now: u64,
        identity: &Identity,
        deployment: DeploymentId,
        draw: &mut Draw,
        out: &mut Vec<Output>,
    ) {
        let session = self.session;
        if self.attest.evidence().is_none() && self.servers.iter().any(Server::is_ready) {
            self.attest.want(now, session, deployment.0, draw, out);
        }
        let evidence = self.attest.evidence();
        for s in &mut self.servers {
            if s.calling.is_some_and(|since| now >= since + CALL_MS) {
                s.fail(now, "no answer", draw, out);
            }
            if matches!(s.phase, Phase::Done { .. }) {
                if s.calling.is_none() && s.doubt_at.take_if(|at| now >= *at).is_some() {
                    s.calling = Some(now);
                    out.push(Output::Register { server: s.id, call: RegisterCall::Boot(session) });
                }
                continue;
            }
            if s.calling.is_some() || now < s.retry_at {
                continue;
            }
            if let (true, Some(boot)) = (s.is_ready(), s.boot) {
                let Some(evidence) = evidence else { continue };
                let random = draw.keys.bytes();
                let (pending, request) =
                    Pending::new(identity, deployment, s.id, boot, session, evidence.to_vec(), &random);
                s.phase = Phase::Asked { pending: Box::new(pending), request: Box::new(request) };
            }
            let call = if let Phase::Asked { request, .. } = &s.phase {
                RegisterCall::Register(request.clone())
            } else {
                s.phase = Phase::Nonce;
                RegisterCall::Boot(session)
            };
            s.calling = Some(now);
            out.push(Output::Register { server: s.id, call });
        }
    }

    /// When something is due next.
    pub(super) fn next_wake(&self) -> Option<u64> {
        let waits = self.attest.evidence().is_none();
        let due = |s: &Server| match (s.calling, &s.phase) {
            (Some(since), _) => Some(since + CALL_MS),
            (None, Phase::Done { .. }) => s.doubt_at,
            (None, _) if waits && s.is_ready() => self.attest.next_wake(),
            (None, _) => Some(s.retry_at),
        };
        self.servers.iter().filter_map(due).min()
    }

    /// A quote for this session came, or none did.
    pub(super) fn attested(
        &mut self,
        now: u64,
        session: &Session,
        result: Result<Vec<u8>, String>,
        draw: &mut Draw,
        out: &mut Vec<Output>,
    ) {
        if *session == self.session {
            self.attest.answered(now, result, draw, out);
        }
    }

    /// An answer. True when the session was evicted: it never returns.
    pub(super) fn answered(
        &mut self,
        now: u64,
        server: &PeerId,
        result: Result<RegisterReply, RegisterFailure>,
        identity: &Identity,
        draw: &mut Draw,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(s) = self.servers.iter_mut().find(|s| s.id == *server) else { return false };
        if s.calling.take().is_none() {
            return false;
        }
        match result {
            Ok(RegisterReply::Boot(nonce, bundle, known)) if bundle.peer_id == s.id => match s.phase {
                Phase::Nonce => s.boot = Some(nonce),
                // It restarted, or took its vouch back.
                Phase::Done { .. } if s.boot != Some(nonce) || !known => {
                    s.boot = Some(nonce);
                    s.phase = Phase::Idle;
                }
                _ => {}
            },
            Ok(RegisterReply::Boot(..)) => s.fail(now, "it answered with another's bundle", draw, out),
            Ok(RegisterReply::Answer(answer)) => s.finish(now, &answer, identity, draw, out),
            Err(RegisterFailure::Unreachable) => s.fail(now, "unreachable", draw, out),
            Err(RegisterFailure::Boot) => {
                s.boot = None;
                s.phase = Phase::Idle;
                s.fail(now, "it restarted", draw, out);
            }
            Err(RegisterFailure::NotAdmitted(text)) => {
                // It shares no chain, so the next request may have another key, and other evidence.
                s.phase = Phase::Idle;
                self.attest.refused();
                s.fail(now, &text, draw, out);
            }
            Err(RegisterFailure::Refused(text)) => s.fail(now, &text, draw, out),
            Err(RegisterFailure::Evicted) => {
                s.fail(now, "the session was evicted", draw, out);
                return true;
            }
        }
        false
    }

    /// The pad keys of `round` from the chains of `servers`, in their order; every chain, named or not, is past `round`
    /// when this returns keys (R3). On an error no key left, and chains that moved stay moved.
    pub(super) fn take(
        &mut self,
        servers: &[PeerId],
        round: u64,
        header: &HeaderDigest,
    ) -> Result<Vec<PadKey>, KeyError> {
        for id in servers {
            let Some(Phase::Done { chain, .. }) = self.servers.iter().find(|s| s.id == *id).map(|s| &s.phase)
            else {
                return Err(KeyError::Missing);
            };
            if chain.at() > round {
                return Err(KeyError::Missing);
            }
            if round - chain.at() > MAX_STEPS {
                return Err(KeyError::TooFar);
            }
        }
        let mut keys = Vec::with_capacity(servers.len());
        for s in &mut self.servers {
            let Phase::Done { chain, .. } = &mut s.phase else { continue };
            if servers.binary_search(&s.id).is_ok() {
                keys.push(chain.take(round, header).map_err(|_| KeyError::Missing)?);
            } else if chain.at() <= round && chain.advance(round + 1).is_err() {
                // Further behind than a chain may move: registered anew.
                s.phase = Phase::Idle;
            }
        }
        Ok(keys)
    }
}

impl Server {
    /// It can be asked to register as soon as there is evidence.
    fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Nonce) && self.boot.is_some()
    }

    fn finish(
        &mut self,
        now: u64,
        answer: &Signed<Answer>,
        identity: &Identity,
        draw: &mut Draw,
        out: &mut Vec<Output>,
    ) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Asked { pending, .. } => match pending.finish(identity, answer) {
                Ok((chain, vouch)) => {
                    self.phase = Phase::Done { chain, vouch };
                    self.failures = 0;
                }
                Err(error) => self.fail(now, &error.to_string(), draw, out),
            },
            // An answer to a request that a restart of the server or a new session made void.
            other => self.phase = other,
        }
    }

    fn fail(&mut self, now: u64, text: &str, draw: &mut Draw, out: &mut Vec<Output>) {
        self.calling = None;
        if matches!(self.phase, Phase::Done { .. }) {
            // Only whether it restarted is not known; the next header or link asks again.
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = (FIRST_PAUSE_MS << self.failures.min(10)).min(MAX_PAUSE_MS);
        self.retry_at = now + pause / 2 + draw.backoff.below(pause / 2);
        if self.failures.is_power_of_two() {
            let (server, failures) = (self.id, self.failures);
            out.push(Output::Notice(Notice::RegistrationFailed { server, text: text.to_owned(), failures }));
        }
    }
}
