//! What is known about rounds: records and who stands behind them (R5, R11), abandoned rounds and who disclosed (R10).
//!
//! Of every record that counts, the signatures and the header above are kept: what makes it count is a receipt, too.
//!
//! Bounded: the last [`WINDOW`] verified records and those of rounds that somebody still waits for; [`LOOSE`] records
//! per server that do not count yet.

use std::collections::{BTreeMap, BTreeSet};

use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::SignedHeader;
use zipnet_dcnet::ids::{DeploymentId, HeaderDigest, PeerId, RecordDigest};
use zipnet_dcnet::receipt::{self, MAX_ABOVE, Receipt};
use zipnet_dcnet::record::{Record, SignedRecord};
use zipnet_dcnet::signed::Signature;
use zipnet_dcnet::wire::Abandoned;

/// Verified records that are kept.
pub(super) const WINDOW: usize = 64;
/// Records per server that do not count yet.
const LOOSE: usize = 64;
/// Headers per round whose disclosures are collected: one, and room for what liars claim.
const CLAIMS: usize = 4;

/// The committee's servers as bits: bit i is the descriptor's server i.
pub(super) type Mask = u32;

/// A record and who signed it, or something that stands on it.
pub(super) struct Known {
    pub(super) record: Record,
    pub(super) digest: RecordDigest,
    pub(super) signers: Mask,
    /// Its own signatures that came so far.
    signatures: BTreeMap<PeerId, Signature>,
    /// An opened header that stands on it, if one was seen.
    header: Option<Box<SignedHeader>>,
}

impl Known {
    /// All its servers signed.
    fn is_signed(&self) -> bool {
        self.signatures.len() == self.record.servers.len()
    }

    /// What came about it shows by itself that it counts.
    fn counts_alone(&self) -> bool {
        self.is_signed() || self.header.is_some()
    }

    fn signed(&self) -> SignedRecord {
        let signatures = self.signatures.iter().map(|(id, signature)| (*id, *signature)).collect();
        SignedRecord { record: self.record.clone(), signatures }
    }
}

/// Disclosures about one header.
#[derive(Default)]
struct Gone {
    clean: Mask,
    revealed: Mask,
}

/// See the module.
pub(super) struct Ledger {
    servers: Vec<PeerId>,
    deployment: DeploymentId,
    min_servers: u32,
    pins: Mask,
    verified: BTreeMap<u64, Known>,
    loose: Vec<(PeerId, Known)>,
    gone: BTreeMap<(u64, HeaderDigest), Gone>,
    /// What the last header says about the record below it.
    claim: Option<(Mask, Box<SignedHeader>)>,
    /// Rounds that were verified since the last [`Ledger::fresh`].
    fresh: Vec<u64>,
}

impl Ledger {
    pub(super) fn new(descriptor: &Descriptor, deployment: DeploymentId, pins: &[PeerId]) -> Self {
        let mut ledger = Self {
            servers: descriptor.servers.clone(),
            deployment,
            min_servers: descriptor.params.min_servers,
            pins: 0,
            verified: BTreeMap::new(),
            loose: Vec::new(),
            gone: BTreeMap::new(),
            claim: None,
            fresh: Vec::new(),
        };
        ledger.pins = ledger.mask(pins);
        ledger
    }

