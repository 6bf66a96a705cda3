//! Who lies, and how: the real role does its work, and what it says is changed on its way out.

use zipnet_committee::entry::Entry;
use zipnet_dcnet::aggregate::{Aggregate, Bitmap};
use zipnet_dcnet::ids::ClientId;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::partial::{Commitment, Partial};
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::slot;
use zipnet_dcnet::statement::{Disclosure, Vouch};
use zipnet_dcnet::wire::{Ended, Event, RecordsReply};

use crate::plan::Mutation;
use crate::world::World;

/// A server that lies.
#[derive(Clone, Debug)]
pub(crate) enum ServerRole {
    /// Commits, and never reveals.
    Withholds,
    /// Reveals another partial than it committed to.
    Changes,
    /// Commits to noise and reveals it. The partial made up for the commitment is kept for the reveal.
    Noise(Option<Box<Partial>>),
    /// Says of every abandoned round that nothing left.
    Denies,
    /// Vouches for sessions that nobody has.
    MakesSessionsUp,
    /// Signs no header.
    SignsNothing,
    /// As the leader drops aggregates, opens wrong headers and abandons at once.
    Misleads,
    /// Tells clients and aggregators changed and shortened stories.
    TellsLies,
}

/// An aggregator that lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AggregatorRole {
    /// Takes every envelope, and drops those of about half of the clients.
    SwallowsHalf,
    /// Drops one client's.
    SwallowsOne,
    /// Garbles every slot.
    GarblesAll,
    /// Garbles one slot.
    GarblesOne,
    /// Garbles the cells.
    GarblesCells,
    /// Says that everybody took part.
    Overstates,
    /// Says that only the first took part.
    Understates,
    /// Gives no aggregate.
    Silent,
}

/// A client that lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientRole {
    /// Noise in the reservation cells.
    NoisyCells,
    /// Noise in every slot.
    NoisySlots,
    /// Two different envelopes for one round, to every aggregator there is.
    Equivocates,
    /// Says that it is somebody else.
    OtherIndex,
    /// Too short an envelope.
    Short,
}

impl ServerRole {
    /// One of them, from a number below 100.
    pub(crate) fn draw(n: u64) -> Self {
        let roles = [
            Self::Withholds,
            Self::Changes,
            Self::Noise(None),
            Self::Denies,
            Self::MakesSessionsUp,
            Self::SignsNothing,
            Self::Misleads,
            Self::TellsLies,
        ];
        roles[n as usize % roles.len()].clone()
    }
}

impl AggregatorRole {
    /// One of them, from a number below 100.
    pub(crate) fn draw(n: u64) -> Self {
        let roles = [
            Self::SwallowsHalf,
            Self::SwallowsOne,
            Self::GarblesAll,
            Self::GarblesOne,
            Self::GarblesCells,
            Self::Overstates,
            Self::Understates,
            Self::Silent,
        ];
        roles[n as usize % roles.len()]
    }
}

impl ClientRole {
    /// One of them, from a number below 100.
    pub(crate) fn draw(n: u64) -> Self {
        let roles = [Self::NoisyCells, Self::NoisySlots, Self::Equivocates, Self::OtherIndex, Self::Short];
        roles[n as usize % roles.len()]
    }
}

