//! What can go wrong on a link, and how a service says no.

use std::net::SocketAddr;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_dcnet::wire::refusal;

use super::Kind;

/// A service's (or the acceptor's) no to a call or a stream.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[error("refused ({code}): {text}")]
pub struct Refusal {
    /// The reason for programs. From [`Refusal::RESERVED`] on the numbers are the links' own.
    pub code: u16,
    /// The reason for people; cut to [`Refusal::MAX_TEXT`] bytes on the wire.
    pub text: String,
}

impl Refusal {
    /// The longest text in bytes.
    pub const MAX_TEXT: usize = 512;
    /// The first code that services leave alone.
    pub const RESERVED: u16 = 0xff00;
    /// The request is longer than its kind allows.
    pub const REQUEST_TOO_LONG: u16 = 0xff00;
    /// The service's answer is longer than its kind allows.
    pub const ANSWER_TOO_LONG: u16 = 0xff01;
    /// Unknown kind, or one that this role may not use.
    pub const NOT_ALLOWED: u16 = 0xff02;
    /// The peer has too many requests under way.
    pub const BUSY: u16 = 0xff03;
    /// The request did not arrive in time.
    pub const TOO_SLOW: u16 = 0xff04;

    /// A refusal.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A short name of the code, to count by.
    pub(super) fn reason(&self) -> &'static str {
        match self.code {
            Self::REQUEST_TOO_LONG => "request_too_long",
            Self::ANSWER_TOO_LONG => "answer_too_long",
            Self::NOT_ALLOWED => "not_allowed",
            Self::BUSY => "busy",
            Self::TOO_SLOW => "too_slow",
            code => refusal::name(code),
        }
    }

    /// Decodes what a caller sent, to its last byte.
    ///
    /// # Errors
    /// A refusal with [`refusal::MALFORMED`].
    pub fn decode<T: BorshDeserialize>(body: &[u8]) -> Result<T, Self> {
        borsh::from_slice(body).map_err(|e| Self::new(refusal::MALFORMED, format!("malformed: {e}")))
    }

    /// The borsh bytes, with the text cut to its bound at a character.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut end = self.text.len().min(Self::MAX_TEXT);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = Self { code: self.code, text: self.text[..end].to_owned() };
        borsh::to_vec(&cut).expect("invariant: a short refusal encodes")
    }
}

/// Longest encoded refusal: code, text length, text.
pub(super) const MAX_REFUSAL: usize = 2 + 4 + Refusal::MAX_TEXT;

/// Why a link could not be used. Cheap to clone: several callers may wait for the same dial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The local endpoint could not be bound.
    #[error("cannot bind links to {addr}: {reason}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// No connection before the deadline.
    #[error("no link to {peer}: {reason}")]
    Unreachable {
        /// Who was dialled.
        peer: PeerId,
        /// The last failure.
        reason: String,
    },
    /// The peer speaks another version of the link protocol.
    #[error("{peer} speaks version {theirs} of the links, this node version {ours}")]
    VersionMismatch {
        /// The other side.
        peer: PeerId,
        /// Ours.
        ours: u16,
        /// Theirs.
        theirs: u16,
    },
    /// The peer belongs to another deployment (R1).
    #[error("{peer} belongs to deployment {theirs}, this node to {ours}")]
    DeploymentMismatch {
        /// The other side.
        peer: PeerId,
        /// Ours.
        ours: DeploymentId,
        /// Theirs.
        theirs: DeploymentId,
    },
    /// Somebody else answers at this address.
    #[error("expected {wanted}, but {found} answered")]
    WrongPeer {
        /// Who was dialled.
        wanted: PeerId,
        /// Who answered.
        found: PeerId,
    },
    /// The peer did not prove that it is who it says.
    #[error("{peer} failed the handshake: {reason}")]
    BadHello {
        /// Who was dialled, or who the dialer claimed to be.
        peer: PeerId,
        /// What was wrong.
        reason: String,
    },
    /// The answer did not come in time.
    #[error("no answer from {peer} to {kind:?} within {after:?}")]
    Timeout {
        /// The other side.
        peer: PeerId,
        /// What was asked.
        kind: Kind,
        /// The caller's patience.
        after: Duration,
    },
    /// The other side said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A message beyond the limit of its kind; as a request or frame it was not sent.
    #[error("{kind:?} of {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Which kind.
        kind: Kind,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A stream kind used for a call or the other way round.
    #[error("{0:?} is not used this way")]
    WrongShape(Kind),
    /// The other side stopped reading for too long.
    #[error("the reader stalled for {0:?}")]
    Stalled(Duration),
    /// The connection went away under a call or stream: whether it took effect is unknown.
    #[error("the link to {peer} was lost: {reason}")]
    Lost {
        /// The other side.
        peer: PeerId,
        /// How.
        reason: String,
    },
    /// [`Links::close`](super::Links::close) was called.
    #[error("the links are closed")]
    Closed,
}

impl LinkError {
    /// A short name of what stands against a hello, to count by.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::VersionMismatch { .. } => "version",
            Self::DeploymentMismatch { .. } => "deployment",
            Self::BadHello { .. } => "hello",
            _ => "lost",
        }
    }

    /// Whether dialling again may help soon. What is not transient needs somebody to change something.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Lost { .. } | Self::Stalled(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_refusal_is_cut_at_a_character() {
        let refusal = Refusal::new(7, "ä".repeat(Refusal::MAX_TEXT));
        let bytes = refusal.to_bytes();
        assert!(bytes.len() <= MAX_REFUSAL);
        let back: Refusal = borsh::from_slice(&bytes).unwrap();
        assert_eq!(back.text, "ä".repeat(Refusal::MAX_TEXT / 2));
        let odd = Refusal::new(7, format!("x{}", "ä".repeat(Refusal::MAX_TEXT)));
        assert!(odd.to_bytes().len() <= MAX_REFUSAL);
    }
}