    /// The bits of servers; who is none of the committee's has none.
    pub(super) fn mask<'a>(&self, ids: impl IntoIterator<Item = &'a PeerId>) -> Mask {
        let bit = |id: &PeerId| self.servers.binary_search(id).map_or(0, |i| 1 << i);
        ids.into_iter().fold(0, |mask, id| mask | bit(id))
    }

    /// At least m servers (R11).
    pub(super) fn many(&self, mask: Mask) -> bool {
        mask.count_ones() >= self.min_servers
    }

    /// At least m servers, all that are pinned among them (R8, R10).
    pub(super) fn enough(&self, mask: Mask) -> bool {
        self.many(mask) && mask & self.pins == self.pins
    }

    /// The last record that counts.
    pub(super) fn tip(&self) -> Option<&Known> {
        self.verified.last_key_value().map(|(_, known)| known)
    }

    /// The record of a round, if it counts.
    pub(super) fn round(&self, round: u64) -> Option<&Known> {
        self.verified.get(&round)
    }

    /// The record with this digest, if it counts.
    pub(super) fn get(&self, digest: &RecordDigest) -> Option<&Known> {
        self.verified.values().rev().find(|known| known.digest == *digest)
    }

    /// Rounds that were verified since the last call.
    pub(super) fn fresh(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.fresh)
    }

    /// A header whose signatures were checked: it counts, and so does what it stands on.
    pub(super) fn header(&mut self, signed: &SignedHeader, digest: HeaderDigest) {
        let header = &signed.header;
        let mask = self.mask(&header.servers);
        let loose = self.loose.iter_mut().map(|(_, known)| known);
        let below = self.verified.values_mut().rev().chain(loose).find(|known| known.digest == header.prev);
        if let Some(known) = below {
            known.header.get_or_insert_with(|| Box::new(signed.clone()));
        }
        self.claim = Some((mask, Box::new(signed.clone())));
        self.gone.entry((header.round, digest)).or_default();
        self.stands(header.prev, mask);
    }

    /// Waits for disclosures about this header, which a message was sealed under or which the log names.
    pub(super) fn watch(&mut self, round: u64, digest: HeaderDigest) {
        let known = self.gone.range((round, [0; 32])..=(round, [0xff; 32])).count();
        if known < CLAIMS {
            self.gone.entry((round, digest)).or_default();
        }
    }

    /// A record whose signatures were checked. Whether that was news.
    pub(super) fn add(&mut self, from: PeerId, signed: SignedRecord, digest: RecordDigest) -> bool {
        let signers = self.mask(signed.signatures.iter().map(|(id, _)| id));
        let all = self.mask(&signed.record.servers);
        let round = signed.record.round;
        let SignedRecord { record, signatures } = signed;
        if let Some(known) = self.verified.get_mut(&round) {
            let news = known.digest == digest && signers & !known.signers != 0;
            if known.digest == digest {
                known.signatures.extend(signatures);
            }
            if news {
                known.signers |= signers;
                let (prev, mask) = (known.record.prev, known.signers);
                self.stands(prev, mask);
            }
            return news;
        }
        let known = self.loose.iter_mut().find(|(_, known)| known.digest == digest);
        let (signers, news) = if let Some((_, known)) = known {
            let before = known.signers;
            known.signers |= signers;
            known.signatures.extend(signatures);
            (known.signers, known.signers != before)
        } else {
            if self.loose.iter().filter(|(teller, _)| *teller == from).count() >= LOOSE {
                let oldest = self.loose.iter().position(|(teller, _)| *teller == from);
                self.loose.remove(oldest.expect("invariant: counted above"));
            }
            let signatures = signatures.into_iter().collect();
            self.loose.push((from, Known { record, digest, signers, signatures, header: None }));
            (signers, true)
        };
        if let Some((mask, header)) = self.claim.as_ref().filter(|claim| claim.1.header.prev == digest) {
            let mask = *mask;
            if let Some((_, known)) = self.loose.iter_mut().find(|(_, known)| known.digest == digest) {
                known.header.get_or_insert_with(|| header.clone());
            }
            self.stands(digest, mask);
        } else if signers == all {
            self.stands(digest, 0);
        }
        news
    }

    /// Something that counts and is signed by `mask` stands on the record `digest`: it counts, and everything below.
    fn stands(&mut self, mut digest: RecordDigest, mut mask: Mask) {
        loop {
            let known = if let Some(at) = self.loose.iter().position(|(_, known)| known.digest == digest) {
                let (_, known) = self.loose.swap_remove(at);
                let round = known.record.round;
                if self.verified.contains_key(&round) {
                    // Two records of one round that both count: the committee forked. The first one stays.
                    return;
                }
                self.fresh.push(round);
                self.verified.entry(round).or_insert(known)
            } else {
                let Some(known) = self.verified.values_mut().rev().find(|known| known.digest == digest)
                else {
                    return;
                };
                if mask & !known.signers == 0 {
                    return;
                }
                known
            };
            known.signers |= mask;
            mask = known.signers;
            digest = known.record.prev;
        }
    }

    /// What a server says about an abandoned round. Only disclosures count, and only those about headers that this
    /// client knows or waits for. Whether there was news.
    pub(super) fn add_abandoned(&mut self, abandoned: &Abandoned) -> bool {
        let (round, digest) = (abandoned.round, abandoned.header_digest);
        if !self.gone.contains_key(&(round, digest)) {
            return false;
        }
        let (mut clean, mut revealed) = (0, 0);
        for signed in abandoned.disclosures.iter().take(self.servers.len()) {
            let Ok(d) = signed.verify() else { continue };
            if d.deployment == self.deployment && d.round == round && d.header_digest == digest {
                let bit = self.mask([&d.server]);
                if d.revealed { revealed |= bit } else { clean |= bit }
            }
        }
        let gone = self.gone.entry((round, digest)).or_default();
        let news = clean & !gone.clean != 0 || revealed & !gone.revealed != 0;
        gone.clean |= clean;
        gone.revealed |= revealed;
        news
    }

    /// Who of `servers` disclosed about a header: (nothing left, a partial may have left).
    pub(super) fn disclosed(&self, round: u64, header: &HeaderDigest, servers: Mask) -> (Mask, Mask) {
        let gone = self.gone.get(&(round, *header));
        let (clean, revealed) = gone.map_or((0, 0), |g| (g.clean, g.revealed));
        // Who said both said that a partial may have left.
        (clean & !revealed & servers, revealed & servers)
    }

    /// What shows to anybody that a slot of a round is published; `None` if the round does not count, or nothing that is
    /// known shows it.
    pub(super) fn receipt(&self, descriptor: &Descriptor, round: u64, slot: u32) -> Option<Receipt> {
        let known = self.verified.get(&round)?;
        let (mut top, mut above) = (known, Vec::new());
        while !top.counts_alone() {
            if above.len() == MAX_ABOVE {
                return None;
            }
            top = self.above(top)?;
            above.push(top.signed());
        }
        let header = top.header.as_deref().filter(|_| !top.is_signed()).cloned();
        let descriptor = descriptor.clone();
        Some(Receipt { version: receipt::VERSION, descriptor, slot, record: known.signed(), above, header })
    }

    /// The record that stands on this one.
    fn above(&self, known: &Known) -> Option<&Known> {
        let (_, next) = self.verified.range(known.record.round + 1..).next()?;
        (next.record.prev == known.digest).then_some(next)
    }

    /// Forgets what is older than the window, less the rounds in `keep` and those by which they count.
    pub(super) fn prune(&mut self, keep: &BTreeSet<u64>) {
        let mut all = keep.clone();
        for round in keep {
            let mut at = self.verified.get(round);
            for _ in 0..MAX_ABOVE {
                at = at.filter(|known| !known.counts_alone()).and_then(|known| self.above(known));
                all.extend(at.map(|known| known.record.round));
            }
        }
        let keep = &all;
        while self.verified.len() > WINDOW + keep.len() {
            let Some(old) = self.verified.keys().find(|round| !keep.contains(round)).copied() else { break };
            self.verified.remove(&old);
        }
        let most = (WINDOW + keep.len()) * CLAIMS;
        while self.gone.len() > most {
            let Some(old) = self.gone.keys().find(|(round, _)| !keep.contains(round)).copied() else { break };
            self.gone.remove(&old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zipnet_dcnet::aggregate::Bitmap;
    use zipnet_dcnet::params::Params;

    fn ids(servers: &[u8]) -> Vec<PeerId> {
        servers.iter().map(|n| PeerId([*n; 32])).collect()
    }

    /// A ledger with the records of rounds 1 to `last`, each on the one before; all servers signed each but the first,
    /// which counts through the second.
    fn ledger(last: u64) -> (Descriptor, Ledger) {
        let descriptor = Descriptor::new("test", Params::standard(3), ids(&[0, 1, 2])).unwrap();
        let mut ledger = Ledger::new(&descriptor, descriptor.id(), &[]);
        let mut prev = descriptor.id().0;
        for round in 1..=last {
            let record = Record {
                deployment: descriptor.id(),
                round,
                header_digest: [0; 32],
                aggregate_digest: [0; 32],
                prev,
                participants: Bitmap::new(4),
                servers: ids(&[0, 1, 2]),
                reservations: vec![],
                messages: vec![(0, b"text".to_vec())],
                garbled: vec![],
            };
            prev = record.digest();
            let signers = if round == 1 { ids(&[2]) } else { ids(&[0, 1, 2]) };
            let signatures = signers.into_iter().map(|id| (id, Signature([0; 64]))).collect();
            ledger.add(PeerId([0; 32]), SignedRecord { record, signatures }, prev);
        }
        (descriptor, ledger)
    }

    #[test]
    fn what_makes_a_kept_record_count_is_kept_with_it() {
        let (descriptor, mut ledger) = ledger(WINDOW as u64 + 20);
        ledger.prune(&BTreeSet::from([1]));
        assert!(ledger.round(1).is_some() && ledger.round(10).is_none(), "it did prune");
        let receipt = ledger.receipt(&descriptor, 1, 0).unwrap();
        assert_eq!((receipt.record.signatures.len(), receipt.above.len()), (1, 1));
        assert_eq!((receipt.above[0].record.round, receipt.header), (2, None));
        assert_eq!(ledger.receipt(&descriptor, 10, 0), None, "it is forgotten");
    }

    #[test]
    fn a_record_that_nothing_shows_to_count_has_no_receipt() {
        let (descriptor, mut ledger) = ledger(1);
        assert!(ledger.round(1).is_none());
        assert_eq!(ledger.receipt(&descriptor, 1, 0), None);
        // More signatures come in, one by one.
        let record = ledger.loose[0].1.record.clone();
        let digest = record.digest();
        for (n, counts) in [(0, false), (1, true)] {
            let signatures = vec![(PeerId([n; 32]), Signature([n; 64]))];
            assert!(ledger.add(PeerId([0; 32]), SignedRecord { record: record.clone(), signatures }, digest));
            assert_eq!(ledger.receipt(&descriptor, 1, 0).is_some(), counts);
        }
        let receipt = ledger.receipt(&descriptor, 1, 0).unwrap();
        let signed: Vec<PeerId> = receipt.record.signatures.iter().map(|(id, _)| *id).collect();
        assert_eq!(signed, ids(&[0, 1, 2]), "ascending, as they are checked");
    }
}
