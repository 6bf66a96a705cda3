//! R9: nobody shrinks the set around a message.

use std::collections::BTreeSet;

use crate::ids::ClientId;

/// How many participants of the record before may lack: ⌈n / 16⌉.
pub fn slack(participants: u32) -> u32 {
    participants.div_ceil(16)
}

/// Too many of the participants of the record before are not in the fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missing} of the {before} participants of the record before are missing, at most {slack} may")]
pub struct TooManyAbsent {
    /// How many lack.
    pub missing: u32,
    /// How many there were.
    pub before: u32,
    /// How many may lack.
    pub slack: u32,
}

/// Checks R9 by client id: a new session of the same client counts as present; leaving, suspension and eviction count
/// as lacking. Quiet rounds (R8) are not checked.
///
/// # Errors
/// [`TooManyAbsent`].
pub fn check(before: &BTreeSet<ClientId>, now: &BTreeSet<ClientId>) -> Result<(), TooManyAbsent> {
    let missing = before.difference(now).count() as u32;
    let (before, slack) = (before.len() as u32, slack(before.len() as u32));
    if missing > slack { Err(TooManyAbsent { missing, before, slack }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(range: std::ops::Range<u8>) -> BTreeSet<ClientId> {
        range.map(|i| ClientId([i; 32])).collect()
    }

    #[test]
    fn one_in_sixteen_may_lack_and_newcomers_do_not_make_up() {
        assert!(check(&set(0..16), &set(1..200)).is_ok());
        let error = check(&set(0..16), &set(2..200)).unwrap_err();
        assert_eq!(error, TooManyAbsent { missing: 2, before: 16, slack: 1 });
        assert!(check(&set(0..17), &set(2..17)).is_ok());
        assert!(check(&set(0..0), &set(0..0)).is_ok());
    }
}
