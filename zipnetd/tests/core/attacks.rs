//! What an aggregator learns that drops and garbles envelopes, round after round: how often it guesses the author of a
//! message. It knows all public records, when the message was handed in, what is in the slots that it garbled, and is
//! bound by R9 only. A guess is one of those who may have written the message after all that was seen.
//!
//! `ZIPNET_ATTACKS=1000` plays a thousand of each kind; docs/threat-model.md has the numbers.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zipnet_dcnet::absence;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::slot;
use zipnet_dcnet::wire::{Ended, Event, RosterUpdate};
use zipnetd::core::message::{Failure, State};
use zipnetd::core::{Input, MessageId};

use super::sim::{Plan, UID, World, params};

/// Clients; one of them writes.
const N: usize = 12;
/// Below this, less the slack, nobody talks.
const MIN: u32 = 8;
/// Rounds of one attack.
const ROUNDS: usize = 8;

type Set = BTreeSet<usize>;

/// What an aggregator does in one round.
#[derive(Default)]
struct Move {
    leave_out: Set,
    garble: Vec<u32>,
}

/// What it sees of it.
struct Saw {
    /// The message came out, or is in a slot that it garbled.
    message: bool,
    /// Who was in the record; nobody in a round that R9 ended.
    listed: Set,
}

struct Attack {
    world: World,
    rng: StdRng,
    /// Participants of the last record.
    before: Set,
    /// Messages so far.
    said: u32,
}

fn attacks(default: usize) -> usize {
    std::env::var("ZIPNET_ATTACKS").map_or(default, |n| n.parse().expect("ZIPNET_ATTACKS is a number"))
}

fn all() -> Set {
    (0..N).collect()
}

impl Attack {
    fn new(seed: u64) -> Self {
        let small = Params { slots: 16, cells: 96, min_anonymity: MIN, ..params() };
        let mut attack = Self {
            world: World::new(small, N),
            rng: StdRng::seed_from_u64(seed),
            before: Set::new(),
            said: 0,
        };
        attack.calm();
        attack
    }

    fn any(&mut self, among: &Set) -> usize {
        *among.iter().nth(self.rng.random_range(0..among.len())).unwrap()
    }

    /// So many of these.
    fn some(&mut self, count: usize, among: &Set) -> Set {
        let mut rest = among.clone();
        while rest.len() > count {
            let one = self.any(&rest);
            rest.remove(&one);
        }
        rest
    }

    /// Rounds without an attack, until nobody waits for anything.
    fn calm(&mut self) {
        for _ in 0..3 {
            self.round(&Move::default(), None);
        }
    }

    /// Somebody hands a message in.
    fn say(&mut self) -> (usize, MessageId, Vec<u8>) {
        self.said += 1;
        let (author, payload) = (self.rng.random_range(0..N), format!("message {}", self.said).into_bytes());
        (author, self.world.accept(author, &payload), payload)
    }

    /// A round in which the aggregator does this. `about`: the message that it looks for, and whose it is.
    fn round(&mut self, what: &Move, about: Option<&(usize, MessageId, Vec<u8>)>) -> Saw {
        let last = self.world.last.as_ref().map(|(record, _)| record.clone());
        let signed = self.world.open(&Plan::default());
        let round = signed.header.round;
        self.world.tell(&Event::Open { header: Box::new(signed.clone()), roster: RosterUpdate::Fetch });
        let fold = u64::from(self.world.descriptor.params.fold_deadline_ms);
        let mut sent = self.world.pass(fold);
        for (n, envelope) in &sent {
            // It says that it took them all.
            self.world.feed(*n, Input::Envelope { round: envelope.round, taken: true });
        }
        let sealed = about.and_then(|(author, id, _)| match self.world.state(*author, *id) {
            State::Sealed(at) if at.round == round => Some((*author, at.slot)),
            _ => None,
        });
        sent.retain(|(n, _)| !what.leave_out.contains(n));
        let params = self.world.descriptor.params.clone();
        for slot in &what.garble {
            // In one of the envelopes: it is in the sum then.
            sent[0].1.vector[slot::range(&params, *slot)].iter_mut().for_each(|byte| *byte ^= 0x55);
        }
        let inside: Set = sent.iter().map(|(n, _)| *n).collect();
        let lack = self.before.difference(&inside).count() as u32;
        let refused =
            !signed.header.is_quiet(last.as_ref()) && lack > absence::slack(self.before.len() as u32);
        // R9: nobody unblinds, and everybody says so.
        let abandon = refused.then(|| (0..3).map(|n| (n, false)).collect());
        self.world.finish(&Plan { abandon, ..Plan::default() }, &signed, sent);
        self.world.pass(500);
        let Ended::Final(ended) = &self.world.log[&round] else {
            return Saw { message: false, listed: Set::new() };
        };
        let published =
            about.is_some_and(|(_, _, text)| ended.record.messages.iter().any(|(_, m)| m == text));
        let read = sealed.is_some_and(|(n, slot)| inside.contains(&n) && what.garble.contains(&slot));
        self.before.clone_from(&inside);
        Saw { message: published || read, listed: inside }
    }

