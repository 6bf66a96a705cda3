//! *At most once*, *accepted means kept*, *nothing waits for ever*: a client through whatever can happen to it, against
//! what a caller may expect. `ZIPNET_MODEL_CASES=10000` explores longer, from other seeds each time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngSeed, TestRunner};
use zipnet_dcnet::wire::{Event, RosterUpdate};
use zipnetd::core::input::{Command, StoreFailure};
use zipnetd::core::message::{Failure, State};
use zipnetd::core::{Answer, MessageId};

use crate::sim::{Plan, UID, World, params, ready};

/// Long enough for some rounds of a second, short enough to end within a case.
const TTL_MS: u64 = 20_000;
const CASES: u32 = 96;

/// What becomes of a round.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Fine,
    /// The client's envelope does not arrive.
    Lost,
    Garbled,
    /// Abandoned, and all servers say that nothing left.
    Clean,
    /// Abandoned, and one server says that its partial left.
    Revealed,
    /// Abandoned, and nobody says anything.
    Undisclosed,
    /// Final, with one signature so far.
    Unsigned,
    /// Final, and nobody is told.
    Untold,
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    /// The request of an earlier message once more.
    Again(Index),
    /// Somebody else sends the same bytes.
    Twin(Index),
    Cancel(Index),
    Round(Fate),
    /// The process dies so many milliseconds after the header came, and starts when the round has ended.
    Crash(u64, Fate),
    Restart,
    /// The disk of an earlier moment comes back, and the process starts on it.
    Rollback(Index),
    /// The disk is full for the next round.
    Full(Fate),
    /// No network for the next round.
    Offline(Fate),
    RestartServer(usize),
    Evict,
    /// The servers disclose what they had not.
    Disclose,
}

