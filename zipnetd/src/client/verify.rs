//! `VerifyLog`: walks the log as one server gives it, and looks at every record, every signature and every link. It asks
//! when a caller asks, page by page with pauses, beside the rounds: what it sends has nothing to do with messages.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::{DeploymentId, PeerId, RecordDigest};
use zipnet_dcnet::record::{RecordError, SignedRecord};
use zipnet_dcnet::wire::{Abandoned, Ended, RecordsCall, RecordsReply};
use zipnet_proto::v1::{LogProblem, LogProgress, VerifyLogItem, verify_log_item::Item};
use zipnet_proto::{Reason, Refused};

use super::log::Log;
use crate::control::backend::VerifySink;

/// Rounds that are asked for at a time.
const PAGE: u32 = 64;
/// Between two pages, so that a walk takes little of the line and of the processor.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a page is asked for before the walk ends.
const ATTEMPTS: usize = 3;
/// After so many problems the walk ends: the rest says nothing new.
pub(crate) const MAX_PROBLEMS: usize = 32;
/// Rounds that the server may be behind what this client saw.
const BEHIND: u64 = 2;
/// Records at the end that may wait for signatures. Anybody can make up more without.
const UNSIGNED: u64 = 8;

/// The server whose log is looked at.
pub(crate) trait Giver: Send + Sync + 'static {
    /// A piece of its log.
    fn records(&self, call: RecordsCall) -> BoxFuture<'_, Result<RecordsReply, String>>;
}

/// The caller has gone, or the walk cannot go on.
enum Stop {
    Gone,
    /// Enough was found.
    Enough,
    Refused(Refused),
}

/// Where the walk is.
struct Walk {
    server: PeerId,
    deployment: DeploymentId,
    log: Arc<Log>,
    sink: VerifySink,
    /// Digest of the last final record; `None` where none is known to be below.
    prev: Option<RecordDigest>,
    said: LogProgress,
    problems: usize,
}

/// Walks from a round on (0: the earliest that the server keeps) to the last one that the server has at the start.
pub(crate) async fn verify(
    log: Arc<Log>,
    server: PeerId,
    giver: &dyn Giver,
    from: u64,
    sink: VerifySink,
) -> Result<(), Refused> {
    let said = LogProgress { server: server.to_string(), ..LogProgress::default() };
    let deployment = log.descriptor().id();
    let mut walk = Walk { server, deployment, log, sink, prev: None, said, problems: 0 };
    match walk.run(giver, from).await {
        Ok(()) | Err(Stop::Gone | Stop::Enough) => Ok(()),
        Err(Stop::Refused(refused)) => Err(refused),
    }
}

impl Walk {
    async fn run(&mut self, giver: &dyn Giver, from: u64) -> Result<(), Stop> {
        let tip = *self.log.tip().borrow();
        let bounds = self.ask(giver, RecordsCall { from: 1, limit: 1 }).await?;
        self.said.earliest_round = bounds.earliest;
        self.said.latest_round = bounds.latest;
        let first = from.max(bounds.earliest).max(1);
        self.said.first_round = first;
        self.said.next_round = first;
        if first == 1 {
            // The first record stands on the deployment itself.
            self.prev = Some(self.deployment.0);
        }
        self.tell(Item::Progress(self.said.clone())).await?;
        // A server keeps no more, so one that makes up more does not keep anybody busy.
        let kept = u64::from(self.log.descriptor().params.retain);
        let last = bounds.latest.min(first.saturating_add(kept));
        while self.said.next_round <= last {
            let before = self.said.next_round;
            let reply = self.ask(giver, RecordsCall { from: before, limit: PAGE }).await?;
            for ended in reply.items.iter().take(PAGE as usize) {
                self.look(ended).await?;
            }
            if self.said.next_round == before {
                let text = format!(
                    "rounds {before} to {} are not given, although it says it has them",
                    bounds.latest
                );
                self.problem(before, "Gap", text).await?;
                break;
            }
            self.tell(Item::Progress(self.said.clone())).await?;
            tokio::time::sleep(PAUSE).await;
        }
        if self.said.uncounted > UNSIGNED {
            let text =
                format!("the last {} records are not signed by all their servers", self.said.uncounted);
            self.problem(last, "Unsigned", text).await?;
        }
        if bounds.latest.saturating_add(BEHIND) < tip {
            let text = format!("it ends at round {}, this client has seen round {tip} final", bounds.latest);
            self.problem(bounds.latest, "Short", text).await?;
        }
        self.tell(Item::Progress(self.said.clone())).await
    }

