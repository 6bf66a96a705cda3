//! What is inside a round vector: reservations, slots, and the sealing of both.

use std::num::NonZeroU32;

use serde_json::{Value, json};
use zipnet_dcnet::pad::xor;
use zipnet_dcnet::params::{CELL_BYTES, Params};
use zipnet_dcnet::reservation::{cell_value, cells_of, owners, peel};
use zipnet_dcnet::seal::{Content, seal};
use zipnet_dcnet::slot::{self, Slot};

use super::{case, check, hex, keys, rising};

const TOKENS: [(u32, usize); 5] = [(1, 256), (0xffff_ffff, 256), (0x1234_5678, 3), (77, 10), (77, 255)];

#[test]
fn reservation() {
    let header = rising(40);
    let mut cases: Vec<Value> = TOKENS
        .into_iter()
        .map(|(token, cells)| {
            let input = json!({ "header_digest": hex(header), "token": token, "cells": cells });
            let value = hex(cell_value(&header, token));
            let output = json!({ "value": value, "cells": cells_of(&header, token, cells) });
            case(&format!("token {token} in {cells} cells"), &input, &output)
        })
        .collect();
    for (count, slots) in [(0, 4), (5, 8), (12, 8)] {
        let tokens: Vec<u32> = (1..=count).map(|i| i * 1_000_003).collect();
        let input = json!({ "record_digest": hex(rising(41)), "reservations": tokens, "slots": slots });
        let output = json!({ "owners": owners(&rising(41), &tokens, slots) });
        cases.push(case(&format!("owners of {slots} slots among {count}"), &input, &output));
    }
    check("reservation", &cases);
}

/// The cells with `tokens` in them.
fn table(tokens: &[u32], cells: usize) -> Vec<u8> {
    let header = rising(40);
    let mut out = vec![0; cells * CELL_BYTES];
    for token in tokens {
        for cell in cells_of(&header, *token, cells) {
            put(&mut out, cell, *token);
        }
    }
    out
}

fn put(table: &mut [u8], cell: usize, token: u32) {
    xor(&mut table[cell * CELL_BYTES..][..CELL_BYTES], &cell_value(&rising(40), token));
}

#[test]
fn peeling() {
    let header = rising(40);
    let many = |count: u32| (1..=count).map(|i| i.wrapping_mul(2_654_435_761)).collect::<Vec<_>>();
    let mut everywhere = vec![0; 64 * CELL_BYTES];
    for cell in 0..64 {
        put(&mut everywhere, cell, 77);
    }
    let mut only_once = vec![0; 64 * CELL_BYTES];
    put(&mut only_once, cells_of(&header, 77, 64)[0], 77);
    let mut foreign = vec![0; 64 * CELL_BYTES];
    let own = cells_of(&header, 77, 64);
    put(&mut foreign, (0..64).find(|c| !own.contains(c)).unwrap(), 77);
    let mut bad_check = table(&[77], 64);
    bad_check[own[1] * CELL_BYTES + 5] ^= 1;
    // A cell of every token holds its value and nothing else: what each leaves behind falls on the next.
    let mut chained = vec![0; 64 * CELL_BYTES];
    for token in 1..=64_u32 {
        let own = cells_of(&header, token, 64);
        for cell in &own[..(token % 3 + 1) as usize] {
            put(&mut chained, *cell, token);
        }
    }
    let mut left_over = table(&[77, 78], 64);
    left_over.extend([0xee; 5]);
    let tables = [
        ("nothing", table(&[], 64)),
        ("one", table(&[77], 64)),
        ("twenty in 64 cells", table(&many(20), 64)),
        ("sixty-four in 256 cells", table(&many(64), 256)),
        ("more than fit", table(&many(70), 64)),
        ("the same twice cancels", table(&[5, 6, 5], 64)),
        ("three cells", table(&[9], 3)),
        ("hostile: one value in every cell", everywhere),
        ("hostile: one value in one of its cells", only_once),
        ("hostile: one value in a foreign cell", foreign),
        ("hostile: one wrong check", bad_check),
        ("hostile: partly written tokens", chained),
        ("hostile: all ones", vec![0xff; 64 * CELL_BYTES]),
        ("two cells", vec![1; 2 * CELL_BYTES]),
        ("half a cell at the end", left_over),
    ];
    let cases: Vec<Value> = tables
        .iter()
        .map(|(name, cells)| {
            let input = json!({ "header_digest": hex(header), "cells": hex(cells) });
            case(name, &input, &json!({ "tokens": peel(&header, cells) }))
        })
        .collect();
    check("peel", &cases);
}

