//! R8: the rounds in which this client only covers.

use zipnet_dcnet::absence::slack;
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::record::Record;

use super::status::Why;

/// What the core adds to what the header and the record say.
pub(super) struct Own<'a> {
    pub(super) pins: &'a [PeerId],
    /// Final records that listed this session.
    pub(super) seen: u32,
    /// How many have to.
    pub(super) needed: u32,
    pub(super) paused: bool,
}

/// Why the round is quiet for this client, if it is. `prev` is the record that the header names.
pub(super) fn why(params: &Params, header: &Header, prev: Option<&Record>, own: &Own<'_>) -> Option<Why> {
    let (Some(prev), false) = (prev, header.is_quiet(prev)) else { return Some(Why::Quiet) };
    let named = header.servers.len() as u32;
    if named < params.min_servers {
        return Some(Why::FewServers { named, needed: params.min_servers });
    }
    if let Some(pin) = own.pins.iter().find(|pin| header.servers.binary_search(pin).is_err()) {
        return Some(Why::PinnedServerMissing(*pin));
    }
    let count = prev.count();
    let certain = count - slack(count).min(count);
    if certain < params.min_anonymity {
        return Some(Why::FewParticipants { certain, needed: params.min_anonymity });
    }
    if own.seen < own.needed {
        return Some(Why::WarmingUp { seen: own.seen, needed: own.needed });
    }
    own.paused.then_some(Why::Paused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zipnet_dcnet::aggregate::Bitmap;
    use zipnet_dcnet::ids::DeploymentId;

    const OWN: Own<'_> = Own { pins: &[], seen: 0, needed: 0, paused: false };

    fn servers(n: u8) -> Vec<PeerId> {
        (0..n).map(|i| PeerId([i; 32])).collect()
    }

    fn round(participants: u32) -> (Params, Header, Record) {
        let params = Params::standard(3);
        let deployment = DeploymentId([1; 32]);
        let header = Header {
            deployment,
            round: 8,
            prev: [2; 32],
            servers: servers(3),
            aggregators: vec![],
            roster: [0; 32],
            roster_len: participants,
        };
        let mut bits = Bitmap::new(participants);
        (0..participants).for_each(|i| bits.set(i));
        let record = Record {
            deployment,
            round: 7,
            header_digest: [0; 32],
            aggregate_digest: [0; 32],
            prev: [0; 32],
            participants: bits,
            servers: servers(3),
            reservations: vec![],
            messages: vec![],
            garbled: vec![],
        };
        (params, header, record)
    }

    #[test]
    fn each_reason_and_the_edge_of_min_anonymity() {
        // 9 participants less a slack of 1 are 8.
        let (params, header, record) = round(9);
        assert_eq!(why(&params, &header, Some(&record), &OWN), None);
        let (_, few_header, few) = round(8);
        assert_eq!(
            why(&params, &few_header, Some(&few), &OWN),
            Some(Why::FewParticipants { certain: 7, needed: 8 })
        );
        assert_eq!(why(&params, &header, None, &OWN), Some(Why::Quiet));
        let skipped = Header { round: 9, ..header.clone() };
        assert_eq!(why(&params, &skipped, Some(&record), &OWN), Some(Why::Quiet));
        let fewer = Header { servers: servers(2), ..header.clone() };
        assert_eq!(why(&params, &fewer, Some(&record), &OWN), Some(Why::Quiet), "the servers changed");
        let before = Record { servers: servers(2), ..record.clone() };
        assert_eq!(why(&params, &fewer, Some(&before), &OWN), Some(Why::FewServers { named: 2, needed: 3 }));
        let pin = PeerId([7; 32]);
        let own = Own { pins: &[pin], ..OWN };
        assert_eq!(why(&params, &header, Some(&record), &own), Some(Why::PinnedServerMissing(pin)));
        let own = Own { seen: 15, needed: 16, ..OWN };
        let warming = Some(Why::WarmingUp { seen: 15, needed: 16 });
        assert_eq!(why(&params, &header, Some(&record), &own), warming);
        let own = Own { paused: true, seen: 16, needed: 16, ..OWN };
        assert_eq!(why(&params, &header, Some(&record), &own), Some(Why::Paused));
    }
}
