//! The parameters of a deployment (protocol.md section 1) and the limits they are checked against.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Most slots in a round.
pub const MAX_SLOTS: u32 = 4_096;
/// Largest slot, tag included, in bytes.
pub const MAX_SLOT_BYTES: u32 = 65_536;
/// Smallest slot: one byte of block and the tag.
pub const MIN_SLOT_BYTES: u32 = TAG_BYTES as u32 + 1;
/// Largest round vector, in bytes: an entry of the committee's log holds a partial, and a fold of several aggregates.
pub const MAX_VECTOR_BYTES: usize = 262_144;
/// Bytes of a slot's tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of a reservation cell.
pub const CELL_BYTES: usize = 8;
/// Longest round period or deadline, in milliseconds.
pub const MAX_MILLIS: u32 = 3_600_000;
/// No committee opens more rounds; keeps arithmetic on foreign numbers from overflowing.
pub const MAX_ROUND: u64 = 1 << 48;

/// Who joins the universe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gossip {
    /// Everybody: clients stay and publish their bundle there.
    All,
    /// Clients only look in to find the links, and leave.
    Servers,
}

/// The parameters of a deployment; part of its descriptor.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// K: message slots in a round.
    pub slots: u32,
    /// L: bytes of a slot, the 16-byte tag included.
    pub slot_bytes: u32,
    /// M: reservation cells of 8 bytes.
    pub cells: u32,
    /// From one opening to the next, in milliseconds.
    pub round_period_ms: u32,
    /// Envelopes are folded this long after the opening, in milliseconds.
    pub fold_deadline_ms: u32,
    /// The leader abandons a round that is not final by then, in milliseconds after its opening.
    pub round_deadline_ms: u32,
    /// m: below this many servers in a header, clients only cover (R8).
    pub min_servers: u32,
    /// No server unblinds fewer, ever.
    pub min_participants: u32,
    /// Clients keep their messages below this many participants (R8).
    pub min_anonymity: u32,
    /// w: a client talks only after w to 2w final records that list its session.
    pub warm_up: u32,
    /// A session silent for this many rounds leaves the roster for good.
    pub absence_limit: u32,
    /// How many rounds of the broadcast log a server keeps.
    pub retain: u32,
    /// Who joins the universe.
    pub gossip: Gossip,
}

/// A parameter that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {name} = {value}: {rule}")]
pub struct ParamError {
    /// Which one.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// The rule it breaks.
    pub rule: String,
}

impl Params {
    /// The defaults for `servers` servers.
    pub fn standard(servers: u32) -> Self {
        Self {
            slots: 64,
            slot_bytes: 256,
            cells: 256,
            round_period_ms: 3_000,
            fold_deadline_ms: 2_000,
            round_deadline_ms: 15_000,
            min_servers: servers,
            min_participants: 3,
            min_anonymity: 8,
            warm_up: 16,
            absence_limit: 32,
            retain: 28_800,
            gossip: Gossip::All,
        }
    }

    /// The `--dev` column: fast rounds and no warm-up, for a network that lives on one laptop.
    pub fn dev(servers: u32) -> Self {
        Self {
            round_period_ms: 1_000,
            fold_deadline_ms: 500,
            round_deadline_ms: 5_000,
            min_anonymity: 3,
            warm_up: 0,
            ..Self::standard(servers)
        }
    }

    /// Bytes of the round vector: `8 M` of cells, then `K L` of slots.
    pub fn vector_bytes(&self) -> usize {
        self.cell_bytes() + self.slots as usize * self.slot_bytes as usize
    }

    /// Bytes of the reservation cells at the start of the round vector.
    pub fn cell_bytes(&self) -> usize {
        self.cells as usize * CELL_BYTES
    }

    /// The longest payload of a message, in bytes.
    pub fn max_payload(&self) -> usize {
        self.slot_bytes as usize - TAG_BYTES
    }

    /// Checks every parameter for a committee of `servers`.
    ///
    /// # Errors
    /// [`ParamError`] names the first parameter that is out of its range.
    pub fn check(&self, servers: u32) -> Result<(), ParamError> {
        let range = |name, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(ParamError { name, value: value.into(), rule: format!("must be {low} to {high}") })
        };
        range("slots", self.slots, 1, MAX_SLOTS)?;
        range("slot_bytes", self.slot_bytes, MIN_SLOT_BYTES, MAX_SLOT_BYTES)?;
        range("cells", self.cells, 3, 8 * MAX_SLOTS)?;
        if self.vector_bytes() > MAX_VECTOR_BYTES {
            let rule = format!("8 cells + slots * slot_bytes must be at most {MAX_VECTOR_BYTES}");
            return Err(ParamError { name: "slots", value: self.slots.into(), rule });
        }
        range("fold_deadline_ms", self.fold_deadline_ms, 1, MAX_MILLIS)?;
        range("round_period_ms", self.round_period_ms, self.fold_deadline_ms + 1, MAX_MILLIS)
            .map_err(|e| ParamError { rule: format!("{}; fold < period", e.rule), ..e })?;
        range("round_deadline_ms", self.round_deadline_ms, self.round_period_ms + 1, MAX_MILLIS)
            .map_err(|e| ParamError { rule: format!("{}; period < deadline", e.rule), ..e })?;
        range("min_servers", self.min_servers, majority(servers), servers)?;
        range("min_participants", self.min_participants, 2, u32::MAX)?;
        range("min_anonymity", self.min_anonymity, self.min_participants, u32::MAX)?;
        range("warm_up", self.warm_up, 0, 1 << 16)?;
        range("absence_limit", self.absence_limit, 1, 1 << 20)?;
        range("retain", self.retain, 2, 1 << 24)
    }
}

/// The smallest majority of `n`.
pub fn majority(n: u32) -> u32 {
    n / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_give_the_documented_vector() {
        Params::standard(3).check(3).unwrap();
        Params::dev(3).check(3).unwrap();
        assert_eq!(Params::standard(3).vector_bytes(), 18_432);
        assert_eq!(Params::standard(3).max_payload(), 240);
    }

    #[test]
    fn fold_before_period_before_deadline() {
        let p = Params { fold_deadline_ms: 3_000, ..Params::standard(3) };
        let error = p.check(3).unwrap_err().to_string();
        assert_eq!(error, "parameter round_period_ms = 3000: must be 3001 to 3600000; fold < period");
        let p = Params { round_deadline_ms: 3_000, ..Params::standard(3) };
        assert!(p.check(3).unwrap_err().to_string().ends_with("period < deadline"));
        assert!(Params { min_servers: 1, ..Params::standard(3) }.check(3).is_err());
        assert!(Params { min_servers: 4, ..Params::standard(3) }.check(3).is_err());
        assert!(Params { slots: 4_096, ..Params::standard(3) }.check(3).is_err());
    }
}