    async fn look(&mut self, ended: &Ended) -> Result<(), Stop> {
        let (round, expected) = (ended.round(), self.said.next_round);
        if round < expected {
            let text = format!("round {round} is given after round {}", expected - 1);
            return self.problem(round, "Order", text).await;
        }
        if round > expected {
            // What lies between may have had records.
            self.prev = None;
            let text = format!("rounds {expected} to {} are left out", round - 1);
            self.problem(round, "Gap", text).await?;
        }
        self.said.next_round = round.saturating_add(1);
        match ended {
            Ended::Final(signed) => self.record(signed).await,
            Ended::Abandoned(abandoned) => self.abandoned(abandoned).await,
        }
    }

    async fn record(&mut self, signed: &SignedRecord) -> Result<(), Stop> {
        let record = &signed.record;
        let round = record.round;
        self.said.records += 1;
        let (digest, all_signed) = match signed.verify(self.log.descriptor(), &self.deployment) {
            Ok(verified) => {
                self.said.signatures += signed.signatures.len() as u64;
                verified
            }
            Err(error) => {
                let what = match error {
                    RecordError::Signature(_) | RecordError::Signer { .. } => "Signature",
                    _ => "Record",
                };
                self.problem(round, what, error.to_string()).await?;
                (record.digest(), false)
            }
        };
        if self.prev.is_some_and(|prev| prev != record.prev) {
            let text = format!("the record of round {round} does not stand on the one before");
            self.problem(round, "Link", text).await?;
        }
        if self.log.digest(round).is_some_and(|known| known != digest) {
            let text =
                format!("this client has another record of round {round}, from another server: a fork");
            self.problem(round, "Fork", text).await?;
        }
        self.prev = Some(digest);
        self.said.last_digest = hex(&digest);
        // One that all its servers signed makes all below it count.
        self.said.uncounted = if all_signed { 0 } else { self.said.uncounted + 1 };
        Ok(())
    }

    async fn abandoned(&mut self, abandoned: &Abandoned) -> Result<(), Stop> {
        self.said.abandoned += 1;
        let (deployment, round) = (self.deployment, abandoned.round);
        let mut seen: Vec<PeerId> = Vec::new();
        for signed in &abandoned.disclosures {
            let said = signed.trusted();
            let fits = said.deployment == deployment
                && said.round == round
                && said.header_digest == abandoned.header_digest
                && is_server(self.log.descriptor(), &said.server)
                && !seen.contains(&said.server);
            seen.push(said.server);
            if !fits {
                let text = format!("a disclosure of server {} is of something else", said.server.short());
                self.problem(round, "Disclosure", text).await?;
            } else if let Err(error) = signed.verify() {
                self.problem(round, "Signature", error.to_string()).await?;
            } else {
                self.said.signatures += 1;
            }
        }
        Ok(())
    }

    async fn problem(&mut self, round: u64, what: &str, text: String) -> Result<(), Stop> {
        self.problems += 1;
        self.tell(Item::Problem(LogProblem { round, what: what.to_owned(), text })).await?;
        if self.problems >= MAX_PROBLEMS { Err(Stop::Enough) } else { Ok(()) }
    }

    async fn tell(&self, item: Item) -> Result<(), Stop> {
        self.sink.send(VerifyLogItem { item: Some(item) }).await.map_err(|_| Stop::Gone)
    }

    async fn ask(&self, giver: &dyn Giver, call: RecordsCall) -> Result<RecordsReply, Stop> {
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match giver.records(call.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(error) => why = error,
            }
        }
        let message =
            format!("server {} does not give its log from round {} on: {why}", self.server, call.from);
        Err(Stop::Refused(Refused { reason: Reason::ConnectTimeout, message, retry_after: None }))
    }
}

fn is_server(descriptor: &Descriptor, peer: &PeerId) -> bool {
    descriptor.servers.binary_search(peer).is_ok()
}

