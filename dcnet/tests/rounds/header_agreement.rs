//! R2: nodes with different headers share no pad, so equivocation yields garbage, not a leak.

use zipnet_dcnet::header::Header;
use zipnet_dcnet::pad::{self, xor};
use zipnet_dcnet::params::Params;
use zipnet_dcnet::seal::{Content, seal};

use super::no_pad_twice::every_other_header;
use crate::common::{Network, small};

const CLIENTS: usize = 6;
const PAYLOAD: &[u8] = b"the message that must not come out";

/// One bit per server and client: who works under the second header. Gives the XOR of everything, which is what anybody
/// would unblind; client 0 talks.
fn mixed(first: &Header, second: &Header, servers: u8, clients: u8) -> Vec<u8> {
    let mut net = Network::new(params(), 3, CLIENTS, 11);
    let of = |bits: u8, i: usize| if bits >> i & 1 == 1 { second } else { first };
    let mut plain = vec![0; net.params().vector_bytes()];
    for client in 0..CLIENTS {
        let content = Content { token: None, message: (client == 0).then_some((1, PAYLOAD)) };
        let digest = of(clients, client).digest();
        // In round 1 whatever the header says, so that the pads differ by its digest alone.
        let chains = net.clients[client].chains.iter_mut();
        let keys = chains.map(|chain| chain.take(1, &digest).unwrap()).collect();
        xor(&mut plain, &seal(net.params(), &digest, keys, &content).unwrap());
    }
    for server in 0..3 {
        let digest = of(servers, server).digest();
        let chains = net.servers[server].chains.iter_mut();
        let keys: Vec<_> = chains.map(|chain| chain.take(1, &digest).unwrap()).collect();
        let partial = pad::sum(&keys, plain.len());
        xor(&mut plain, &partial);
    }
    plain
}

fn params() -> Params {
    Params { slots: 4, ..small(3) }
}

#[test]
fn header_agreement() {
    let net = Network::new(params(), 3, CLIENTS, 11);
    let (roster, _) = net.roster(0..CLIENTS);
    let header = net.header(&roster);
    let truth = mixed(&header, &header, 0, 0);
    let at = zipnet_dcnet::slot::range(&params(), 1);
    assert_eq!(truth[at.clone()][..PAYLOAD.len()], *PAYLOAD);
    assert_eq!(truth.iter().filter(|b| **b != 0).count(), truth[at].iter().filter(|b| **b != 0).count());

    for (case, other) in every_other_header(&header).iter().enumerate() {
        // One server, two servers; the talking client, a silent one, half of them; and mixtures.
        for (servers, clients) in [(1, 0), (6, 0), (0, 1), (0, 0b10), (0, 0b10_1010), (4, 0b1_0101)] {
            let plain = mixed(&header, other, servers, clients);
            // Random bytes equal given ones in 1 of 256 places: of these 2,304 in 9 ± 3.
            let equal = plain.iter().zip(&truth).filter(|(a, b)| a == b).count();
            assert!(
                equal < 36,
                "case {case}, servers {servers:b}, clients {clients:b}: {equal} bytes come out"
            );
        }
    }
    // All under the other header agree with each other again.
    for other in every_other_header(&header) {
        let at = zipnet_dcnet::slot::range(&params(), 1);
        assert_eq!(mixed(&header, &other, 0b111, 0b11_1111)[at][..PAYLOAD.len()], *PAYLOAD);
    }
}
