//! The kinds of frames, each with its limits: the one list of what travels over a link.

use super::Role;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How a kind is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One request, one answer: [`Link::call`](super::Link::call).
    Call,
    /// One request, then frames pushed by the acceptor: [`Link::open`](super::Link::open).
    Stream,
}

/// What a call or a stream is about. The number is the first byte on the wire and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Registration of a client with a server (R2).
    Register = 1,
    /// The broadcast log as it grows: a stream.
    Events = 2,
    /// The whole roster of a digest.
    Roster = 3,
    /// A range of past records.
    Records = 4,
    /// A client's envelope to an aggregator (R5).
    Envelope = 5,
    /// The leader asks an aggregator for its aggregate (R6).
    Aggregate = 6,
    /// A server's signed policy.
    Policy = 7,
    /// Raft: append entries.
    RaftAppend = 8,
    /// Raft: request a vote.
    RaftVote = 9,
    /// Raft: one chunk of a snapshot.
    RaftSnapshot = 10,
    /// An entry forwarded to the leader.
    Propose = 11,
    /// What a node says about itself.
    Status = 12,
    /// A server's TDX quote.
    Quote = 13,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Register,
        Self::Events,
        Self::Roster,
        Self::Records,
        Self::Envelope,
        Self::Aggregate,
        Self::Policy,
        Self::RaftAppend,
        Self::RaftVote,
        Self::RaftSnapshot,
        Self::Propose,
        Self::Status,
        Self::Quote,
    ];

    /// The longest request in bytes.
    pub const fn max_request(self) -> usize {
        match self {
            Self::Events | Self::Roster | Self::Records | Self::Policy | Self::Status | Self::Quote => 256,
            Self::RaftVote => 4 * KIB,
            Self::Register | Self::Aggregate => 64 * KIB,
            Self::Envelope | Self::Propose => MIB,
            Self::RaftSnapshot => 2 * MIB,
            Self::RaftAppend => 8 * MIB,
        }
    }

    /// The longest answer in bytes; of a stream: the longest frame.
    pub const fn max_answer(self) -> usize {
        match self {
            Self::Envelope | Self::Propose => KIB,
            Self::RaftVote | Self::RaftSnapshot => 4 * KIB,
            Self::Register => 8 * KIB,
            Self::Policy | Self::RaftAppend | Self::Status | Self::Quote => 64 * KIB,
            Self::Aggregate => 2 * MIB,
            Self::Events | Self::Records => 8 * MIB,
            Self::Roster => 32 * MIB,
        }
    }

    /// How it is used.
    pub const fn shape(self) -> Shape {
        match self {
            Self::Events => Shape::Stream,
            _ => Shape::Call,
        }
    }

    /// Whether a node of this (self-declared) role may ask for it at all. Saves reading long bodies from clients; it
    /// does not replace the service's check of the peer id.
    pub const fn allows(self, role: Role) -> bool {
        match self {
            Self::RaftAppend | Self::RaftVote | Self::RaftSnapshot => matches!(role, Role::Server),
            Self::Propose | Self::Aggregate => !matches!(role, Role::Client),
            _ => true,
        }
    }

    /// The kind of a wire byte.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_byte_and_fits_a_frame() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_byte(kind as u8), Some(kind));
            assert!(u32::try_from(kind.max_request().max(kind.max_answer())).is_ok());
        }
        assert_eq!(Kind::from_byte(0), None);
        assert_eq!(Kind::from_byte(14), None);
    }

    #[test]
    fn clients_cannot_speak_raft() {
        assert!(!Kind::RaftAppend.allows(Role::Client));
        assert!(!Kind::Propose.allows(Role::Client));
        assert!(Kind::RaftAppend.allows(Role::Server));
        assert!(Kind::Envelope.allows(Role::Client));
    }
}
