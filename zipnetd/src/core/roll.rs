//! Which servers the headers name, and since when: what an operator asks first when rounds are stuck.

use std::collections::BTreeMap;

use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::PeerId;

/// What the headers say of one server, from the first one on that this client saw since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The last header names it.
    pub named: bool,
    /// The round of the first header since which that has been so.
    pub since_round: u64,
    /// When that header came, in Unix milliseconds.
    pub since: u64,
    /// It was so in the first header that was seen: it may have been so for longer.
    pub from_first: bool,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    servers: BTreeMap<PeerId, Standing>,
    /// Round of the last header, and when it came, in Unix milliseconds; `None` before the first.
    pub last: Option<(u64, u64)>,
    /// The aggregators that it names.
    pub aggregators: Vec<PeerId>,
}

impl Roll {
    /// A header that counts, for a committee of these servers.
    pub(super) fn header(&mut self, committee: &[PeerId], header: &Header, now: u64) {
        let first = self.last.is_none();
        self.last = Some((header.round, now));
        self.aggregators.clone_from(&header.aggregators);
        for server in committee {
            let named = header.servers.binary_search(server).is_ok();
            let fresh = Standing { named, since_round: header.round, since: now, from_first: first };
            let standing = self.servers.entry(*server).or_insert(fresh);
            if standing.named != named {
                *standing = fresh;
            }
        }
    }

    /// The servers that the last header names, ascending.
    pub(super) fn named(&self) -> Vec<PeerId> {
        self.servers.iter().filter(|(_, standing)| standing.named).map(|(server, _)| *server).collect()
    }

    /// What is known of a server; `None` before the first header.
    pub fn standing(&self, server: &PeerId) -> Option<Standing> {
        self.servers.get(server).copied()
    }
}

#[cfg(test)]
mod tests {
    use zipnet_dcnet::ids::DeploymentId;

    use super::*;

    fn header(round: u64, servers: &[PeerId]) -> Header {
        Header {
            deployment: DeploymentId([1; 32]),
            round,
            prev: [0; 32],
            servers: servers.to_vec(),
            aggregators: vec![PeerId([9; 32])],
            roster: [0; 32],
            roster_len: 3,
        }
    }

    #[test]
    fn a_server_is_in_or_out_since_the_header_that_changed_it() {
        let all = [1, 2, 3].map(|n| PeerId([n; 32]));
        let mut roll = Roll::default();
        assert_eq!((roll.standing(&all[0]), roll.last), (None, None));
        for (round, named) in [(7, &all[..2]), (8, &all[..2]), (10, &all[..]), (11, &all[1..])] {
            roll.header(&all, &header(round, named), round * 1_000);
        }
        let standing = |named, since_round, from_first| {
            Some(Standing { named, since_round, since: since_round * 1_000, from_first })
        };
        assert_eq!(roll.standing(&all[0]), standing(false, 11, false));
        assert_eq!(roll.standing(&all[1]), standing(true, 7, true));
        assert_eq!(roll.standing(&all[2]), standing(true, 10, false));
        assert_eq!(roll.last, Some((11, 11_000)));
        assert_eq!(roll.named(), all[1..]);
        assert_eq!(roll.aggregators, [PeerId([9; 32])]);
    }
}
