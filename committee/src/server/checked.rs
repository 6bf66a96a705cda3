//! Whether ended rounds that somebody shows are those that the own log stands on.

use std::collections::BTreeSet;

use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::RecordDigest;
use zipnet_dcnet::record::RecordError;
use zipnet_dcnet::signed::SignatureError;
use zipnet_dcnet::wire::{Abandoned, Ended};

/// What is missing in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The first round that is there.
    pub(super) below: u64,
    /// The first round that should be.
    pub(super) down_to: u64,
    /// Digest of the last final record before `below`; the deployment id when there is none.
    pub(super) wanted: RecordDigest,
}

/// Why rounds are not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// A record that is wrong in itself, or a signature on it.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Not the record that the one after it names.
    #[error("the record of round {0} is not the one that the record after it names")]
    Chain(u64),
    /// A disclosure that does not belong there.
    #[error("a disclosure of round {0} is not of this round, this deployment, or a server of it")]
    Disclosure(u64),
    /// A disclosure that nobody made.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Of `items` those that end just below the gap's upper end without a round missing, if all of them hold: records hang on
/// the one above by their digest, and every signature is good. Rounds that are said to be abandoned are believed where a
/// final record below them shows that nothing is left out, or where a majority of the servers signed that.
///
/// # Errors
/// [`Unfit`]: then none of it is believed, whoever showed it.
pub(super) fn check(descriptor: &Descriptor, gap: &Gap, items: Vec<Ended>) -> Result<Vec<Ended>, Unfit> {
    let deployment = descriptor.id();
    let (mut wanted, mut next) = (gap.wanted, gap.below);
    let mut kept = Vec::new();
    // How many of `kept` are certain.
    let mut certain = 0;
    for ended in items.into_iter().rev() {
        if ended.round() >= next {
            // Above the gap.
            continue;
        }
        if ended.round() < gap.down_to || ended.round() + 1 != next {
            // Below it, or after a hole.
            break;
        }
        next = ended.round();
        let sure = match &ended {
            Ended::Final(signed) => {
                let (digest, _) = signed.verify(descriptor, &deployment)?;
                if digest != wanted {
                    return Err(Unfit::Chain(next));
                }
                wanted = signed.record.prev;
                true
            }
            Ended::Abandoned(abandoned) => {
                let said = disclosed(descriptor, abandoned)?;
                wanted == deployment.0 || (said >= descriptor.majority() && certain == kept.len())
            }
        };
        kept.push(ended);
        if sure {
            certain = kept.len();
        }
    }
    kept.truncate(certain);
    kept.reverse();
    Ok(kept)
}

/// How many servers disclosed the round.
fn disclosed(descriptor: &Descriptor, abandoned: &Abandoned) -> Result<usize, Unfit> {
    let deployment = descriptor.id();
    let mut servers = BTreeSet::new();
    for disclosure in &abandoned.disclosures {
        let d = disclosure.verify()?;
        let fits = d.deployment == deployment
            && d.round == abandoned.round
            && d.header_digest == abandoned.header_digest
            && descriptor.servers.binary_search(&d.server).is_ok();
        if !fits || !servers.insert(d.server) {
            return Err(Unfit::Disclosure(abandoned.round));
        }
    }
    Ok(servers.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::sample::{Chain, chain};
    use super::*;

    /// Rounds 1 to 12, of which 3, 7, 8 and 12 are abandoned; and the gap below round 12.
    fn sample() -> (Chain, Gap) {
        let chain = chain(12, &[3, 7, 8, 12]);
        let gap = Gap { below: 12, down_to: 1, wanted: chain.last_digest };
        (chain, gap)
    }

    #[test]
    fn what_hangs_together_is_kept_whatever_part_of_it_is_shown() {
        let (chain, gap) = sample();
        let all = &chain.ended;
        assert_eq!(check(&chain.descriptor, &gap, all[..11].to_vec()).unwrap(), all[..11]);
        assert_eq!(check(&chain.descriptor, &gap, all.clone()).unwrap(), all[..11], "what is there already");
        assert_eq!(check(&chain.descriptor, &gap, all[4..11].to_vec()).unwrap(), all[4..11]);
        assert_eq!(check(&chain.descriptor, &gap, all[..10].to_vec()).unwrap(), [], "round 11 lacks");
        let holed = [&all[..4], &all[5..11]].concat();
        assert_eq!(check(&chain.descriptor, &gap, holed).unwrap(), all[5..11], "round 5 lacks");
        let high = Gap { down_to: 9, ..gap };
        assert_eq!(check(&chain.descriptor, &high, all.clone()).unwrap(), all[8..11]);
    }

    #[test]
    fn rounds_said_to_be_abandoned_need_a_record_below_or_a_majority() {
        let (chain, gap) = sample();
        let mut shown = chain.ended[6..11].to_vec();
        assert_eq!(check(&chain.descriptor, &gap, shown.clone()).unwrap(), shown, "all servers disclosed");
        let strip = |ended: &mut Ended, left: usize| {
            let Ended::Abandoned(abandoned) = ended else { panic!("final") };
            abandoned.disclosures.truncate(left);
        };
        strip(&mut shown[1], 1);
        assert_eq!(check(&chain.descriptor, &gap, shown.clone()).unwrap(), shown[2..], "one server's word");
        // Round 6 is final, and round 9 names it: then 7 and 8 were not.
        let mut whole = chain.ended[5..11].to_vec();
        strip(&mut whole[1], 0);
        strip(&mut whole[2], 1);
        assert_eq!(check(&chain.descriptor, &gap, whole.clone()).unwrap(), whole);
    }

    #[test]
    fn what_is_altered_is_refused_whole() {
        let (chain, gap) = sample();
        let refused = |edit: &dyn Fn(&mut Vec<Ended>)| {
            let mut shown = chain.ended[..11].to_vec();
            edit(&mut shown);
            check(&chain.descriptor, &gap, shown).unwrap_err()
        };
        // A record edited and signed anew by all servers: the one above does not name it.
        assert_eq!(refused(&|shown| shown[9] = chain.other(10)), Unfit::Chain(10));
        // A final round shown as abandoned.
        assert_eq!(refused(&|shown| shown[9] = chain.abandoned(10)), Unfit::Chain(9));
        // Another deployment's chain, or a record in the place of an abandoned round.
        assert_eq!(refused(&|shown| shown[6] = chain.other(7)), Unfit::Chain(7));
        let borrowed = refused(&|shown| {
            let Ended::Final(signed) = &mut shown[0] else { panic!("abandoned") };
            let (first, second) = (signed.signatures[0].1, signed.signatures[1].1);
            (signed.signatures[0].1, signed.signatures[1].1) = (second, first);
        });
        assert!(matches!(borrowed, Unfit::Record(_)), "{borrowed}");
        let elsewhere = refused(&|shown| {
            let Ended::Abandoned(other) = chain.ended[6].clone() else { panic!("final") };
            let Ended::Abandoned(abandoned) = &mut shown[2] else { panic!("final") };
            abandoned.disclosures = other.disclosures;
        });
        assert_eq!(elsewhere, Unfit::Disclosure(3));
        // Fewer signatures are no lie.
        let mut thin = chain.ended[..11].to_vec();
        let Ended::Final(signed) = &mut thin[0] else { panic!("abandoned") };
        signed.signatures.truncate(1);
        assert_eq!(check(&chain.descriptor, &gap, thin.clone()).unwrap(), thin);
    }
}
