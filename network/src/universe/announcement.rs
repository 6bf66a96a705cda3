//! What a node says about itself in its discovery entry.

use borsh::{BorshDeserialize, BorshSerialize};
use mosaik::discovery::PeerEntry;
use mosaik::tickets::{Ticket, TicketClass};
use zipnet_dcnet::ids::{Bundle, DeploymentId, PeerId};

use crate::links::LinkAddr;

/// The longest announcement that is read. A whole discovery entry has to stay under 4,096 bytes.
const MAX_BYTES: usize = 1_024;

/// A node's ticket: signed by its peer key as part of its entry.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Announcement {
    /// Its keys.
    pub bundle: Bundle,
    /// Where it accepts links, if it does.
    pub link: Option<LinkAddr>,
    /// Which deployment it serves, if it does.
    pub deployment: Option<DeploymentId>,
}

impl Announcement {
    fn class() -> TicketClass {
        TicketClass::from("zipnet/1 announcement")
    }

    pub(super) fn ticket(&self) -> Ticket {
        let bytes = borsh::to_vec(self).expect("invariant: an announcement is short");
        Ticket::new(Self::class(), bytes.into())
    }

    /// The announcement in an entry, whose signature mosaik has checked; `None` unless it speaks for that peer alone.
    pub(super) fn read(entry: &PeerEntry) -> Option<(PeerId, Self)> {
        let peer_id = PeerId(*entry.id().as_bytes());
        let ticket = entry.tickets_of(Self::class()).find(|ticket| ticket.data().len() <= MAX_BYTES)?;
        let this = borsh::from_slice::<Self>(ticket.data()).ok()?;
        this.is_of(peer_id).then_some((peer_id, this))
    }

    fn is_of(&self, peer_id: PeerId) -> bool {
        let Self { bundle, link, .. } = self;
        bundle.peer_id == peer_id
            && link.as_ref().is_none_or(|link| link.peer_id == peer_id && link.link_pk == bundle.link_pk)
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;
    use zipnet_dcnet::identity::Identity;

    use super::*;

    #[test]
    fn an_announcement_is_short_and_speaks_for_its_peer_only() {
        let identity = Identity::from_seed(Zeroizing::new([1; 32]));
        let bundle = identity.server_bundle();
        let addrs = vec!["[2001:db8::1]:65535".parse().unwrap(); LinkAddr::MAX_ADDRS];
        let link = LinkAddr { peer_id: bundle.peer_id, link_pk: bundle.link_pk, addrs };
        let this = Announcement { bundle, link: Some(link), deployment: Some(DeploymentId([7; 32])) };
        assert!(this.ticket().data().len() <= MAX_BYTES);
        assert!(this.is_of(identity.peer_id()));
        assert!(!this.is_of(PeerId([2; 32])));
        let mut stolen = this.clone();
        stolen.link.as_mut().unwrap().link_pk = [3; 32];
        assert!(!stolen.is_of(identity.peer_id()));
    }
}