#[test]
fn slot_tag() {
    let header = rising(42);
    let encoded = |slot: u32, bytes: usize, payload: &[u8]| {
        let mut out = vec![0; bytes];
        slot::encode(&header, slot, payload, &mut out).unwrap();
        out
    };
    let payloads: [(&str, u32, usize, Vec<u8>); 5] = [
        ("empty message", 0, 17, vec![]),
        ("full block", 1, 17, vec![0x80]),
        ("padded", 63, 256, b"hello".to_vec()),
        ("longest", 63, 256, vec![7; 240]),
        ("ends in zeros", 4_095, 64, vec![1, 0x80, 0, 0]),
    ];
    let mut cases: Vec<Value> = payloads
        .iter()
        .map(|(name, slot, bytes, payload)| {
            let input = json!({
                "header_digest": hex(header), "slot": slot, "slot_bytes": bytes, "payload": hex(payload),
            });
            case(name, &input, &json!({ "bytes": hex(encoded(*slot, *bytes, payload)) }))
        })
        .collect();
    let mut flipped = encoded(3, 40, b"hi");
    flipped[0] ^= 1;
    let reads = [
        ("read: empty", 3, vec![0; 40]),
        ("read: a message", 3, encoded(3, 40, b"hi")),
        ("read: a full block", 3, encoded(3, 40, &[0x80; 24])),
        ("read: of another slot", 4, encoded(3, 40, b"hi")),
        ("read: a flipped bit", 3, flipped),
        ("read: padding without its mark", 3, {
            let tag = zipnet_dcnet::hash::hash16(
                zipnet_dcnet::hash::Use::SLOT_TAG,
                &[&header, &3_u32.to_le_bytes(), &[1], &[0x11; 24]],
            );
            [&[0x11; 24][..], &tag].concat()
        }),
    ];
    for (name, slot, bytes) in reads {
        let input = json!({ "header_digest": hex(header), "slot": slot, "bytes": hex(&bytes) });
        let output = match slot::decode(&header, slot, &bytes) {
            Slot::Empty => json!({ "is": "empty" }),
            Slot::Garbled => json!({ "is": "garbled" }),
            Slot::Message(payload) => json!({ "is": "message", "payload": hex(payload) }),
        };
        cases.push(case(name, &input, &output));
    }
    check("slot_tag", &cases);
}

#[test]
fn sealing() {
    let header = rising(43);
    let params = Params { slots: 3, slot_bytes: 40, cells: 10, ..Params::standard(3) };
    let token = NonZeroU32::new(0xdead_beef);
    let contents = [
        ("cover", Content { token: None, message: None }),
        ("a reservation", Content { token, message: None }),
        ("a message", Content { token: None, message: Some((1, b"hello")) }),
        ("both", Content { token, message: Some((2, &[9; 24])) }),
        ("an empty message", Content { token: None, message: Some((0, b"")) }),
    ];
    let cases: Vec<Value> = contents
        .iter()
        .map(|(name, content)| {
            let keys: Vec<_> = keys::pad_keys(3).iter().map(|k| hex(k.expose())).collect();
            let input = json!({
                "header_digest": hex(header), "slots": 3, "slot_bytes": 40, "cells": 10, "pad_keys": keys,
                "token": content.token, "slot": content.message.map(|m| m.0),
                "payload": content.message.map(|m| hex(m.1)),
            });
            let vector = seal(&params, &header, keys::pad_keys(3), content).unwrap();
            case(name, &input, &json!({ "vector": hex(vector) }))
        })
        .collect();
    check("seal", &cases);
}