    /// The message is forgotten, and calm returns: the next attack starts anew.
    fn end(&mut self, about: &(usize, MessageId, Vec<u8>)) {
        let _ = self.world.cancel(about.0, UID, about.1);
        self.calm();
        assert!(self.world.state(about.0, about.1).is_terminal(), "it waits for nothing");
    }

    /// One attack by a strategy that gives who may have written the message; `None` when it did not come out.
    fn play(&mut self, strategy: fn(&mut Self, &(usize, MessageId, Vec<u8>)) -> Option<Set>) -> Option<bool> {
        let about = self.say();
        let may = strategy(self, &about);
        let right = may.map(|may| self.any(&may) == about.0);
        self.end(&about);
        right
    }
}

/// The share of right guesses over so many attacks; those in which the message did not come out are not counted.
fn guessed(
    name: &str,
    default: usize,
    strategy: fn(&mut Attack, &(usize, MessageId, Vec<u8>)) -> Option<Set>,
) -> f64 {
    let mut attack = Attack::new(7);
    let (mut right, mut counted) = (0, 0);
    while counted < attacks(default) {
        if let Some(hit) = attack.play(strategy) {
            counted += 1;
            right += usize::from(hit);
        }
    }
    let share = right as f64 / counted as f64;
    println!("{name}: {right} of {counted} guesses right, {share:.3}; by chance {:.3}", 1.0 / N as f64);
    share
}

/// Three standard deviations above the share that is claimed.
fn at_most(share: f64, claim: f64, default: usize) {
    let n = attacks(default) as f64;
    let edge = claim + 3.0 * (claim * (1.0 - claim) / n).sqrt();
    assert!(share <= edge, "{share:.3} of the guesses are right, {claim:.3} are claimed");
}

fn watch(attack: &mut Attack, about: &(usize, MessageId, Vec<u8>)) -> Option<Set> {
    let mut may = all();
    for _ in 0..ROUNDS {
        let saw = attack.round(&Move::default(), Some(about));
        if saw.message {
            may = &may & &saw.listed;
            break;
        }
    }
    Some(may)
}

#[test]
fn an_aggregator_that_only_watches_guesses_by_chance() {
    at_most(guessed("watching", 60, watch), 1.0 / N as f64, 60);
}

/// Leaves out another one in each round. Knows when the message was handed in: if it comes at once, neither that one
/// nor the one before wrote it; if it does not, one of them did.
fn one(attack: &mut Attack, about: &(usize, MessageId, Vec<u8>)) -> Option<Set> {
    let mut order: Vec<usize> = all().into_iter().collect();
    let start = attack.rng.random_range(0..N);
    order.rotate_left(start);
    let mut late = Set::new();
    for (n, left_out) in order.into_iter().enumerate().take(ROUNDS) {
        let saw = attack.round(&Move { leave_out: [left_out].into(), garble: vec![] }, Some(about));
        if saw.message && n == 0 {
            return Some(saw.listed);
        }
        if n == 0 {
            late = [left_out].into();
        }
    }
    Some(late)
}

#[test]
fn an_aggregator_that_drops_one_client_learns_no_more_than_the_slack_allows() {
    // With a slack of s it learns whether one of s wrote the message: (1 + s) / N.
    at_most(guessed("dropping one", 60, one), 2.0 / N as f64, 60);
}

fn half(attack: &mut Attack, about: &(usize, MessageId, Vec<u8>)) -> Option<Set> {
    for _ in 0..ROUNDS {
        let leave_out = attack.some(N / 2, &all());
        let saw = attack.round(&Move { leave_out, garble: vec![] }, Some(about));
        assert!(!saw.message, "no message comes out of less than min_anonymity and the slack");
    }
    watch(attack, about)
}

#[test]
fn an_aggregator_that_drops_half_stops_all_talk_and_learns_nothing() {
    at_most(guessed("dropping half", 60, half), 1.0 / N as f64, 60);
}

