//! The handlers behind a client's links: what servers tell its core, and its readers.

use borsh::BorshDeserialize;
use zipnet_dcnet::ids::RecordDigest;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, Event, RecordsReply, RosterUpdate};
use zipnet_proto::v1::read_item::Item;
use zipnetd::client::fuzz::reading;
use zipnetd::core::Loaded;

use crate::script::{Committee, Life, SCRIPT, Told};

/// Most inputs after the script.
const MAX_TOLD: usize = 64;

/// One byte says how much of its honest life a client has behind it; then it is told whatever the bytes say.
pub(crate) fn client(data: &[u8]) {
    let Some((at, mut rest)) = data.split_first() else { return };
    SCRIPT.with(|script| {
        let Ok(first) = Told::deserialize(&mut rest) else { return };
        let mut life = Life::new(&script.committee.descriptor, Loaded::default());
        for told in &script.told[..usize::from(*at) % (script.told.len() + 1)] {
            life.tell(told.clone(), script.rounds);
        }
        life.tell(first, script.rounds);
        for _ in 0..MAX_TOLD {
            let Ok(told) = Told::deserialize(&mut rest) else { break };
            life.tell(told, script.rounds);
        }
        life.tell(Told::Tick(60_000), script.rounds);
    });
}

pub(crate) fn client_seeds() -> Vec<Vec<u8>> {
    SCRIPT.with(|script| {
        let seed = |(at, told): (usize, &Told)| {
            let mut out = vec![at as u8];
            out.extend(encode(told));
            out
        };
        let mut out: Vec<Vec<u8>> = script.told.iter().enumerate().map(seed).collect();
        let end = script.told.len() as u8;
        let more = [
            Told::NotRegistered(1, 1),
            Told::Cancel(1_000, [0; 16]),
            Told::Cadence(0),
            Told::Paused(true),
            Told::Stop(true),
            Told::Stop(false),
        ];
        out.extend(more.iter().map(|told| seed((end.into(), told))));
        out
    })
}

/// What servers said, what they answer, and from where a reader reads. What comes out are messages of records that all
/// servers signed, in order, each once.
pub(crate) fn reader(data: &[u8]) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    }
    let mut rest = data;
    let Ok(from) = Option::<u64>::deserialize(&mut rest) else { return };
    let Ok(heard) = Vec::<(u8, Event)>::deserialize(&mut rest) else { return };
    let mut answers = Vec::new();
    while let Ok(answer) = <(u8, RecordsReply)>::deserialize(&mut rest) {
        answers.push(answer);
    }
    SCRIPT.with(|script| {
        let items = RUNTIME.with(|runtime| {
            let _guard = runtime.enter();
            reading(&script.committee.descriptor, &heard, answers, from)
        });
        let mut last = None;
        for item in items {
            if let Some(Item::Message(message)) = item.item {
                let place = (message.round, message.slot);
                assert!(last < Some(place), "{place:?} after {last:?}");
                last = Some(place);
                let said = format!("round {}", message.round).into_bytes();
                assert!(message.payload == said && message.round <= CHAIN, "a forged message is delivered");
            }
        }
    });
}

/// Rounds of the log that the committee signed.
const CHAIN: u64 = 6;

/// Records of rounds 1 to 6, each on the one before; signed by all, the last by nobody.
fn chain(committee: &Committee) -> Vec<Ended> {
    let mut prev: RecordDigest = committee.descriptor.id().0;
    let mut out = Vec::new();
    for round in 1..=CHAIN {
        let header = committee.header(round, prev, [0; 32], 5).header;
        let mut record = committee.record(&header, format!("round {round}").as_bytes());
        prev = record.record.digest();
        if round == CHAIN {
            record.signatures.clear();
        }
        out.push(Ended::Final(Box::new(record)));
    }
    out
}

pub(crate) fn reader_seeds() -> Vec<Vec<u8>> {
    SCRIPT.with(|script| {
        let committee = &script.committee;
        let all = chain(committee);
        let reply = |items: &[Ended]| RecordsReply { earliest: 1, latest: CHAIN, items: items.to_vec() };
        let seed = |from: Option<u64>, heard: &[(u8, Event)], answers: &[(u8, RecordsReply)]| {
            let mut out = encode(&from);
            out.extend(encode(&heard.to_vec()));
            out.extend(answers.iter().flat_map(encode));
            out
        };
        let told: Vec<(u8, Event)> = all[3..].iter().map(|e| (0, Event::Ended(e.clone()))).collect();
        let Ended::Final(last) = &all[all.len() - 1] else { unreachable!() };
        let above = committee.header(CHAIN + 1, last.record.digest(), [0; 32], 5);
        let open = Event::Open { header: Box::new(above), roster: RosterUpdate::Same };
        let mut gap = all.clone();
        gap.remove(2);
        let bounds = (0, reply(&all[..1]));
        vec![
            seed(Some(1), &[], &[bounds.clone(), (0, reply(&all[..3])), (0, reply(&all[3..]))]),
            seed(None, &told, &[bounds.clone(), (1, reply(&all[..4]))]),
            seed(Some(2), &[(1, open)], &[bounds.clone(), (2, reply(&gap)), (1, reply(&all))]),
            seed(Some(0), &[], &[bounds, (0, reply(&all[..2])), (1, reply(&[]))]),
        ]
    })
}
