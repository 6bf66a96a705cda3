//! Reservations: an invertible Bloom lookup table over XOR, its peeling, and who owns which slot (section 5).

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use crate::hash::{Use, hash4, hash16, hash32};
use crate::ids::{HeaderDigest, RecordDigest};
use crate::params::CELL_BYTES;

/// A reservation: a fresh random number, used once.
pub type Token = NonZeroU32;

fn check(header: &HeaderDigest, token: u32) -> [u8; 4] {
    hash4(Use::TOKEN_CHECK, &[header, &token.to_le_bytes()])
}

/// The 8 bytes of a token in a cell: `token ‖ check`.
pub fn cell_value(header: &HeaderDigest, token: u32) -> [u8; CELL_BYTES] {
    let mut out = [0; CELL_BYTES];
    out[..4].copy_from_slice(&token.to_le_bytes());
    out[4..].copy_from_slice(&check(header, token));
    out
}

/// The three cells of a token among `cells` of them; each third of the table holds one.
pub fn cells_of(header: &HeaderDigest, token: u32, cells: usize) -> [usize; 3] {
    let third = cells / 3;
    let words = hash16(Use::TOKEN_CELLS, &[header, &token.to_le_bytes()]);
    std::array::from_fn(|t| {
        let word = u32::from_le_bytes([words[4 * t], words[4 * t + 1], words[4 * t + 2], words[4 * t + 3]]);
        t * third + word as usize % third
    })
}

/// The tokens that can be read from the cells, ascending.
///
/// Passes over the cells in ascending order. A cell is pure when its token is non-zero, the check fits, the cell is one
/// of the token's three, and the token was not peeled before. At most one token per cell is peeled, so hostile cells
/// end too. A cell is only hashed again after it changed, so their cost is bounded by four hashes per cell.
pub fn peel(header: &HeaderDigest, cells: &[u8]) -> Vec<u32> {
    let mut table: Vec<[u8; CELL_BYTES]> = cells
        .chunks_exact(CELL_BYTES)
        .map(|c| c.try_into().expect("invariant: chunks have the cell's length"))
        .collect();
    let mut changed = vec![true; table.len()];
    let mut peeled = BTreeSet::new();
    if table.len() < 3 {
        return Vec::new();
    }
    loop {
        let before = peeled.len();
        for i in 0..table.len() {
            if peeled.len() == table.len() {
                return peeled.into_iter().collect();
            }
            if !std::mem::take(&mut changed[i]) {
                continue;
            }
            let token = u32::from_le_bytes([table[i][0], table[i][1], table[i][2], table[i][3]]);
            if token == 0 || peeled.contains(&token) || table[i][4..] != check(header, token) {
                continue;
            }
            let own = cells_of(header, token, table.len());
            if !own.contains(&i) {
                continue;
            }
            let value = cell_value(header, token);
            for cell in own {
                crate::pad::xor(&mut table[cell], &value);
                changed[cell] = true;
            }
            peeled.insert(token);
        }
        if peeled.len() == before {
            return peeled.into_iter().collect();
        }
    }
}

/// The tokens in the order in which they own slots 0, 1, … of the next round: by `BLAKE2b-256(record_digest ‖ token)`;
/// at most `slots` of them.
pub fn owners(record: &RecordDigest, reservations: &[u32], slots: u32) -> Vec<u32> {
    let mut ranked: Vec<_> = reservations
        .iter()
        .map(|token| (hash32(Use::TOKEN_ORDER, &[record, &token.to_le_bytes()]), *token))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(slots as usize).map(|(_, token)| token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: HeaderDigest = [1; 32];

    fn table(tokens: &[u32], cells: usize) -> Vec<u8> {
        let mut out = vec![0; cells * CELL_BYTES];
        for token in tokens {
            for cell in cells_of(&H, *token, cells) {
                crate::pad::xor(&mut out[cell * CELL_BYTES..][..CELL_BYTES], &cell_value(&H, *token));
            }
        }
        out
    }

    #[test]
    fn sixty_four_reservations_come_back_and_left_over_cells_stay_zero() {
        let mut tokens: Vec<u32> = (1..=64).map(|i: u32| i.wrapping_mul(2_654_435_761)).collect();
        tokens.sort_unstable();
        let cells = table(&tokens, 256);
        assert_eq!(peel(&H, &cells), tokens);
        assert_eq!(cells[255 * CELL_BYTES..], [0; CELL_BYTES]);
    }

    #[test]
    fn hostile_cells_end_and_give_nothing_twice() {
        // The same valid value in all cells: its three own cells cancel, the others are not its own.
        let value = cell_value(&H, 77);
        let cells: Vec<u8> = std::iter::repeat_n(value, 256).flatten().collect();
        assert_eq!(peel(&H, &cells), vec![77]);
        // One token in only one of its cells: peeling writes it into the two others, and must not peel it from there.
        let mut cells = vec![0; 256 * CELL_BYTES];
        let own = cells_of(&H, 77, 256);
        cells[own[0] * CELL_BYTES..][..CELL_BYTES].copy_from_slice(&value);
        assert_eq!(peel(&H, &cells), vec![77]);
        assert_eq!(peel(&H, &[0xff; 2_048]), Vec::<u32>::new());
        assert_eq!(peel(&H, &[1; 7]), Vec::<u32>::new());
    }

    #[test]
    fn owners_depend_on_the_record_and_are_cut_at_the_slots() {
        let tokens: Vec<u32> = (1..=100).collect();
        let one = owners(&[1; 32], &tokens, 64);
        assert_eq!(one.len(), 64);
        assert_ne!(one, owners(&[2; 32], &tokens, 64));
    }
}
