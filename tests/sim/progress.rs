//! Progress after healing: what has to be true again, and how soon.

use std::fmt::Write as _;
use zipnet_dcnet::record::SignedRecord;
use zipnet_dcnet::wire::Ended;

use crate::clock::Ms;
use crate::truth::Violation;
use crate::world::World;

/// Round periods within which all take part again. A client whose registration failed often waits up to 60 s for the
/// next try, and a server that nobody could register with is named again after 10 rounds.
const BACK: u64 = 150;
/// Round periods within which a message that is handed in then is published: those before it expire or leave.
const SOON: u64 = 100;
/// Time to live of that message, in milliseconds.
const TTL: Ms = 120_000;
/// Round periods within which all other messages have ended: the longest time to live and what follows.
const ENDED: u64 = 120;

const NAME: &str = "progress after healing";

impl World {
    /// Everybody takes part again, a new message of every client is published, and every old one ends.
    pub(crate) fn after_healing(&mut self, period: Ms) -> Result<(), Violation> {
        let (healed, servers) = (self.truth.opened(), self.servers.len());
        let all = self.clients.iter().filter(|c| c.up).count();
        let end = self.now + BACK * period;
        let since = self.truth.opened();
        let whole = |w: &World| {
            w.truth.last().is_some_and(|(round, record)| {
                *round > since && record.servers.len() == servers && record.count() as usize == all
            })
        };
        if !self.until(end, whole)? {
            let last = self.truth.last().map(|(r, record)| (*r, record.servers.len(), record.count()));
            let text = format!(
                "{BACK} periods after the faults not all take part: opened {}, last final (round, servers, \
                 participants) {last:?}, expected {servers} and {all}{}",
                self.truth.opened(),
                self.standing()
            );
            return Err(Violation::new(NAME, text));
        }
        self.truth.healed(self.truth.opened() - healed);
        self.talking = false;
        let fresh: Vec<usize> = (0..self.clients.len()).map(|c| self.new_fresh(c)).collect();
        let is_out = |w: &World| fresh.iter().all(|m| w.truth.messages.all[*m].is_published());
        let end = self.now + SOON * period;
        if !self.until(end, is_out)? {
            let late = fresh.iter().map(|m| &self.truth.messages.all[*m]).find(|m| !m.is_published());
            return Err(Violation::new(NAME, format!("not published {SOON} periods later: {late:?}")));
        }
        let end = self.now + ENDED * period;
        if !self.until(end, |w| w.truth.messages.all.iter().all(|m| !m.is_live()))? {
            let live = self.truth.messages.all.iter().find(|m| m.is_live());
            return Err(Violation::new(NAME, format!("not ended {ENDED} periods later: {live:?}")));
        }
        Ok(())
    }

    /// Where everybody stands, for a failure.
    fn standing(&self) -> String {
        let newest = self.servers.iter().max_by_key(|s| s.applied).expect("there are servers");
        let state = &newest.state;
        let (header, roster) = state.next_header(state.eligible());
        let mut out = format!(
            "\nnext: roster {} of {}, {:?}",
            roster.entries().len(),
            state.registry().len(),
            state.check_open(&header).err().map(|e| e.to_string())
        );
        for (s, server) in self.servers.iter().enumerate() {
            let (known, view) = (newest.state.server(&server.id()), &self.log.views[s]);
            let _ = write!(
                out,
                "\ns{s} {} up {}, applied {} of {}, follows {:?} in term {}; the log: {:?}, eligible {}",
                server.id().short(),
                server.up,
                server.applied,
                self.log.entries.len(),
                view.leader,
                view.term,
                known.map(|k| (
                    k.boot.map(|b| b.0 == server.core.boot()),
                    k.out,
                    k.returned,
                    k.aggregators.len()
                )),
                newest.state.eligible().contains(&server.id()),
            );
        }
        for (c, client) in self.clients.iter().enumerate() {
            let status = client.core.status(0);
            let vouched: Vec<_> = status.vouched_by.iter().map(zipnet_dcnet::ids::PeerId::short).collect();
            let _ = write!(
                out,
                "\nc{c} {} up {}, {:?}, {:?}, round {}, vouched by {vouched:?}",
                client.id().short(),
                client.up,
                status.phase,
                status.why,
                status.round
            );
        }
        out
    }

    fn new_fresh(&mut self, c: usize) -> usize {
        let message = self.truth.offered(c, TTL);
        self.hand_in(message);
        message
    }

    /// What a reader sees: every server's log is the same chain, and the signatures of one of them hold.
    pub(crate) fn check_logs(&mut self) -> Result<(), Violation> {
        let whole = self.below(self.servers.len() as u64) as usize;
        for (s, server) in self.servers.iter().enumerate() {
            let mut prev = None;
            for ended in server.archive.values() {
                let Ended::Final(signed) = ended else { continue };
                self.truth.read(s, &signed.record)?;
                if prev.is_some_and(|prev| prev != signed.record.prev) {
                    return Err(Violation::new("no fork", format!("the log of s{s} is no chain")));
                }
                prev = Some(signed.record.digest());
                if s == whole {
                    self.check_signatures(s, signed)?;
                }
            }
        }
        Ok(())
    }

    fn check_signatures(&self, s: usize, signed: &SignedRecord) -> Result<(), Violation> {
        let checked = signed.verify(&self.descriptor, &self.deployment);
        checked
            .map(drop)
            .map_err(|e| Violation::new("no fork", format!("a reader refuses the log of s{s}: {e}")))
    }
}
