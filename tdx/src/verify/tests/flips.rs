//! No single bit of a quote changes what is accepted: the quote is refused, or what was verified is the same. Of bits 0,
//! 16, 32, … of each quote; with ZIPNET_ALL_BITS=1 of all of them.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

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

/// More than one bit: bytes overwritten, cut out, repeated, lengths made up. Whatever it is, it is refused with words, or
/// nothing that counts has changed; nothing panics. 3,000 of each quote, from a fixed seed.
#[test]
fn mangled_quotes_are_refused_in_good_order() {
    for (seed, r) in good().into_iter().enumerate() {
        let mut random = ChaCha20Rng::seed_from_u64(seed as u64);
        let mut below = |n: usize| random.next_u64() as usize % n;
        let verifier = r.verifier();
        let honest = verifier.authenticate(r.quote, r.at).unwrap();
        let mut refused = 0;
        for _ in 0..3_000 {
            let mut quote = r.quote.to_vec();
            for _ in 0..=below(4) {
                let (at, len) = (below(quote.len()), 1 + below(64));
                let end = (at + len).min(quote.len());
                match below(4) {
                    0 => quote[at] = below(256) as u8,
                    1 => drop(quote.drain(at..end)),
                    2 => {
                        let part = quote[at..end].to_vec();
                        quote.splice(at..at, part);
                    }
                    _ => {
                        // Where lengths and types are: in front, behind the body, before the certificates.
                        let at = [0, 48, 632, 764, 939, 1071][below(6)] + below(8);
                        quote[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)];
                    }
                }
            }
            match verifier.authenticate(&quote, r.at) {
                Ok(found) => assert_eq!(found, honest, "{}", r.name),
                Err(why) => {
                    assert!(why.to_string().len() < 1_000, "{why}");
                    refused += 1;
                }
            }
        }
        assert!((2_500..3_000).contains(&refused), "{}: {refused} of 3,000 are refused", r.name);
    }
}
