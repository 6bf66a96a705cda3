//! No single bit of a quote changes what is accepted: the quote is refused, or what was verified is the same. Of bits 0,
//! 16, 32, … of each quote; with ZIPNET_ALL_BITS=1 of all of them.

use std::collections::BTreeMap;

use super::recorded::{Recording, good};
use crate::verify::Authenticate;

/// Where a flipped bit may go unnoticed, and why nothing authenticates it there. Offsets depend on the quote, so these are
/// found in it.
fn tolerated(quote: &[u8], byte: usize) -> Option<&'static str> {
    let find = |what: &[u8], from: usize| {
        quote[from..].windows(what.len()).position(|w| w == what).map(|at| from + at)
    };
    let begin = b"-----BEGIN CERTIFICATE-----";
    let end = b"-----END CERTIFICATE-----";
    let leaf = find(begin, 0).unwrap();
    let authority = find(begin, leaf + 1).unwrap();
    let root = find(begin, authority + 1).unwrap();
    let last = find(end, root).unwrap() + end.len();
    match byte {
        b if b >= last => Some("the text behind the last certificate"),
        b if b >= root => Some("the root certificate in the quote: ours is compiled in"),
        b if b > leaf && !quote[b].is_ascii_alphanumeric() && !b"+/=-".contains(&quote[b]) => {
            Some("line breaks of the certificates' text form")
        }
        _ => None,
    }
}

fn check(r: &Recording, step: usize) -> BTreeMap<&'static str, usize> {
    let verifier = r.verifier();
    let honest = verifier.authenticate(r.quote, r.at).unwrap();
    let exact = crate::quote::Quote::parse(r.quote).unwrap().bytes().len();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = |thread: usize| {
        let (mut unnoticed, mut quote) = (BTreeMap::new(), r.quote.to_vec());
        for bit in (0..r.quote.len() * 8).step_by(step).skip(thread).step_by(threads) {
            quote[bit / 8] ^= 1 << (bit % 8);
            if let Ok(found) = verifier.authenticate(&quote, r.at) {
                assert_eq!(found, honest, "{}: bit {bit} changes what is verified", r.name);
                let why = tolerated(&r.quote[..exact], bit / 8);
                let byte = bit / 8;
                let near = String::from_utf8_lossy(&r.quote[byte.saturating_sub(20)..(byte + 20).min(exact)]);
                let why = why.unwrap_or_else(|| panic!("{}: bit {bit} is not noticed: {near}", r.name));
                *unnoticed.entry(why).or_insert(0) += 1;
            }
            quote[bit / 8] ^= 1 << (bit % 8);
        }
        unnoticed
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        let mut all = BTreeMap::new();
        for part in parts {
            for (why, n) in part.join().unwrap() {
                *all.entry(why).or_insert(0) += n;
            }
        }
        all
    })
}

#[test]
fn no_bit_of_a_quote_changes_what_is_accepted() {
    let step = if std::env::var_os("ZIPNET_ALL_BITS").is_some() { 1 } else { 16 };
    for r in good() {
        let unnoticed = check(r, step);
        // Where it is known to happen, it does: otherwise this would look at nothing.
        assert!(unnoticed.len() >= 2, "{}: {unnoticed:?}", r.name);
        println!("{}: bits that are not noticed, of each {step}: {unnoticed:#?}", r.name);
    }
}
