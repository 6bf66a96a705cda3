//! The round under way.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::aggregate::Fold;
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::ids::{ClientId, HeaderDigest, PeerId};
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::signed::Signature;

/// How far a round is; where it stands when it is abandoned is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Header signatures are missing.
    Signing,
    /// Open: envelopes are being folded.
    Folding,
    /// The fold is committed, commitments are missing.
    Committing,
    /// All committed, partials are missing.
    Revealing,
}

impl Stage {
    /// A short name to count by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Folding => "folding",
            Self::Committing => "committing",
            Self::Revealing => "revealing",
        }
    }
}

/// The round under way.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Round {
    /// Its header.
    pub header: Header,
    /// The header's digest.
    pub digest: HeaderDigest,
    /// The roster that the header names.
    pub roster: Roster,
    /// Whether it is quiet for everybody (R8).
    pub quiet: bool,
    /// How many slots have an owner.
    pub owned: u32,
    /// Header signatures.
    pub signatures: BTreeMap<PeerId, Signature>,
    /// The committed fold and its digest.
    pub fold: Option<(Fold, [u8; 32])>,
    /// It can no longer become final: a fold was refused, or a server restarted.
    pub doomed: Option<String>,
    /// Commitments.
    pub commitments: BTreeMap<PeerId, [u8; 32]>,
    /// Partials.
    pub partials: BTreeMap<PeerId, Vec<u8>>,
}

impl Round {
    /// How far it is.
    pub fn stage(&self) -> Stage {
        let servers = self.header.servers.len();
        if self.signatures.len() < servers {
            Stage::Signing
        } else if self.fold.is_none() {
            Stage::Folding
        } else if self.commitments.len() < servers {
            Stage::Committing
        } else {
            Stage::Revealing
        }
    }

    /// Whether the server is in the header.
    pub fn has(&self, server: &PeerId) -> bool {
        self.header.servers.binary_search(server).is_ok()
    }

    /// The servers that the round waits for at its stage.
    pub fn missing(&self) -> Vec<PeerId> {
        let said = |server: &&PeerId| match self.stage() {
            Stage::Signing => !self.signatures.contains_key(server),
            Stage::Folding => false,
            Stage::Committing => !self.commitments.contains_key(server),
            Stage::Revealing => !self.partials.contains_key(server),
        };
        self.header.servers.iter().filter(said).copied().collect()
    }

    /// The header with all signatures, once the round is open.
    pub fn signed_header(&self) -> Option<SignedHeader> {
        let signatures: Option<_> =
            self.header.servers.iter().map(|s| self.signatures.get(s).copied()).collect();
        Some(SignedHeader { header: self.header.clone(), signatures: signatures? })
    }

    /// The clients in the fold.
    pub fn participants(&self, fold: &Fold) -> BTreeSet<ClientId> {
        fold.participants.ones().map(|i| self.roster.entries()[i as usize].client).collect()
    }
}