/// After it read the message it garbles on and leaves out one after the other: a message that came again would tell.
fn bisect(attack: &mut Attack, about: &(usize, MessageId, Vec<u8>), garble: &[u32]) -> Option<Set> {
    // At once, unless its reservation was lost among the others.
    let what = Move { garble: garble.to_vec(), ..Move::default() };
    let mut may = (0..ROUNDS).find_map(|_| {
        let saw = attack.round(&what, Some(about));
        saw.message.then_some(saw.listed)
    })?;
    for left_out in 0..ROUNDS {
        let what = Move { leave_out: [left_out].into(), garble: garble.to_vec() };
        if attack.round(&what, Some(about)).message {
            may.remove(&left_out);
        }
    }
    Some(may)
}

#[test]
fn an_aggregator_that_garbles_one_slot_learns_nothing() {
    let share = guessed("garbling one slot", 60, |attack, about| {
        let slot = attack.rng.random_range(0..16);
        bisect(attack, about, &[slot])
    });
    at_most(share, 1.0 / N as f64, 60);
}

#[test]
fn an_aggregator_that_garbles_every_slot_learns_nothing() {
    let share = guessed("garbling all", 60, |attack, about| {
        let may = bisect(attack, about, &Vec::from_iter(0..16));
        let state = attack.world.state(about.0, about.1);
        let exposed = state == State::Failed(Failure::Exposed);
        assert!(may.is_none() || exposed, "never sent again by itself: {state:?}");
        may
    });
    at_most(share, 1.0 / N as f64, 60);
}

/// The measure itself: a caller that sends again whatever ends exposed, in every round, is found by leaving out one
/// after the other (the rule R10 is what prevents it).
fn stubborn(attack: &mut Attack, about: &(usize, MessageId, Vec<u8>)) -> Option<Set> {
    let garble = Vec::from_iter(0..16);
    let mut again = about.clone();
    let mut may = all();
    for left_out in 0..N {
        if may.len() == 1 {
            break;
        }
        if attack.world.state(again.0, again.1).is_terminal() {
            again.1 = attack.world.accept(about.0, &about.2);
        }
        let saw = attack.round(&Move { leave_out: [left_out].into(), garble: garble.clone() }, Some(&again));
        if saw.message {
            may = &may & &saw.listed;
        } else {
            may = [left_out].into();
        }
    }
    let _ = attack.world.cancel(again.0, UID, again.1);
    Some(may)
}

#[test]
fn the_measure_finds_who_sends_an_exposed_message_again_and_again() {
    let share = guessed("garbling all, and the caller sends again", 60, stubborn);
    assert!(share > 0.8, "{share:.3}: the measure finds nothing");
}

/// Ends a round by leaving out half, keeps all but a few out of the quiet one after it, and holds that set.
fn held(attack: &mut Attack, about: &(usize, MessageId, Vec<u8>)) -> Option<Set> {
    let inside = attack.some(MIN as usize + 1, &all());
    let outside = Move { leave_out: &all() - &inside, garble: vec![] };
    let half = attack.some(N / 2, &all());
    attack.round(&Move { leave_out: half, garble: vec![] }, Some(about));
    for _ in 0..4 {
        let saw = attack.round(&outside, Some(about));
        if saw.message {
            return Some(saw.listed);
        }
    }
    None
}

#[test]
fn a_set_that_is_held_small_hides_a_message_among_min_anonymity() {
    at_most(guessed("holding the set small", 60, held), 1.0 / f64::from(MIN), 60);
}

/// As before, and lets in one of the others at a time, in the place of one who is known to have nothing to say.
fn sweep(attack: &mut Attack, about: &(usize, MessageId, Vec<u8>)) -> Option<Set> {
    let mut inside = attack.some(MIN as usize + 1, &all());
    let mut innocent: Vec<usize> = inside.iter().copied().collect();
    let half = attack.some(N / 2, &all());
    attack.round(&Move { leave_out: half, garble: vec![] }, Some(about));
    let mut may = inside.clone();
    for next in &all() - &inside {
        for _ in 0..3 {
            let outside = Move { leave_out: &all() - &inside, garble: vec![] };
            if attack.round(&outside, Some(about)).message {
                return Some(may);
            }
        }
        inside.remove(&innocent.pop().unwrap());
        inside.insert(next);
        may = [next].into();
    }
    Some(may)
}

#[test]
fn who_decides_for_long_who_takes_part_finds_the_author_of_a_message_that_it_waits_for() {
    // A limit, not a promise: (N - s + 1) / N for a held set of s, as docs/threat-model.md says.
    let (share, s) = (guessed("letting in one at a time", 60, sweep), f64::from(MIN + 1));
    at_most(share, (N as f64 - s + 1.0) / N as f64, 60);
}