fn fate() -> impl Strategy<Value = Fate> {
    use Fate::{Clean, Fine, Garbled, Lost, Revealed, Undisclosed, Unsigned, Untold};
    prop_oneof![
        8 => Just(Fine),
        1 => prop::sample::select(vec![Lost, Garbled, Clean, Revealed, Undisclosed, Unsigned, Untold]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        1 => any::<Index>().prop_map(Step::Again),
        1 => any::<Index>().prop_map(Step::Twin),
        1 => any::<Index>().prop_map(Step::Cancel),
        8 => fate().prop_map(Step::Round),
        2 => (0u64..500, fate()).prop_map(|(at, fate)| Step::Crash(at, fate)),
        1 => Just(Step::Restart),
        1 => any::<Index>().prop_map(Step::Rollback),
        1 => fate().prop_map(Step::Full),
        1 => fate().prop_map(Step::Offline),
        1 => (0usize..3).prop_map(Step::RestartServer),
        1 => Just(Step::Evict),
        1 => Just(Step::Disclose),
    ]
}

fn plan(fate: Fate) -> Plan {
    let fine = Plan::default();
    let all = |revealed: &[bool]| Some(revealed.iter().copied().enumerate().collect());
    match fate {
        Fate::Fine => fine,
        Fate::Lost => Plan { lost: vec![0], ..fine },
        Fate::Garbled => Plan { garble: true, ..fine },
        Fate::Clean => Plan { abandon: all(&[false, false, false]), ..fine },
        Fate::Revealed => Plan { abandon: all(&[true]), ..fine },
        Fate::Undisclosed => Plan { abandon: Some(vec![]), ..fine },
        Fate::Unsigned => Plan { sign: vec![0], ..fine },
        Fate::Untold => Plan { tell: false, ..fine },
    }
}

/// What a caller was told about a message, and the world's truth about its bytes.
struct Told {
    id: MessageId,
    text: Vec<u8>,
    request: String,
    /// The last terminal state, if there was one.
    end: Option<State>,
    /// Others who sent the same bytes.
    twins: usize,
}

type Disk = BTreeMap<Vec<u8>, Vec<u8>>;

struct Model {
    world: World,
    told: Vec<Told>,
    /// Disks of the past, with how many messages had been acknowledged.
    disks: Vec<(Disk, usize)>,
    undisclosed: Vec<u64>,
    sent: usize,
    /// The process died while what it knew could not be written.
    forgetful: bool,
}

impl Model {
    fn new() -> Self {
        let world = ready(5);
        let disks = vec![(world.clients[0].disk.clone(), 0)];
        Self { world, told: vec![], disks, undisclosed: vec![], sent: 0, forgetful: false }
    }

    fn send(&mut self) {
        let text = format!("text {}", self.sent).into_bytes();
        let request = format!("request-{}", self.sent);
        self.sent += 1;
        if let Ok(Answer::Accepted { id, duplicate }) =
            self.world.ask(0, UID, &text, Some(&request), Some(TTL_MS))
        {
            assert!(!duplicate);
            self.told.push(Told { id, text, request, end: None, twins: 0 });
        }
    }

    fn round(&mut self, fate: Fate) {
        let plan = plan(fate);
        self.world.round(&plan);
        self.ended(fate);
    }

    fn ended(&mut self, fate: Fate) {
        if matches!(fate, Fate::Undisclosed) {
            self.undisclosed.push(self.world.opened);
        }
    }

    fn restart(&mut self) {
        self.forgetful |= self.world.clients[0].store.is_err();
        self.world.restart(0);
    }

    fn crash(&mut self, at: u64, fate: Fate) {
        let world = &mut self.world;
        let signed = world.open(&Plan::default());
        let event = Event::Open { header: Box::new(signed.clone()), roster: RosterUpdate::Fetch };
        world.tell(&event);
        let mut sent = world.pass(at);
        world.clients[0].online = false;
        world.restart(0);
        sent.extend(world.pass(500u64.saturating_sub(at)));
        world.finish(&plan(fate), &signed, sent);
        world.pass(500);
        world.clients[0].online = true;
        self.ended(fate);
    }

    fn disclose(&mut self) {
        for round in std::mem::take(&mut self.undisclosed) {
            self.world.disclose_all(round, &[(0, false), (1, false), (2, false)]);
        }
    }

    fn apply(&mut self, step: &Step) {
        let count = self.told.len();
        let some = |index: &Index| (count > 0).then(|| index.index(count));
        match step {
            Step::Send => self.send(),
            Step::Again(index) => {
                let Some(n) = some(index) else { return };
                let Told { id, text, request, .. } = &self.told[n];
                let again = self.world.ask(0, UID, text, Some(request), Some(TTL_MS));
                assert_eq!(again, Ok(Answer::Accepted { id: *id, duplicate: true }), "{request}");
            }
            Step::Twin(index) => {
                let Some(n) = some(index) else { return };
                self.told[n].twins += 1;
                let text = self.told[n].text.clone();
                self.world.accept(1, &text);
            }
            Step::Cancel(index) => {
                let Some(n) = some(index) else { return };
                self.world.command(0, Command::Cancel { uid: UID, id: self.told[n].id });
            }
            Step::Round(fate) => self.round(*fate),
            Step::Crash(at, fate) => self.crash(*at, *fate),
            Step::Restart => self.restart(),
            Step::Rollback(index) => {
                let (disk, known) = self.disks[index.index(self.disks.len())].clone();
                self.disks.retain(|(_, n)| *n <= known);
                // What was acknowledged after that moment is not on this disk.
                self.told.truncate(known);
                self.told.iter_mut().for_each(|t| t.end = None);
                self.world.clients[0].disk = disk;
                self.world.restart(0);
            }
            Step::Full(fate) => {
                self.world.clients[0].store = Err(StoreFailure::Full);
                self.send();
                self.round(*fate);
                self.world.clients[0].store = Ok(());
            }
            Step::Offline(fate) => {
                self.world.clients[0].online = false;
                self.round(*fate);
                self.world.clients[0].online = true;
            }
            Step::RestartServer(n) => self.world.restart_server(*n, true),
            Step::Evict => self.world.evict(0),
            Step::Disclose => self.disclose(),
        }
    }

    /// What has to be true after every step.
    fn check(&mut self) {
        for told in &mut self.told {
            let view = self.world.clients[0].core.message(UID, &told.id);
            let view = view.unwrap_or_else(|no| panic!("{} is lost: {no:?}", told.request));
            let name = &told.request;
            let times = self.world.published(&told.text);
            assert!(times <= 1 + told.twins, "{name} is {times} times in the log");
            if view.state.is_terminal() {
                assert!(view.next_step.is_empty() && view.next_at.is_none(), "{name}");
                if let (Some(before), false) = (&told.end, self.forgetful) {
                    assert!(same(before, &view.state), "{name} was {before:?}, is {:?}", view.state);
                }
                told.end = Some(view.state.clone());
            } else {
                assert!(!view.next_step.is_empty() && view.next_at.is_some(), "{name} waits for ever");
                assert!(told.end.is_none() || self.forgetful, "{name} was {:?}, is open again", told.end);
            }
            match view.state {
                State::Published { round, .. } => {
                    let record = self.world.record(round);
                    assert!(record.messages.iter().any(|(_, p)| *p == told.text), "{name} is not there");
                }
                State::Cancelled | State::Expired => {
                    assert!(times <= told.twins, "{name} is in the log, and said to be {:?}", view.state);
                }
                _ => {}
            }
        }
        let (disk, told) = (&self.world.clients[0].disk, self.told.len());
        if self.disks.last().is_none_or(|(last, _)| last != disk) {
            self.disks.push((disk.clone(), told));
        }
    }

    /// Everything works again: until the time to live is over, everything has ended.
    fn heal(&mut self) {
        self.disclose();
        self.world.rounds((TTL_MS / u64::from(params().round_period_ms)) as usize + 4);
        self.check();
        for told in &self.told {
            assert!(told.end.is_some(), "{} is {:?}", told.request, self.world.state(0, told.id));
        }
    }
}

/// The slot is not on the disk.
fn same(a: &State, b: &State) -> bool {
    match (a, b) {
        (State::Published { round, .. }, State::Published { round: other, .. }) => round == other,
        _ => a == b,
    }
}

#[test]
fn at_most_once_whatever_happens() {
    let longer = std::env::var("ZIPNET_MODEL_CASES").ok().map(|n| n.parse().unwrap());
    let config = ProptestConfig {
        cases: longer.unwrap_or(CASES),
        // The same cases in every run: a failure is news about the change, not about luck.
        rng_seed: if longer.is_some() { RngSeed::Random } else { RngSeed::Fixed(3) },
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let (mut published, mut failed) = (0, 0);
    let totals = std::cell::RefCell::new((&mut published, &mut failed));
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 1..40), |steps| {
            let mut model = Model::new();
            for step in &steps {
                model.apply(step);
                model.check();
            }
            model.heal();
            let mut totals = totals.borrow_mut();
            for told in &model.told {
                match told.end {
                    Some(State::Published { .. }) => *totals.0 += 1,
                    Some(State::Failed(Failure::Unknown | Failure::Exposed)) => *totals.1 += 1,
                    _ => {}
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(published > 2 * failed, "{published} were published, {failed} failed");
}

/// The power fails at each write in turn, once before and once after the disk has it.
#[test]
fn the_power_may_fail_at_every_write() {
    let texts: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];
    let mut at = 0;
    loop {
        at += 1;
        let mut reached = false;
        for kept in [false, true] {
            let mut world = ready(5);
            let before = world.clients[0].writes;
            world.clients[0].last_write = Some((before + at, kept));
            let mut acknowledged = vec![];
            for text in texts {
                let command = Command::Accept {
                    uid: UID,
                    payload: text.to_vec(),
                    request_id: None,
                    ttl_ms: Some(60 * TTL_MS),
                    receipt: false,
                };
                let reply = world.command(0, command);
                if let Some(Ok(Answer::Accepted { id, .. })) = world.clients[0].answers.remove(&reply) {
                    acknowledged.push((id, text));
                }
                world.round(&Plan::default());
            }
            reached = world.clients[0].writes >= before + at;
            // Somebody notices, rounds later.
            world.rounds(1);
            world.restart(0);
            world.rounds(30);
            for (id, text) in &acknowledged {
                let state = world.state(0, *id);
                assert!(
                    matches!(state, State::Published { .. }),
                    "write {at}, {kept}: {text:?} is {state:?}"
                );
            }
            for text in texts {
                let times = world.published(text);
                assert!(times <= 1, "write {at}, {kept}: {text:?} is {times} times in the log");
            }
        }
        if !reached {
            break;
        }
    }
    assert!(at > 12, "hardly anything was written: {at}");
}
