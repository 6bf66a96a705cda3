//! Readers of honest and of lying servers.

use tokio::sync::mpsc;
use zipnet_dcnet::record::SignedRecord;

use super::super::chain::tests::Committee;
use super::*;

/// Servers 0, 1, … with what each says the log is. The first is asked first.
struct Servers {
    logs: Vec<Vec<Ended>>,
}

impl Source for Servers {
    fn records(
        &self,
        call: RecordsCall,
        wish: Option<PeerId>,
        not: &[PeerId],
    ) -> BoxFuture<'_, Option<(PeerId, RecordsReply)>> {
        let id = |n: usize| PeerId([n as u8; 32]);
        let wished = wish.map(|server| usize::from(server.0[0]));
        let n = wished.or_else(|| (0..self.logs.len()).find(|n| !not.contains(&id(*n)))).unwrap_or(0);
        let log = &self.logs[n];
        let items = log.iter().filter(|e| e.round() >= call.from).take(call.limit.min(2) as usize);
        let reply = RecordsReply {
            earliest: log.first().map_or(0, Ended::round),
            latest: log.last().map_or(0, Ended::round),
            items: items.cloned().collect(),
        };
        Box::pin(async move { Some((id(n), reply)) })
    }
}

fn ended(records: &[SignedRecord]) -> Vec<Ended> {
    records.iter().map(|r| Ended::Final(Box::new(r.clone()))).collect()
}

/// Servers with these logs.
fn servers(logs: &[&[SignedRecord]]) -> Arc<Servers> {
    Arc::new(Servers { logs: logs.iter().map(|log| ended(log)).collect() })
}

fn source(records: &[SignedRecord]) -> Arc<Servers> {
    servers(&[records, records])
}

/// Everything that comes, as rounds of messages and the last mark.
async fn collect(
    log: &Arc<Log>,
    source: Arc<Servers>,
    from: Option<u64>,
) -> (Vec<u64>, u64, Result<(), Refused>) {
    let (sink, mut items) = mpsc::channel(1);
    let reading = tokio::spawn(read(log.clone(), source, from, false, sink));
    let (mut rounds, mut mark) = (Vec::new(), 0);
    while let Some(item) = items.recv().await {
        match item.item.unwrap() {
            Item::Message(message) => {
                assert_eq!(message.payload, format!("round {}", message.round).into_bytes());
                rounds.push(message.round);
            }
            Item::Progress(progress) => mark = progress.next_round,
        }
    }
    (rounds, mark, reading.await.unwrap())
}

#[tokio::test]
async fn the_log_comes_whole_from_servers_and_from_memory() {
    let committee = Committee::new();
    let records = committee.records(&[1, 2, 3, 5, 6, 7, 8], 3);
    let log = Log::new(committee.descriptor.clone());
    // Memory begins in the middle: the older part has to be fetched, two records at a time.
    for signed in &records[4..] {
        log.ended(committee.descriptor.servers[0], &Ended::Final(Box::new(signed.clone())));
    }
    let all = [1, 2, 3, 5, 6, 7, 8];
    for (from, expected) in [(0, &all[..]), (1, &all), (4, &all[3..]), (7, &all[5..]), (9, &[])] {
        let (rounds, mark, ended) = collect(&log, source(&records), Some(from)).await;
        ended.unwrap();
        assert_eq!(rounds, expected, "from {from}");
        assert_eq!(mark, 9, "from {from}");
    }
    assert_eq!(collect(&log, source(&records), None).await.0, all);
}

#[tokio::test]
async fn what_does_not_count_yet_is_not_delivered() {
    let committee = Committee::new();
    let mut records = committee.records(&[1, 2], 3);
    records.push(committee.record(3, records[1].record.digest(), 2));
    let log = Log::new(committee.descriptor.clone());
    let (rounds, mark, ended) = collect(&log, source(&records), Some(0)).await;
    ended.unwrap();
    assert_eq!((rounds, mark), (vec![1, 2], 3));
}

#[tokio::test]
async fn a_server_cannot_leave_a_record_out() {
    let committee = Committee::new();
    let mut records = committee.records(&[1, 2, 3, 4], 3);
    records.remove(1);
    let log = Log::new(committee.descriptor.clone());
    let (rounds, _, ended) = collect(&log, source(&records), Some(0)).await;
    assert_eq!(rounds, [1], "nothing beyond the gap");
    assert!(ended.is_err());
}

#[tokio::test]
async fn a_reader_that_follows_gets_what_comes() {
    let committee = Committee::new();
    let records = committee.records(&[1, 2, 3], 3);
    let log = Log::new(committee.descriptor.clone());
    let (sink, mut items) = mpsc::channel(1);
    let reading = tokio::spawn(read(log.clone(), source(&records[..1]), Some(1), true, sink));
    let mut next = 1;
    while next < 4 {
        if let Item::Message(message) = items.recv().await.unwrap().item.unwrap() {
            assert_eq!(message.round, next);
            if let Some(signed) = records.get(next as usize) {
                log.ended(committee.descriptor.servers[0], &Ended::Final(Box::new(signed.clone())));
            }
            next += 1;
        }
    }
    drop(items);
    reading.await.unwrap().unwrap();
}