impl World {
    /// What a server's proposal becomes: itself, if it is honest.
    pub(crate) fn tampered_entries(&mut self, s: usize, entry: Entry) -> Vec<Entry> {
        let identity = self.servers[s].identity.clone();
        match self.plan.mutation {
            Some(Mutation::SecondPartial) => {
                if let Entry::Partial(partial) = &entry {
                    let mut other = partial.trusted().clone();
                    other.vector[0] ^= 1;
                    let other = Entry::Partial(Box::new(Signed::new(&identity, other)));
                    return vec![entry, other];
                }
            }
            Some(Mutation::OtherFold) => {
                if let Entry::Commitment(commitment) = &entry {
                    let other = Commitment { aggregate_digest: [7; 32], ..commitment.trusted().clone() };
                    return vec![Entry::Commitment(Signed::new(&identity, other))];
                }
            }
            Some(Mutation::NeverFolds) if matches!(entry, Entry::Fold { .. }) => return Vec::new(),
            Some(Mutation::DeniesPartials) => {
                if let Entry::Disclosure(disclosure) = &entry {
                    let denied = Disclosure { revealed: false, ..disclosure.trusted().clone() };
                    return vec![Entry::Disclosure(Signed::new(&identity, denied))];
                }
            }
            _ => {}
        }
        let Some(role) = self.servers[s].role.clone() else { return vec![entry] };
        match (role, &entry) {
            (ServerRole::Withholds, Entry::Partial(_))
            | (ServerRole::SignsNothing, Entry::HeaderSignature(_)) => Vec::new(),
            (ServerRole::Changes, Entry::Partial(partial)) => {
                let mut partial = partial.trusted().clone();
                partial.vector[0] ^= 1;
                vec![Entry::Partial(Box::new(Signed::new(&identity, partial)))]
            }
            (ServerRole::Noise(kept), Entry::Commitment(commitment)) => {
                let c = commitment.trusted();
                let partial =
                    kept.filter(|p| p.aggregate_digest == c.aggregate_digest).unwrap_or_else(|| {
                        Box::new(Partial {
                            deployment: c.deployment,
                            round: c.round,
                            server: c.server,
                            header_digest: c.header_digest,
                            aggregate_digest: c.aggregate_digest,
                            nonce: *self.secret(),
                            vector: self.noise(self.plan.params.vector_bytes()),
                        })
                    });
                let commitment = Commitment { commitment: partial.commitment(), ..c.clone() };
                self.servers[s].role = Some(ServerRole::Noise(Some(partial)));
                vec![Entry::Commitment(Signed::new(&identity, commitment))]
            }
            (ServerRole::Noise(Some(partial)), Entry::Partial(_)) => {
                vec![Entry::Partial(Box::new(Signed::new(&identity, *partial)))]
            }
            (ServerRole::Denies, Entry::Disclosure(disclosure)) => {
                let denied = Disclosure { revealed: false, ..disclosure.trusted().clone() };
                vec![Entry::Disclosure(Signed::new(&identity, denied))]
            }
            (ServerRole::MakesSessionsUp, Entry::Vouch(vouch)) => {
                let made_up = Vouch { session: *self.secret(), ..vouch.trusted().clone() };
                vec![Entry::Vouch(Box::new(Signed::new(&identity, made_up))), entry]
            }
            (ServerRole::Misleads, Entry::Open(header)) if self.chance(500) => {
                let mut header = header.clone();
                match self.below(4) {
                    0 => header.round += 1,
                    1 => drop(header.servers.pop()),
                    2 => header.roster_len -= 1,
                    _ => header.prev = [9; 32],
                }
                vec![Entry::Open(header)]
            }
            (ServerRole::Misleads, Entry::Fold { round, parts }) => match self.below(4) {
                0 => vec![Entry::Abandon { round: *round }],
                1 => vec![Entry::Fold { round: *round, parts: Vec::new() }],
                2 => vec![Entry::Fold { round: *round, parts: [&parts[..], &parts[..]].concat() }],
                _ => vec![entry],
            },
            _ => vec![entry],
        }
    }

