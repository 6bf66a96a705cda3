//! What the core tells about itself; queue figures are for authorised callers only.

use zipnet_dcnet::ids::{ClientId, PeerId, RecordDigest};

/// Where the client is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No link to any server is up, or nothing was heard yet.
    Connecting,
    /// Not in the roster of an open header yet.
    Registering,
    /// In the roster, and covers until warm_up is over.
    WarmingUp,
    /// Messages leave.
    Ready,
    /// Registered and warm, but the last round was quiet for this client.
    Holding,
    /// On the way down.
    Stopping,
}

/// Why nothing is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No server is heard.
    NotConnected,
    /// Some server does not vouch yet, or the roster does not list this session yet.
    NotRegistered,
    /// The last header could not be sealed under.
    NotSealed(Skip),
    /// The round does not stand on the record of the round before, or its servers changed.
    Quiet,
    /// The header names too few servers.
    FewServers {
        /// Named.
        named: u32,
        /// m.
        needed: u32,
    },
    /// A server that this client pins is not in the header.
    PinnedServerMissing(PeerId),
    /// Too few others to hide among.
    FewParticipants {
        /// Participants that are certain to be in the round: those of the record before less the slack.
        certain: u32,
        /// `min_anonymity`.
        needed: u32,
    },
    /// Too few final records list this session.
    WarmingUp {
        /// How many did.
        seen: u32,
        /// How many have to.
        needed: u32,
    },
    /// The operator paused sending.
    Paused,
    /// On the way down.
    Stopping,
}

/// Why an open header was not sealed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Its roster lists this client not, or with another session.
    NotListed,
    /// The vouches listed for this session are not those the servers gave.
    WrongVouch,
    /// Its roster did not come in time, or was another one.
    NoRoster,
    /// The record it stands on did not come in time.
    NoRecord,
    /// A chain cannot give the round's key (any longer).
    NoChain,
    /// It came too late for its fold.
    TooLate,
    /// The store is behind: nothing leaves that is not written down.
    StoreBusy,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotConnected => f.write_str("no server is heard"),
            Self::NotRegistered => f.write_str("the committee's roster does not list this client yet"),
            Self::NotSealed(skip) => write!(f, "the last round was left out: {skip}"),
            Self::Quiet => {
                f.write_str("quiet round: the one before was not published, or the servers changed")
            }
            Self::FewServers { named, needed } => {
                write!(f, "the round has {named} servers, at least {needed} are needed")
            }
            Self::PinnedServerMissing(server) => write!(f, "the round lacks the pinned server {server}"),
            Self::FewParticipants { certain, needed } => {
                write!(f, "only {certain} participants are certain, at least {needed} are needed")
            }
            Self::WarmingUp { seen, needed } => write!(f, "warming up: {seen} of {needed} rounds"),
            Self::Paused => f.write_str("sending is paused"),
            Self::Stopping => f.write_str("the daemon is stopping"),
        }
    }
}

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotListed => "its roster does not list this session",
            Self::WrongVouch => "its roster has other vouches than the servers gave",
            Self::NoRoster => "its roster did not come",
            Self::NoRecord => "the record it stands on did not come",
            Self::NoChain => "the keys of the round are not there",
            Self::TooLate => "it came too late",
            Self::StoreBusy => "the store was busy",
        })
    }
}

/// Messages per state. The terminal ones count what is still remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Waiting.
    pub queued: u32,
    /// Queued with a reservation under way.
    pub reserved: u32,
    /// Sealed and not settled.
    pub sealed: u32,
    /// In the log.
    pub published: u32,
    /// Taken back.
    pub cancelled: u32,
    /// Out of time.
    pub expired: u32,
    /// Exposed or unknown.
    pub failed: u32,
}

/// What became of the standing message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    None,
    /// It is published whenever the queue is empty.
    Active,
    /// Somebody may have read it and tied it to this client: it is not sent again until it is changed (R10).
    Stopped,
}

/// How the core is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This client.
    pub client_id: ClientId,
    /// Its peer id.
    pub peer_id: PeerId,
    /// Where it is on its way.
    pub phase: Phase,
    /// Why nothing is being sent; `None` when messages flow.
    pub why: Option<Why>,
    /// The last header lists this session with the right vouches of all its servers.
    pub registered: bool,
    /// Servers that answered this session's registration.
    pub vouched_by: Vec<PeerId>,
    /// The last round known to be open or ended; 0 for none.
    pub round: u64,
    /// When the header of the last round came, in Unix milliseconds; `None` when none came since the start.
    pub round_at: Option<u64>,
    /// Servers of the last open header.
    pub servers: Vec<PeerId>,
    /// The last record that counts: round and digest. Readers may trust the log up to it.
    pub last_verified: Option<(u64, RecordDigest)>,
    /// Participants of the last final record.
    pub participants: Option<u32>,
    /// Fewest participants of a final record within the last hour.
    pub participants_low_1h: Option<u32>,
    /// The messages that the caller may see.
    pub queue: QueueCounts,
    /// When the oldest of them that is not terminal was accepted, in Unix milliseconds.
    pub oldest_accepted_at: Option<u64>,
    /// The standing message.
    pub standing: Standing,
    /// The cadence in force.
    pub cadence: u32,
    /// Only cover leaves, and no message is taken.
    pub paused: bool,
}
