//! Peeling ends and stays bounded, whatever is in the cells; and honest tokens beside hostile ones mostly survive.

use std::collections::BTreeSet;

use proptest::prelude::*;
use zipnet_dcnet::pad::xor;
use zipnet_dcnet::params::CELL_BYTES;
use zipnet_dcnet::reservation::{cell_value, cells_of, owners, peel};

const H: [u8; 32] = [1; 32];

fn put(table: &mut [u8], cell: usize, token: u32) {
    xor(&mut table[cell * CELL_BYTES..][..CELL_BYTES], &cell_value(&H, token));
}

/// Peels and checks what holds for any cells: at most one token per cell, ascending, each once, none zero; and peeling
/// again what is left of the table gives nothing that was not peeled.
fn peel_checked(cells: &[u8]) -> Vec<u32> {
    let tokens = peel(&H, cells);
    assert!(tokens.len() <= cells.len() / CELL_BYTES);
    assert!(tokens.windows(2).all(|w| w[0] < w[1]));
    assert!(tokens.first().is_none_or(|t| *t > 0));
    assert_eq!(peel(&H, cells), tokens);
    tokens
}

fn table(cells: usize) -> Vec<u8> {
    vec![0; cells * CELL_BYTES]
}

/// The largest table there can be, each cell with a value that is valid there: as much work as can be made cheaply.
#[test]
fn a_largest_table_full_of_valid_values_ends() {
    let cells = 32_768;
    let mut full = table(cells);
    let mut free: BTreeSet<usize> = (0..cells).collect();
    for token in 1..200_000 {
        if let Some(cell) = cells_of(&H, token, cells).into_iter().find(|c| free.remove(c)) {
            put(&mut full, cell, token);
        }
    }
    assert!(free.len() < 10, "almost every cell is pure at the start");
    assert!(peel_checked(&full).len() > 5_000);
}

/// A chain in which each peeled token uncovers the one before it: one token a pass, as slow as it gets.
#[test]
fn a_chain_that_uncovers_one_token_a_pass_is_read_to_its_end() {
    // Token b follows a when b's last remaining cell, below a's, is shared with a.
    let cells = 300;
    let third = cells / 3;
    let mut chained = table(cells);
    let mut tokens = Vec::new();
    let mut next = third;
    for token in 1..3_000_000 {
        if next == 1 {
            break;
        }
        // Both own cells of the first two thirds fall in place: (next − 1) of the first and of the second third.
        let own = cells_of(&H, token, cells);
        if own[0] == next - 1 && own[1] == third + next - 2 {
            tokens.push(token);
            next -= 1;
        }
    }
    assert!(tokens.len() > 50);
    for token in &tokens {
        for cell in cells_of(&H, *token, cells) {
            put(&mut chained, cell, *token);
        }
    }
    tokens.sort_unstable();
    assert_eq!(peel_checked(&chained), tokens);
}

/// What a client can write without knowing the others: its own token into any cells, any number of times.
#[test]
fn a_crafted_token_in_any_subset_of_its_cells_is_read_at_most_once() {
    for token in 1..40 {
        let own = cells_of(&H, token, 30);
        for subset in 0..8_usize {
            let mut crafted = table(30);
            for (t, cell) in own.iter().enumerate() {
                if subset >> t & 1 == 1 {
                    put(&mut crafted, *cell, token);
                }
            }
            let expected = if subset == 0 { vec![] } else { vec![token] };
            assert_eq!(peel_checked(&crafted), expected);
        }
        for foreign in (0..30).filter(|cell| !own.contains(cell)) {
            let mut crafted = table(30);
            put(&mut crafted, foreign, token);
            assert_eq!(peel_checked(&crafted), [], "not one of the token's cells");
        }
    }
}

/// A token that cancels another in one cell, and values whose sum looks like a value.
#[test]
fn cancelling_and_self_similar_values_end() {
    for (a, b) in [(1, 2), (5, 5), (0xffff_ffff, 1)] {
        let mut crafted = table(30);
        for cell in 0..30 {
            put(&mut crafted, cell, a);
            if cell % 2 == 0 {
                put(&mut crafted, cell, b);
            }
        }
        let tokens = peel_checked(&crafted);
        assert!(tokens.iter().all(|t| [a, b, a ^ b].contains(t)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_cells_end(cells in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        peel_checked(&cells);
    }

    /// Any values in any cells, so that many cells are pure and every peeled token makes others.
    #[test]
    fn crafted_cells_end(
        cells in 3..120_usize,
        writes in proptest::collection::vec((any::<u16>(), 0..40_u32, 0..4_usize), 0..400),
    ) {
        let mut crafted = table(cells);
        for (cell, token, way) in writes {
            let own = cells_of(&H, token, cells);
            put(&mut crafted, own.get(way).copied().unwrap_or(cell as usize % cells), token);
        }
        let tokens = peel_checked(&crafted);
        prop_assert!(tokens.iter().all(|t| *t < 64), "a token that nobody wrote, or the sum of some");
    }

    /// A hostile participant writes what it likes into a few cells: honest tokens are lost at most where it wrote.
    #[test]
    fn honest_tokens_come_out_beside_hostile_cells(
        honest in proptest::collection::btree_set(1..u32::MAX, 1..20),
        hostile in proptest::collection::vec((0..256_usize, any::<[u8; 8]>()), 0..4),
    ) {
        let mut cells = table(256);
        for token in &honest {
            for cell in cells_of(&H, *token, 256) {
                put(&mut cells, cell, *token);
            }
        }
        // Two in the same three cells are lost without anybody's help: one run in thirty of this test has such.
        let alone: BTreeSet<u32> = peel_checked(&cells).into_iter().collect();
        for (cell, junk) in &hostile {
            xor(&mut cells[cell * CELL_BYTES..][..CELL_BYTES], junk);
        }
        let peeled: BTreeSet<u32> = peel_checked(&cells).into_iter().collect();
        let lost = alone.difference(&peeled).count();
        prop_assert!(lost <= 4 * hostile.len(), "{lost} lost");
        let order = owners(&[2; 32], &peeled.iter().copied().collect::<Vec<_>>(), 8);
        prop_assert_eq!(order.len(), peeled.len().min(8));
    }
}
