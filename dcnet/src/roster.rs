//! The roster: who may take part in a round (R4).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::{Use, hash32};
use crate::header::Header;
use crate::ids::{ClientId, Session};
use crate::signed::encode;

/// Most entries of a roster.
pub const MAX_ROSTER: usize = 1 << 17;

/// One client in the roster.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Entry {
    /// Who.
    pub client: ClientId,
    /// Which of its sessions.
    pub session: Session,
    /// The vouch digests of the servers that the header names, in their order.
    pub vouches: Vec<[u8; 32]>,
}

/// The clients of a header, ascending by client id; the position is the roster index.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Roster {
    entries: Vec<Entry>,
}

/// How a roster differs from the one before.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RosterDelta {
    /// Digest of the roster it applies to.
    pub base: [u8; 32],
    /// Who left, ascending. A client with a new session has left and joined.
    pub left: Vec<ClientId>,
    /// Who joined, ascending.
    pub joined: Vec<Entry>,
}

impl Roster {
    /// Sorts the entries. `None` when a client is in it twice or there are over [`MAX_ROSTER`].
    pub fn new(mut entries: Vec<Entry>) -> Option<Self> {
        entries.sort_by_key(|e| e.client);
        let roster = Self { entries };
        roster.is_canonical().then_some(roster)
    }

    /// Ascending, each client once, at most [`MAX_ROSTER`]: check after decoding a foreign one.
    pub fn is_canonical(&self) -> bool {
        self.entries.len() <= MAX_ROSTER && self.entries.windows(2).all(|w| w[0].client < w[1].client)
    }

    /// The digest a header names.
    pub fn digest(&self) -> [u8; 32] {
        hash32(Use::ROSTER, &[&encode(self)])
    }

    /// Whether this is the roster that a header names: check a foreign one, however it came.
    pub fn is_of(&self, header: &Header) -> bool {
        self.is_canonical()
            && self.entries.len() as u32 == header.roster_len
            && self.digest() == header.roster
    }

    /// The entries in the order of their index.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Index of a client.
    pub fn index(&self, client: &ClientId) -> Option<u32> {
        self.entries.binary_search_by_key(client, |e| e.client).ok().map(|i| i as u32)
    }

    /// What changed since `base`.
    pub fn delta(&self, base: &Self) -> RosterDelta {
        let gone = |e: &&Entry, other: &Self| {
            other.index(&e.client).is_none_or(|i| other.entries[i as usize] != **e)
        };
        RosterDelta {
            base: base.digest(),
            left: base.entries.iter().filter(|e| gone(e, self)).map(|e| e.client).collect(),
            joined: self.entries.iter().filter(|e| gone(e, base)).cloned().collect(),
        }
    }

    /// This roster changed by `delta`; `None` when the delta is for another one or gives no canonical roster.
    pub fn apply(&self, delta: &RosterDelta) -> Option<Self> {
        if self.digest() != delta.base {
            return None;
        }
        let stays = |e: &&Entry| delta.left.binary_search(&e.client).is_err();
        let kept = self.entries.iter().filter(stays).cloned();
        Self::new(kept.chain(delta.joined.iter().cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u8, session: u8) -> Entry {
        Entry { client: ClientId([n; 32]), session: [session; 32], vouches: vec![[n; 32]; 3] }
    }

    #[test]
    fn a_delta_leads_from_one_roster_to_the_other_and_no_other_way() {
        let old = Roster::new(vec![entry(3, 0), entry(1, 0), entry(2, 0)]).unwrap();
        let new = Roster::new(vec![entry(4, 0), entry(2, 1), entry(1, 0)]).unwrap();
        let delta = new.delta(&old);
        assert_eq!(delta.left, vec![ClientId([2; 32]), ClientId([3; 32])]);
        assert_eq!(old.apply(&delta), Some(new.clone()));
        assert_eq!(new.apply(&delta), None);
        assert_eq!(new.index(&ClientId([4; 32])), Some(2));
        assert_eq!(Roster::new(vec![entry(1, 0), entry(1, 1)]), None);
    }
}
