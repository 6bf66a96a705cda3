//! A broadcast log for tests.

use std::sync::Arc;

use zeroize::Zeroizing;
use zipnet_dcnet::aggregate::Bitmap;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::RecordDigest;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::record::{Record, SignedRecord};
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::statement::Disclosure;
use zipnet_dcnet::wire::{Abandoned, Ended};

/// Rounds from 1 on, and who signed them.
pub(super) struct Chain {
    pub(super) descriptor: Descriptor,
    pub(super) ended: Vec<Ended>,
    /// Of the last final record.
    pub(super) last_digest: RecordDigest,
    servers: Vec<Arc<Identity>>,
}

/// `rounds` rounds of three servers, signed and disclosed by all of them; these were abandoned.
pub(super) fn chain(rounds: u64, abandoned: &[u64]) -> Chain {
    let mut servers: Vec<_> =
        (1..=3).map(|n| Arc::new(Identity::from_seed(Zeroizing::new([n; 32])))).collect();
    servers.sort_by_key(|server| server.peer_id());
    let ids = servers.iter().map(|server| server.peer_id()).collect();
    let descriptor = Descriptor::new("test", Params::dev(3), ids).unwrap();
    let last_digest = descriptor.id().0;
    let mut chain = Chain { descriptor, ended: Vec::new(), last_digest, servers };
    for round in 1..=rounds {
        let ended = if abandoned.contains(&round) {
            chain.abandoned(round)
        } else {
            chain.signed(round, chain.last_digest, 0)
        };
        if let Ended::Final(signed) = &ended {
            chain.last_digest = signed.record.digest();
        }
        chain.ended.push(ended);
    }
    chain
}

impl Chain {
    fn signed(&self, round: u64, prev: RecordDigest, said: u8) -> Ended {
        let mut participants = Bitmap::new(8);
        (0..8).for_each(|i| participants.set(i));
        let record = Record {
            deployment: self.descriptor.id(),
            round,
            header_digest: [round as u8; 32],
            aggregate_digest: [0; 32],
            prev,
            participants,
            servers: self.descriptor.servers.clone(),
            reservations: Vec::new(),
            messages: vec![(0, vec![said])],
            garbled: Vec::new(),
        };
        let signatures = self.servers.iter().map(|s| (s.peer_id(), record.sign(s))).collect();
        Ended::Final(Box::new(SignedRecord { record, signatures }))
    }

    /// Another record for this round, signed by all servers.
    pub(super) fn other(&self, round: u64) -> Ended {
        let prev = match &self.ended[round as usize - 1] {
            Ended::Final(signed) => signed.record.prev,
            Ended::Abandoned(_) => [1; 32],
        };
        self.signed(round, prev, 1)
    }

    /// The round as one that was abandoned, disclosed by all servers.
    pub(super) fn abandoned(&self, round: u64) -> Ended {
        let header_digest = [round as u8; 32];
        let disclosure = |server: &Arc<Identity>| {
            let (deployment, server_id) = (self.descriptor.id(), server.peer_id());
            let said = Disclosure { deployment, server: server_id, round, header_digest, revealed: false };
            Signed::new(server, said)
        };
        let disclosures = self.servers.iter().map(disclosure).collect();
        Ended::Abandoned(Abandoned { round, header_digest, disclosures })
    }
}
