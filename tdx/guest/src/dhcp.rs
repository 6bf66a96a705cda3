//! DHCP for IPv4 (RFC 2131, options of RFC 2132): what the guest sends, and what it takes from the answers. No I/O here.

use std::net::Ipv4Addr;

/// Largest answer that is looked at, in bytes: what fits an Ethernet frame.
pub const MAX_PACKET: usize = 1500;
/// Most name servers that are taken, as many as the C library's `resolv.conf` has.
pub const MAX_DNS: usize = 3;
/// Shortest and longest lease that is believed, in seconds: an hour's tenth, and a week.
pub const LEASE: std::ops::RangeInclusive<u32> = 360..=604_800;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;
/// Some servers drop what is shorter than a BOOTP packet.
const MIN_SENT: usize = 300;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Who is there?
    Discover,
    /// Take up what a server offered, or go on with it.
    Request {
        /// The address.
        address: Ipv4Addr,
        /// Who offered it.
        server: Ipv4Addr,
    },
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Discover`].
    Offer(Lease),
    /// To [`Ask::Request`].
    Ack(Lease),
    /// The address is not to be used.
    Nak,
}

/// What the guest uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The guest's address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// The way out.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// For how many seconds; within [`LEASE`].
    pub seconds: u32,
}

/// Why a packet is no answer for us. The network is the host's: this happens, and the next packet may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DhcpError {
    /// Another's, or none at all.
    #[error("it is not an answer to what was asked")]
    NotOurs,
    /// An option reaches beyond the packet or has the wrong length.
    #[error("its options are damaged")]
    Damaged,
    /// It offers what no host can use.
    #[error("it offers no usable address")]
    Unusable,
}

/// The packet to send.
pub fn packet(ask: Ask, xid: u32, mac: Mac) -> Vec<u8> {
    let mut out = vec![0; OPTIONS];
    // A request over Ethernet, with addresses of 6 bytes.
    out[..3].copy_from_slice(&[1, 1, 6]);
    out[4..8].copy_from_slice(&xid.to_be_bytes());
    // Answer by broadcast: without an address nothing else reaches a socket.
    out[10] = 0x80;
    out[28..34].copy_from_slice(&mac);
    out[236..240].copy_from_slice(&COOKIE);
    match ask {
        Ask::Discover => out.extend([53, 1, 1]),
        Ask::Request { address, server } => {
            out.extend([53, 1, 3, 50, 4]);
            out.extend(address.octets());
            out.extend([54, 4]);
            out.extend(server.octets());
        }
    }
    // Asked for: mask, router, name servers, time.
    out.extend([55, 4, 1, 3, 6, 51, 255]);
    out.resize(out.len().max(MIN_SENT), 0);
    out
}

/// Reads an answer.
///
/// # Errors
/// If it is not for us, or nothing to go by.
pub fn answer(packet: &[u8], xid: u32, mac: Mac) -> Result<Answer, DhcpError> {
    let header = packet.get(..OPTIONS).filter(|_| packet.len() <= MAX_PACKET).ok_or(DhcpError::NotOurs)?;
    let ours = header[0] == 2
        && header[1..3] == [1, 6]
        && header[4..8] == xid.to_be_bytes()
        && header[28..34] == mac
        && header[236..] == COOKIE;
    if !ours {
        return Err(DhcpError::NotOurs);
    }
    let options = Options::read(&packet[OPTIONS..])?;
    if options.kind == Some(6) {
        return Ok(Answer::Nak);
    }
    let address = address(&header[16..20]);
    let prefix = options.mask.map_or(24, u32::leading_ones) as u8;
    let mask = options.mask.unwrap_or(0xffff_ff00);
    // A mask with holes, or one that leaves no room for a router beside the guest; RFC 3021 has 31 bits for two hosts.
    let whole = mask.leading_ones() + mask.trailing_zeros() == 32 && (8..=31).contains(&prefix);
    let server = options.server.filter(|server| usable(*server));
    let (true, true, Some(server)) = (whole, usable(address), server) else {
        return Err(DhcpError::Unusable);
    };
    let lease = Lease {
        address,
        prefix,
        server,
        router: options.router.filter(|router| usable(*router)),
        dns: options.dns.into_iter().filter(|dns| usable(*dns)).take(MAX_DNS).collect(),
        seconds: options.seconds.unwrap_or(0).clamp(*LEASE.start(), *LEASE.end()),
    };
    match options.kind {
        Some(2) => Ok(Answer::Offer(lease)),
        Some(5) => Ok(Answer::Ack(lease)),
        _ => Err(DhcpError::NotOurs),
    }
}

#[derive(Default)]
struct Options {
    kind: Option<u8>,
    mask: Option<u32>,
    router: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    seconds: Option<u32>,
    server: Option<Ipv4Addr>,
}

impl Options {
    fn read(mut bytes: &[u8]) -> Result<Self, DhcpError> {
        let mut options = Self::default();
        loop {
            let (code, rest) = match bytes {
                // The end; a packet may also just stop.
                [] | [255, ..] => return Ok(options),
                [0, rest @ ..] => {
                    bytes = rest;
                    continue;
                }
                [code, length, rest @ ..] => (*code, rest.split_at_checked((*length).into())),
                [_] => return Err(DhcpError::Damaged),
            };
            let (value, rest) = rest.ok_or(DhcpError::Damaged)?;
            let four: Option<[u8; 4]> = value.get(..4).and_then(|four| four.try_into().ok());
            let four = || four.ok_or(DhcpError::Damaged);
            match code {
                53 => options.kind = Some(*value.first().ok_or(DhcpError::Damaged)?),
                1 => options.mask = Some(u32::from_be_bytes(four()?)),
                3 => options.router = Some(four()?.into()),
                6 => options.dns = value.chunks_exact(4).map(address).collect(),
                51 => options.seconds = Some(u32::from_be_bytes(four()?)),
                54 => options.server = Some(four()?.into()),
                _ => {}
            }
            bytes = rest;
        }
    }
}

fn address(four: &[u8]) -> Ipv4Addr {
    let four: [u8; 4] = four.try_into().expect("invariant: called with 4 bytes");
    four.into()
}

/// An address of a host: not 0/8, loopback, multicast or above.
fn usable(address: Ipv4Addr) -> bool {
    (1..224).contains(&address.octets()[0]) && !address.is_loopback()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    fn reply(kind: u8, offered: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut out = packet(Ask::Discover, 7, MAC);
        out.truncate(OPTIONS);
        out[0] = 2;
        out[16..20].copy_from_slice(&offered);
        out.extend([53, 1, kind, 54, 4, 10, 0, 2, 2]);
        out.extend(options);
        out.push(255);
        out
    }

    #[test]
    fn an_offer_as_it_comes() {
        let options = [
            1, 4, 255, 255, 0, 0, 0, 3, 4, 10, 0, 2, 2, 6, 8, 10, 0, 2, 3, 127, 0, 0, 1, 51, 4, 0, 1, 81, 128,
        ];
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 16,
            server: Ipv4Addr::new(10, 0, 2, 2),
            router: Some(Ipv4Addr::new(10, 0, 2, 2)),
            // A name server within the guest there is none.
            dns: vec![Ipv4Addr::new(10, 0, 2, 3)],
            seconds: 86_400,
        };
        assert_eq!(answer(&reply(2, [10, 0, 2, 15], &options), 7, MAC), Ok(Answer::Offer(lease.clone())));
        assert_eq!(answer(&reply(5, [10, 0, 2, 15], &options), 7, MAC), Ok(Answer::Ack(lease)));
        assert_eq!(answer(&reply(6, [0; 4], &[]), 7, MAC), Ok(Answer::Nak));
    }

    #[test]
    fn what_is_for_others_or_unusable_is_refused() {
        let good = reply(2, [10, 0, 2, 15], &[]);
        assert!(answer(&good, 7, MAC).is_ok());
        assert_eq!(answer(&good, 8, MAC), Err(DhcpError::NotOurs));
        assert_eq!(answer(&good, 7, [2, 0, 0, 0, 0, 2]), Err(DhcpError::NotOurs));
        assert_eq!(answer(&packet(Ask::Discover, 7, MAC), 7, MAC), Err(DhcpError::NotOurs));
        let mut long = good.clone();
        long.resize(MAX_PACKET, 0);
        assert!(answer(&long, 7, MAC).is_ok());
        long.push(0);
        assert_eq!(answer(&long, 7, MAC), Err(DhcpError::NotOurs));
        for offered in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
            assert_eq!(answer(&reply(2, offered, &[]), 7, MAC), Err(DhcpError::Unusable), "{offered:?}");
        }
        for mask in [[255, 0, 255, 0], [0, 0, 0, 0], [255, 255, 255, 255]] {
            let options = [[1, 4].as_slice(), &mask].concat();
            assert_eq!(
                answer(&reply(2, [10, 0, 2, 15], &options), 7, MAC),
                Err(DhcpError::Unusable),
                "{mask:?}"
            );
        }
        for options in [&[3, 4, 1][..], &[3, 2, 1, 1], &[51, 0], &[9]] {
            let mut cut = reply(2, [10, 0, 2, 15], options);
            cut.pop();
            assert_eq!(answer(&cut, 7, MAC), Err(DhcpError::Damaged), "{options:?}");
        }
    }

    #[test]
    fn a_lease_is_neither_for_ever_nor_for_a_moment() {
        for (said, taken) in [(0, *LEASE.start()), (u32::MAX, *LEASE.end())] {
            let options = [[51, 4].as_slice(), &u32::to_be_bytes(said)].concat();
            let Ok(Answer::Offer(lease)) = answer(&reply(2, [10, 0, 2, 15], &options), 7, MAC) else {
                panic!()
            };
            assert_eq!(lease.seconds, taken);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut bytes = reply(2, [10, 0, 2, 15], &[]);
            bytes.truncate(OPTIONS);
            bytes.extend(tail);
            if let Ok(Answer::Offer(lease) | Answer::Ack(lease)) = answer(&bytes, 7, MAC) {
                prop_assert!(LEASE.contains(&lease.seconds) && lease.dns.len() <= MAX_DNS && usable(lease.server));
            }
        }
    }
}
