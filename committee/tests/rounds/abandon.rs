//! Rounds that are given up, and what servers say of them (R3, R8, R10).

use zipnet_committee::entry::Entry;
use zipnet_committee::state::Stage;
use zipnet_dcnet::wire::Ended;

use crate::net::Net;

/// What each server disclosed of an abandoned round.
fn disclosed(net: &Net, round: u64) -> Vec<bool> {
    let Some(Ended::Abandoned(abandoned)) = net.state().recent().get(&round) else { panic!("not abandoned") };
    let bodies = abandoned.disclosures.iter().map(|d| d.verify().unwrap());
    let mut said: Vec<_> = bodies.map(|d| (d.server, d.revealed)).collect();
    said.sort();
    assert!(abandoned.disclosures.iter().all(|d| d.trusted().header_digest == abandoned.header_digest));
    said.into_iter().map(|(_, revealed)| revealed).collect()
}

#[test]
fn a_round_is_abandoned_at_each_stage_and_disclosed_truly() {
    let stages = [
        (Stage::Signing, [false; 3]),
        (Stage::Folding, [false; 3]),
        (Stage::Committing, [false; 3]),
        // All proposed their partials; none got into the log, and all may have been read.
        (Stage::Revealing, [true; 3]),
    ];
    for (i, (stage, expected)) in stages.into_iter().enumerate() {
        let mut net = Net::started(i as u64, 3, 6);
        net.rounds(3);
        let round = net.freeze(stage);
        net.within(6_000, "it is abandoned", |n| n.abandoned() == [round]);
        net.held.clear();
        net.hold = None;
        net.within(2_000, "all disclose", |n| disclosed(n, round).len() == 3);
        assert_eq!(disclosed(&net, round), expected, "{stage:?}");
        net.until("a later round is final", |n| n.finals() > round);
        assert!(net.finals() > round, "the number is not used again");
        let said = net.published;
        net.rounds(3);
        assert!(net.published > said, "messages flow again");
    }
}

#[test]
fn only_who_revealed_says_so() {
    let mut net = Net::started(10, 3, 6);
    net.rounds(2);
    let silent = net.id(1);
    // Server 1 never gets to reveal: it is down before all committed.
    net.hold = Some(Box::new(move |e| matches!(e, Entry::Commitment(c) if c.trusted().server == silent)));
    net.until("its commitment is under way", |n| !n.held.is_empty());
    let round = net.state().opened();
    net.crash(1);
    net.release();
    net.until("it is abandoned", |n| n.abandoned() == [round]);
    net.restart(1);
    net.within(20_000, "all disclose", |n| disclosed(n, round).len() == 3);
    assert_eq!(disclosed(&net, round), [true, false, true]);
    for i in [0, 2] {
        assert_eq!(net.audit.told(net.id(i), round), (true, Some(true)));
    }
    assert_eq!(net.audit.told(silent, round), (false, Some(false)));
}

#[test]
fn a_refused_fold_gives_the_round_up_at_once() {
    let mut net = Net::started(11, 3, 8);
    net.rounds(2);
    let round = net.freeze(Stage::Folding);
    net.held.clear();
    net.hold = None;
    net.inject(Entry::Fold { round, parts: Vec::new() });
    let from = net.now;
    net.until("it is abandoned", |n| n.abandoned() == [round]);
    assert!(net.now - from < 500, "{} ms", net.now - from);
    net.until("a quiet round is final", |n| n.finals() > round);
}

#[test]
fn nobody_is_left_out_for_a_round_that_was_doomed_or_lacked_partials() {
    for stage in [Stage::Signing, Stage::Folding, Stage::Revealing] {
        let mut net = Net::started(12, 3, 6);
        net.rounds(2);
        let round = net.freeze(stage);
        if stage == Stage::Revealing {
            net.until("it is abandoned", |n| n.abandoned() == [round]);
        } else {
            // Server 2 restarts: the round cannot become final, and that is not the others' fault.
            net.crash(2);
            net.restart(2);
            net.within(2_000, "it is abandoned", |n| n.abandoned() == [round]);
        }
        let out = |i: usize| net.state().server(&net.id(i)).unwrap().out;
        assert_eq!([out(0), out(1), out(2)], [false; 3], "{stage:?}");
    }
}

#[test]
fn a_restart_after_its_partial_is_in_the_log_stops_nothing() {
    let mut net = Net::started(13, 3, 6);
    net.rounds(2);
    let (one, two) = (net.id(1), net.id(2));
    let of = move |e: &Entry| matches!(e, Entry::Partial(p) if p.trusted().server == one);
    net.hold = Some(Box::new(of));
    let round = net.finals() + 1;
    net.until("two partials are in", |n| n.state().round().is_some_and(|r| r.partials.len() == 2));
    assert!(net.state().round().unwrap().partials.contains_key(&two));
    net.crash(2);
    net.restart(2);
    net.run(300);
    net.release();
    net.within(1_500, "the round is final", |n| n.finals() == round);
    net.run(500);
    let Ended::Final(signed) = &net.state().recent()[&round] else { panic!("abandoned") };
    assert_eq!(signed.signatures.len(), 3, "the one that restarted signs from its log");
}