    fn noise(&mut self, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|_| self.below(256) as u8).collect()
    }

    /// What a server tells those who listen to it.
    pub(crate) fn tampered_event(&mut self, s: usize, event: Event) -> Event {
        if !matches!(self.servers[s].role, Some(ServerRole::TellsLies)) || self.chance(500) {
            return event;
        }
        match event {
            Event::Ended(ended) => Event::Ended(self.lie(ended)),
            Event::Open { mut header, roster } => {
                header.header.roster_len += 1;
                Event::Open { header, roster }
            }
            Event::Boot(_) => Event::Boot(*self.secret()),
        }
    }

    fn lie(&mut self, ended: Ended) -> Ended {
        match ended {
            Ended::Final(mut signed) => {
                match self.below(4) {
                    0 => signed.record.messages.clear(),
                    1 => signed.record.participants = Bitmap::new(signed.record.participants.len()),
                    2 => drop(signed.signatures.pop()),
                    _ => signed.record.round += 1,
                }
                Ended::Final(signed)
            }
            Ended::Abandoned(mut abandoned) => {
                match self.below(3) {
                    0 => abandoned.disclosures.clear(),
                    1 => abandoned.header_digest = [9; 32],
                    _ => {
                        let twice = abandoned.disclosures.clone();
                        abandoned.disclosures.extend(twice);
                    }
                }
                Ended::Abandoned(abandoned)
            }
        }
    }

    /// What a server answers to who fetches records.
    pub(crate) fn tampered_records(&mut self, s: usize, mut reply: RecordsReply) -> RecordsReply {
        if !matches!(self.servers[s].role, Some(ServerRole::TellsLies)) || self.chance(500) {
            return reply;
        }
        match self.below(4) {
            0 => reply.items.clear(),
            1 => reply.earliest = reply.latest,
            2 => reply.items = reply.items.into_iter().map(|ended| self.lie(ended)).collect(),
            _ => {
                let half = reply.items.len() / 2;
                reply.items.truncate(half);
            }
        }
        reply
    }

    /// Whether an aggregator takes this client's envelope and drops it.
    pub(crate) fn swallowed(&self, a: usize, from: &ClientId) -> bool {
        match self.aggregators[a].role {
            Some(AggregatorRole::SwallowsHalf) => from.0[0] & 1 == 1,
            Some(AggregatorRole::SwallowsOne) => self.clients.first().is_some_and(|c| c.id() == *from),
            _ => false,
        }
    }

    /// What an aggregator gives to the leader.
    pub(crate) fn tampered_aggregate(
        &mut self,
        a: usize,
        signed: Signed<Aggregate>,
    ) -> Option<Signed<Aggregate>> {
        let Some(role) = self.aggregators[a].role else { return Some(signed) };
        let params: Params = self.plan.params.clone();
        let mut aggregate = signed.trusted().clone();
        let (cells, len) = (params.cell_bytes(), aggregate.participants.len());
        let everybody = || {
            let mut all = Bitmap::new(len);
            (0..len).for_each(|i| all.set(i));
            all
        };
        match role {
            AggregatorRole::SwallowsHalf | AggregatorRole::SwallowsOne => return Some(signed),
            AggregatorRole::Silent => return None,
            AggregatorRole::GarblesAll => aggregate.vector[cells..].iter_mut().for_each(|b| *b ^= 0x55),
            AggregatorRole::GarblesOne => {
                let slot = self.below(params.slots.into()) as u32;
                aggregate.vector[slot::range(&params, slot)].iter_mut().for_each(|b| *b ^= 0x55);
            }
            AggregatorRole::GarblesCells => {
                let at = self.below(cells as u64) as usize;
                aggregate.vector[at] ^= 0x55;
            }
            AggregatorRole::Overstates => aggregate.participants = everybody(),
            AggregatorRole::Understates => {
                aggregate.participants = Bitmap::new(len);
                if len > 0 {
                    aggregate.participants.set(0);
                }
            }
        }
        Some(Signed::new(&self.aggregators[a].identity, aggregate))
    }

    /// What a client sends, and to whom.
    pub(crate) fn tampered_envelopes(
        &mut self,
        c: usize,
        aggregator: usize,
        mut envelope: Envelope,
    ) -> Vec<(usize, Envelope)> {
        let Some(role) = self.clients[c].role else { return vec![(aggregator, envelope)] };
        let cells = self.plan.params.cell_bytes();
        let whole = envelope.vector.len();
        let noise = self.noise(whole);
        let mix = |envelope: &mut Envelope, range: std::ops::Range<usize>| {
            for at in range {
                envelope.vector[at] ^= noise[at];
            }
        };
        match role {
            ClientRole::NoisyCells => mix(&mut envelope, 0..cells),
            ClientRole::NoisySlots => mix(&mut envelope, cells..whole),
            ClientRole::OtherIndex => envelope.index = envelope.index.wrapping_sub(1),
            ClientRole::Short => drop(envelope.vector.pop()),
            ClientRole::Equivocates => {
                let mut other = envelope.clone();
                mix(&mut other, 0..whole);
                let all = (0..self.aggregators.len()).map(|a| (a, other.clone()));
                return [(aggregator, envelope)].into_iter().chain(all).collect();
            }
        }
        vec![(aggregator, envelope)]
    }
}
