//! Crashes between any two actions (R3, R4, R10, R11): the audit of every run panics if a server signs two headers or
//! records of one round, commits twice, or lets a partial out without its mark.

use zipnet_committee::core::{Action, Mark, Marks};
use zipnet_committee::state::{RECENT, Stage};

use crate::net::{Faults, Net};

/// Crashes `server` after so many actions from round 2 on; gives how many it carried out in the window otherwise.
fn crash_after(server: usize, fuse: Option<u32>) -> u32 {
    let mut net = Net::started(77, 3, 4);
    net.servers[server].fuse = fuse;
    let before = net.servers[server].acted;
    let from = net.finals();
    net.until("three rounds, or the crash", |n| n.finals() >= from + 3 || !n.servers[server].up);
    let acted = net.servers[server].acted - before;
    if fuse.is_some() {
        assert!(!net.servers[server].up, "the fuse was too long");
        // Proposals that are on their way still arrive.
        net.run(100);
        net.restart(server);
        let last = net.finals();
        net.within(40_000, "all three go on", |n| n.finals() > last + 2 && n.last().servers.len() == 3);
    }
    acted
}

#[test]
fn a_crash_between_any_two_actions_contradicts_nothing() {
    for server in [0, 1] {
        let actions = crash_after(server, None);
        assert!(actions >= 20, "{actions} actions in three rounds");
        for fuse in 0..actions {
            crash_after(server, Some(fuse));
        }
    }
}

#[test]
fn crashes_under_faults_contradict_nothing() {
    for seed in 0..8 {
        let mut net = Net::new(2_000 + seed, 3, 4);
        net.faults = Faults { loss: 15, twice: 25, delay: 400 };
        for _ in 0..8 {
            let server = net.below(3) as usize;
            net.servers[server].fuse = Some(net.below(25) as u32);
            net.until("it crashes", |n| !n.servers[server].up);
            let pause = net.below(3_000);
            net.run(pause);
            net.restart(server);
        }
        net.faults = Faults::default();
        let last = net.finals();
        net.within(60_000, "all go on", |n| n.finals() > last + 1 && n.last().servers.len() == 3);
    }
}

/// Why docs/operators/backup.md lets no server come back without its log: here server 2 has lost its disk after its partial
/// left, and says that it never revealed it. The author's client would send the same message again (R10).
#[test]
#[should_panic(expected = "left, and is denied")]
fn a_server_that_comes_back_with_older_marks_denies_what_it_revealed() {
    let mut net = Net::started(79, 3, 6);
    net.rounds(3);
    let round = net.freeze(Stage::Revealing);
    net.until("its partial has left", |n| n.audit.told(n.id(2), round).0);
    net.crash(2);
    net.servers[2].marks = Marks::default();
    net.until("the round is abandoned", |n| n.abandoned() == [round]);
    net.restart(2);
    net.within(20_000, "it discloses", |n| n.audit.told(n.id(2), round).1.is_some());
}

/// Its state folder is lost, its key is not: it says nothing any more, and the others go on without it.
#[test]
fn a_server_that_comes_back_without_its_state_folder_is_kept_out() {
    let mut net = Net::started(80, 3, 6);
    net.rounds(3);
    let round = net.freeze(Stage::Revealing);
    net.until("its partial has left", |n| n.audit.told(n.id(2), round).0);
    net.crash(2);
    net.servers[2].marks = Marks::new([7; 16]);
    net.until("the round is abandoned", |n| n.abandoned() == [round]);
    net.held.clear();
    net.hold = None;
    net.restart(2);
    let state = net.state().clone();
    let said = net.servers[2].core.react(net.now, &state, 1, None);
    assert!(matches!(said.as_slice(), [Action::Forgot]));
    net.until("it ends", |n| !n.servers[2].up);
    let boot = state.server(&net.id(2)).unwrap().boot;
    let last = net.finals();
    net.until("rounds go on", |n| n.finals() > last + 3);
    assert_eq!(net.audit.told(net.id(2), round).1, None, "it denies nothing");
    assert_eq!(net.state().server(&net.id(2)).unwrap().boot, boot);
    assert!(!net.last().servers.contains(&net.id(2)));
}

#[test]
fn a_header_is_signed_once_per_round_and_never_for_an_earlier_one() {
    let mut marks = Marks::default();
    assert!(marks.may_sign(1, &[1; 32]));
    marks.note(&Mark::Signed(5, [1; 32]));
    assert!(marks.may_sign(5, &[1; 32]) && marks.has_signed(5, &[1; 32]));
    assert!(!marks.may_sign(5, &[2; 32]) && !marks.has_signed(5, &[2; 32]));
    assert!(!marks.may_sign(4, &[1; 32]));
    assert!(marks.may_sign(6, &[2; 32]));
}

#[test]
fn marks_are_kept_for_as_long_as_the_state_asks_for_them() {
    let mut marks = Marks::default();
    for round in 1..=2 * RECENT as u64 {
        marks.note(&Mark::Revealed(round, [1; 32]));
        marks.note(&Mark::Record(round, [2; 32]));
    }
    for round in 1..=2 * RECENT as u64 {
        let kept = round > RECENT as u64;
        assert_eq!((marks.revealed(round), marks.record(round).is_some()), (kept, kept), "{round}");
    }
    let copy: Marks = borsh::from_slice(&borsh::to_vec(&marks).unwrap()).unwrap();
    assert_eq!(copy, marks);
}