/// What a reader from `from` on gets when the first server has `lie` and the second the truth.
async fn against(lie: &[SignedRecord], truth: &[SignedRecord], from: u64) -> Vec<u64> {
    let log = Log::new(Committee::new().descriptor);
    let (rounds, _, ended) = collect(&log, servers(&[lie, truth]), Some(from)).await;
    ended.unwrap();
    rounds
}

#[tokio::test]
async fn a_gap_in_one_servers_log_is_read_from_another() {
    let committee = Committee::new();
    let truth = committee.records(&[1, 2, 3, 5, 6, 7], 3);
    for missing in 1..truth.len() - 1 {
        let mut gap = truth.clone();
        gap.remove(missing);
        assert_eq!(against(&gap, &truth, 1).await, [1, 2, 3, 5, 6, 7], "without the record at {missing}");
    }
    // Two that lack different pieces make one whole log.
    let (mut one, mut two) = (truth.clone(), truth.clone());
    one.remove(1);
    two.remove(4);
    let log = Log::new(committee.descriptor.clone());
    let (rounds, mark, ended) = collect(&log, servers(&[&one, &two]), Some(1)).await;
    ended.unwrap();
    assert_eq!((rounds, mark), (vec![1, 2, 3, 5, 6, 7], 8));
}

#[tokio::test]
async fn what_nobody_has_any_more_ends_the_reader_as_lagged() {
    let committee = Committee::new();
    let mut gap = committee.records(&[1, 2, 3, 4], 3);
    gap.remove(1);
    let log = Log::new(committee.descriptor.clone());
    let (rounds, _, ended) = collect(&log, servers(&[&gap, &gap, &gap]), Some(1)).await;
    assert_eq!(rounds, [1]);
    assert_eq!(ended.unwrap_err().reason, Reason::Lagged);
}

#[tokio::test]
async fn a_rewritten_record_is_read_from_another_server() {
    let committee = Committee::new();
    let truth = committee.records(&[1, 2, 3, 4], 3);
    let mut lie = truth.clone();
    lie[2].record.messages[0].1 = b"round 9".to_vec();
    assert_eq!(against(&lie, &truth, 1).await, [1, 2, 3, 4]);
    // Signed anew by the liar alone, and so never by all.
    lie[2].signatures.truncate(1);
    lie[2].signatures[0] = (committee.servers[0].peer_id(), lie[2].record.sign(&committee.servers[0]));
    assert_eq!(against(&lie, &truth, 1).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_forked_log_is_left_for_one_that_counts() {
    let committee = Committee::new();
    let truth = committee.records(&[1, 2, 3, 4], 3);
    // From round 3 on another one, signed by a minority; and one that nobody signed.
    for signers in [0, 1, 2] {
        let mut fork = truth[..2].to_vec();
        let mut prev = truth[0].record.digest();
        for round in [3, 4] {
            fork.push(committee.record(round, prev, signers));
            prev = fork[fork.len() - 1].record.digest();
        }
        assert_eq!(against(&fork, &truth, 1).await, [1, 2, 3, 4], "{signers} signed the fork");
    }
}

#[tokio::test]
async fn a_shortened_log_is_read_on_from_another_server() {
    let committee = Committee::new();
    let truth = committee.records(&[1, 2, 3, 4, 5, 6], 3);
    // At its end: the client itself heard of round 6.
    let log = Log::new(committee.descriptor.clone());
    log.ended(committee.descriptor.servers[0], &ended(&truth[5..])[0]);
    let (rounds, mark, end) = collect(&log, servers(&[&truth[..2], &truth]), Some(1)).await;
    end.unwrap();
    assert_eq!((rounds, mark), (vec![1, 2, 3, 4, 5, 6], 7));
    // At its beginning: another one begins earlier, and where nobody does, the reader begins there.
    assert_eq!(against(&truth[3..], &truth, 1).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(against(&truth[3..], &truth[1..], 1).await, [2, 3, 4, 5, 6]);
    assert_eq!(against(&truth[1..], &truth[3..], 1).await, [2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_server_that_says_nothing_or_everything_at_once_is_left_for_another() {
    let committee = Committee::new();
    let truth = committee.records(&[1, 2, 3], 3);
    let mut disorder = truth.clone();
    disorder.swap(0, 1);
    assert_eq!(against(&disorder, &truth, 1).await, [1, 2, 3]);
    assert_eq!(
        against(&[], &truth, 1).await,
        Vec::<u64>::new(),
        "its word that the log is empty is believed"
    );
    let log = Log::new(committee.descriptor.clone());
    log.ended(committee.descriptor.servers[0], &ended(&truth[2..])[0]);
    let (rounds, ..) = collect(&log, servers(&[&[], &truth]), Some(1)).await;
    assert_eq!(rounds, [1, 2, 3], "not if the client knows better");
}