fn hex(digest: &RecordDigest) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("invariant: writing to a string works");
        text
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use zipnet_dcnet::signed::Signed;
    use zipnet_dcnet::statement::Disclosure;

    use super::super::chain::tests::Committee;
    use super::*;

    /// A server that gives these, two at a time.
    #[derive(Default)]
    struct Given {
        items: Vec<Ended>,
        /// More than it has.
        latest: Option<u64>,
        silent: bool,
    }

    impl Giver for Given {
        fn records(&self, call: RecordsCall) -> BoxFuture<'_, Result<RecordsReply, String>> {
            let last = self.items.iter().map(Ended::round).max().unwrap_or(0);
            // From the place of the first one asked for, in the order they are given in.
            let at = self.items.iter().position(|e| e.round() >= call.from).unwrap_or(self.items.len());
            let reply = RecordsReply {
                earliest: self.items.first().map_or(0, Ended::round),
                latest: self.latest.unwrap_or(last),
                items: self.items[at..].iter().take(call.limit.min(20) as usize).cloned().collect(),
            };
            Box::pin(async move { if self.silent { Err("it is silent".to_owned()) } else { Ok(reply) } })
        }
    }

    fn ended(signed: &SignedRecord) -> Ended {
        Ended::Final(Box::new(signed.clone()))
    }

    /// A round given up, with the word of the first `count` servers.
    fn given_up(committee: &Committee, round: u64, count: usize) -> Abandoned {
        let deployment = committee.descriptor.id();
        let disclose = |server: &zipnet_dcnet::identity::Identity| {
            let (server_id, header_digest) = (server.peer_id(), [7; 32]);
            let body = Disclosure { deployment, server: server_id, round, header_digest, revealed: false };
            Signed::new(server, body)
        };
        let disclosures = committee.servers[..count].iter().map(disclose).collect();
        Abandoned { round, header_digest: [7; 32], disclosures }
    }

    /// What a walk finds: the kinds and rounds of problems, the last mark, and how it ended.
    async fn walk(
        log: &Arc<Log>,
        given: &Given,
        from: u64,
    ) -> (Vec<(String, u64)>, LogProgress, Result<(), Refused>) {
        let (sink, mut items) = mpsc::channel(1);
        let server = log.descriptor().servers[0];
        let walking = verify(log.clone(), server, given, from, sink);
        let (mut problems, mut said) = (Vec::new(), LogProgress::default());
        let hearing = async {
            while let Some(item) = items.recv().await {
                match item.item.unwrap() {
                    Item::Progress(progress) => said = progress,
                    Item::Problem(problem) => problems.push((problem.what, problem.round)),
                }
            }
        };
        let (ended, ()) = tokio::join!(walking, hearing);
        (problems, said, ended)
    }

    /// The kinds of problems in a log, from its beginning on.
    async fn found(committee: &Committee, items: Vec<Ended>) -> Vec<(String, u64)> {
        let log = Log::new(committee.descriptor.clone());
        let given = Given { items, ..Given::default() };
        let (problems, _, ended) = walk(&log, &given, 0).await;
        ended.unwrap();
        problems
    }

    fn one(what: &str, round: u64) -> Vec<(String, u64)> {
        vec![(what.to_owned(), round)]
    }

    #[tokio::test]
    async fn a_whole_log_holds_and_is_counted() {
        let committee = Committee::new();
        let log = Log::new(committee.descriptor.clone());
        let records = committee.records(&[1, 2, 4, 5], 3);
        let mut items: Vec<Ended> = records.iter().map(ended).collect();
        items.insert(2, Ended::Abandoned(given_up(&committee, 3, 2)));
        let last = committee.record(6, records[3].record.digest(), 2);
        items.push(ended(&last));
        let given = Given { items, ..Given::default() };
        let (problems, said, result) = walk(&log, &given, 0).await;
        result.unwrap();
        assert_eq!(problems, []);
        let server = log.descriptor().servers[0].to_string();
        let expected = LogProgress {
            server,
            earliest_round: 1,
            latest_round: 6,
            first_round: 1,
            next_round: 7,
            records: 5,
            abandoned: 1,
            signatures: 4 * 3 + 2 + 2,
            uncounted: 1,
            last_digest: hex(&last.record.digest()),
        };
        assert_eq!(said, expected);
        let (problems, said, _) = walk(&log, &given, 4).await;
        assert_eq!((problems.len(), said.first_round, said.records), (0, 4, 3), "from the middle on");
        let (_, said, _) = walk(&log, &Given::default(), 0).await;
        assert_eq!((said.latest_round, said.records), (0, 0), "an empty one");
    }

    #[tokio::test]
    async fn whatever_is_wrong_is_found() {
        let committee = Committee::new();
        let records = committee.records(&[1, 2, 3, 4], 3);
        let all: Vec<Ended> = records.iter().map(ended).collect();

        let mut altered = records[1].clone();
        altered.signatures[0].1.0[0] ^= 1;
        let items = vec![all[0].clone(), ended(&altered), all[2].clone()];
        assert_eq!(found(&committee, items).await, one("Signature", 2), "a signature that does not hold");

        let mut rewritten = records[1].clone();
        rewritten.record.messages[0].1.push(b'!');
        let items = vec![all[0].clone(), ended(&rewritten), all[2].clone()];
        let both = [one("Signature", 2), one("Link", 3)].concat();
        assert_eq!(found(&committee, items).await, both, "and what stands on it names another");

        let mut unsorted = records[1].clone();
        unsorted.record.messages.push((1, vec![]));
        let items = vec![all[0].clone(), ended(&unsorted)];
        assert_eq!(found(&committee, items).await, one("Record", 2));

        let other = committee.record(1, [9; 32], 3);
        assert_eq!(
            found(&committee, vec![ended(&other)]).await,
            one("Link", 1),
            "not the deployment's first"
        );
        let items = vec![all[0].clone(), all[3].clone()];
        assert_eq!(found(&committee, items).await, one("Gap", 4), "left out");
        let items = vec![all[0].clone(), all[2].clone(), all[1].clone()];
        let both = [one("Gap", 3), one("Order", 2)].concat();
        assert_eq!(found(&committee, items).await, both);

        let mut foreign = given_up(&committee, 2, 1);
        foreign.header_digest = [8; 32];
        let items = vec![all[0].clone(), Ended::Abandoned(foreign)];
        assert_eq!(found(&committee, items).await, one("Disclosure", 2));
        let mut twice = given_up(&committee, 2, 2);
        twice.disclosures.push(twice.disclosures[0].clone());
        let items = vec![all[0].clone(), Ended::Abandoned(twice)];
        assert_eq!(found(&committee, items).await, one("Disclosure", 2));
    }

    #[tokio::test]
    async fn a_fork_and_a_short_log_show_by_what_this_client_saw() {
        let committee = Committee::new();
        let records = committee.records(&[1, 2, 3, 4, 5, 6], 3);
        let log = Log::new(committee.descriptor.clone());
        for signed in &records {
            log.ended(committee.descriptor.servers[0], &ended(signed));
        }
        let fork = committee.record(2, records[0].record.digest(), 2);
        let mut forked = fork.clone();
        forked.record.header_digest = [0; 32];
        forked.signatures.clear();
        let given = |items: &[Ended]| Given { items: items.to_vec(), ..Given::default() };
        let all: Vec<Ended> = records.iter().map(ended).collect();
        let (problems, ..) = walk(&log, &given(&[all[0].clone(), ended(&forked)]), 0).await;
        assert_eq!(problems, [one("Fork", 2), one("Short", 2)].concat());
        // The edge of what a server may be behind.
        assert_eq!(walk(&log, &given(&all[..4]), 0).await.0, []);
        assert_eq!(walk(&log, &given(&all[..3]), 0).await.0, one("Short", 3));
    }

    #[tokio::test]
    async fn what_anybody_can_make_up_is_no_log() {
        let mut committee = Committee::new();
        committee.descriptor.params.retain = 30;
        let log = Log::new(committee.descriptor.clone());
        let unsigned = |n: u64| {
            let rounds: Vec<u64> = (1..=n).collect();
            committee.records(&rounds, 0).iter().map(ended).collect::<Vec<_>>()
        };
        let given = |items| Given { items, ..Given::default() };
        assert_eq!(walk(&log, &given(unsigned(UNSIGNED)), 0).await.0, [], "they may still wait");
        assert_eq!(walk(&log, &given(unsigned(UNSIGNED + 1)), 0).await.0, one("Unsigned", UNSIGNED + 1));
        // Endless, or none of what it claims.
        let (problems, said, _) = walk(&log, &given(unsigned(200)), 0).await;
        assert_eq!(problems, one("Unsigned", 31));
        assert!(said.next_round < 60, "it ends with what a server keeps: {said:?}");
        let nothing = Given { items: unsigned(1), latest: Some(u64::MAX), silent: false };
        assert_eq!(walk(&log, &nothing, 0).await.0, one("Gap", 2));
    }

    #[tokio::test]
    async fn problems_are_bounded_and_a_silent_server_is_an_error() {
        let committee = Committee::new();
        let log = Log::new(committee.descriptor.clone());
        let rounds: Vec<u64> = (1..=MAX_PROBLEMS as u64 + 5).collect();
        let mut records = committee.records(&rounds, 3);
        for signed in &mut records {
            signed.signatures[0].1.0[0] ^= 1;
        }
        let given = Given { items: records.iter().map(ended).collect(), ..Given::default() };
        let (problems, said, result) = walk(&log, &given, 0).await;
        result.unwrap();
        assert_eq!((problems.len(), problems.last()), (MAX_PROBLEMS, one("Signature", 32).first()));
        assert!(said.next_round <= MAX_PROBLEMS as u64 + 1);
        let silent = Given { silent: true, ..Given::default() };
        let refused = walk(&log, &silent, 0).await.2.unwrap_err();
        assert_eq!(refused.reason, Reason::ConnectTimeout);
        assert!(refused.message.ends_with("from round 1 on: it is silent"), "{}", refused.message);
    }
}
