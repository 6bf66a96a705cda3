//! The committee's state: what the log adds up to. Pure and deterministic: every server that applied the same entries
//! has the same state, and an entry that the rules do not allow changes nothing and is counted.

mod apply;
mod refused;
mod registry;
mod round;
mod sound;

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::{Bundle, ClientId, DeploymentId, PeerId, RecordDigest};
use zipnet_dcnet::record::Record;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::wire::Ended;

pub use refused::Refused;
pub use registry::{MAX_EVICTED, MAX_ROSTER_BYTES, Registry, capacity, quota};
pub use round::{Round, Stage};

/// How many ended rounds the state keeps for late signatures and disclosures. Older ones are in each server's archive.
pub const RECENT: usize = 64;
/// A server that came back is named again after this many rounds even if the roster has not registered with it.
pub const RETURN_ROUNDS: u64 = 10;

/// What the log says of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ServerState {
    /// The nonce of its last boot and its bundle; `None` until it has said so.
    pub boot: Option<([u8; 32], Bundle)>,
    /// The last opened round when it came (back); while it is out, the round that it failed, or that it left at.
    pub returned: u64,
    /// Left out of headers since it failed a round or left, until it says that it is back.
    pub out: bool,
    /// The aggregators it takes envelopes from.
    pub aggregators: Vec<PeerId>,
}

/// The state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct State {
    descriptor: Descriptor,
    deployment: DeploymentId,
    servers: BTreeMap<PeerId, ServerState>,
    registry: Registry,
    opened: u64,
    round: Option<Round>,
    last: Option<Record>,
    last_digest: RecordDigest,
    last_participants: BTreeSet<ClientId>,
    last_roster: Roster,
    recent: BTreeMap<u64, Ended>,
}

/// The part of a boot nonce that tells one state folder of a server from another.
pub fn life_of(boot: &[u8; 32]) -> &[u8] {
    &boot[16..]
}

impl State {
    /// Before the first entry.
    pub fn new(descriptor: Descriptor) -> Self {
        let deployment = descriptor.id();
        let count = descriptor.servers.len() as u32;
        let servers = descriptor.servers.iter().map(|s| (*s, ServerState::default())).collect();
        Self {
            descriptor,
            deployment,
            servers,
            registry: Registry::new(count),
            opened: 0,
            round: None,
            last: None,
            last_digest: deployment.0,
            last_participants: BTreeSet::new(),
            last_roster: Roster::default(),
            recent: BTreeMap::new(),
        }
    }

    /// The descriptor.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Its id.
    pub fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// The last opened round, 0 before the first.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// The round that is neither final nor abandoned.
    pub fn round(&self) -> Option<&Round> {
        self.round.as_ref()
    }

    /// The last final record.
    pub fn last(&self) -> Option<&Record> {
        self.last.as_ref()
    }

    /// The last [`RECENT`] rounds that ended, with the signatures and disclosures that are there.
    pub fn recent(&self) -> &BTreeMap<u64, Ended> {
        &self.recent
    }

    /// What the log says of a server of the committee.
    pub fn server(&self, server: &PeerId) -> Option<&ServerState> {
        self.servers.get(server)
    }

    /// Who has registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The roster of the last header.
    pub fn last_roster(&self) -> &Roster {
        &self.last_roster
    }

    /// The servers that may be named in the next header: up, not left out, and either known to all but slack of the
    /// last roster or back for [`RETURN_ROUNDS`] (section 7).
    pub fn eligible(&self) -> Vec<PeerId> {
        let known = |server: &PeerId, returned: u64| {
            let roster = self.last_roster.entries();
            let has = |e: &&_| self.registry.is_vouched(e, server);
            let enough = roster.len() as u32 - zipnet_dcnet::absence::slack(roster.len() as u32);
            roster.iter().filter(has).count() as u32 >= enough || self.opened >= returned + RETURN_ROUNDS
        };
        self.up().into_iter().filter(|s| known(s, self.servers[s].returned)).collect()
    }

    /// The servers that are up and not left out, ascending.
    pub fn up(&self) -> Vec<PeerId> {
        self.servers.iter().filter(|(_, s)| s.boot.is_some() && !s.out).map(|(id, _)| *id).collect()
    }

    /// The header that would open the next round with these servers; checked by [`State::check_open`].
    pub fn next_header(&self, servers: Vec<PeerId>) -> (Header, Roster) {
        let roster = self.registry.roster(&servers);
        let header = Header {
            deployment: self.deployment,
            round: self.opened + 1,
            prev: self.last_digest,
            aggregators: self.aggregators(&servers),
            servers,
            roster: roster.digest(),
            roster_len: roster.entries().len() as u32,
        };
        (header, roster)
    }

    /// The aggregators in the policy of every one of these servers, ascending.
    fn aggregators(&self, servers: &[PeerId]) -> Vec<PeerId> {
        let lists = servers.iter().filter_map(|s| self.servers.get(s)).map(|s| &s.aggregators);
        let sets = lists.map(|l| l.iter().copied().collect::<BTreeSet<_>>());
        sets.reduce(|a, b| &a & &b).unwrap_or_default().into_iter().collect()
    }

    /// Digest of the last final record; the deployment id when there is none.
    pub fn last_digest(&self) -> RecordDigest {
        self.last_digest
    }
}
