//! The messages by which Linux is told of addresses and routes (rtnetlink(7)). No I/O here.

use std::net::Ipv4Addr;

const HEADER: usize = 16;
const REQUEST_ACK: u16 = 0x5;
const CREATE_REPLACE: u16 = 0x500;
const ERROR: u16 = 2;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const IPV4: u8 = 2;
const UP: u32 = 1;
const MAIN_TABLE: u8 = 254;
/// As the kernel's list of who makes routes has it.
const BY_DHCP: u8 = 16;
const UNICAST: u8 = 1;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const OUT: u16 = 4;
const GATEWAY: u16 = 5;

/// Switches an interface on.
pub fn up(sequence: u32, interface: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(interface.to_ne_bytes());
    // The flags, and which of them to change.
    body.extend([UP.to_ne_bytes(), UP.to_ne_bytes()].concat());
    message(NEW_LINK, 0, sequence, &body)
}

/// Gives an interface an address.
pub fn address(sequence: u32, interface: u32, address: Ipv4Addr, prefix: u8) -> Vec<u8> {
    message(NEW_ADDRESS, CREATE_REPLACE, sequence, &address_body(interface, address, prefix))
}

/// Takes an address from an interface; the routes through it go with it.
pub fn no_address(sequence: u32, interface: u32, address: Ipv4Addr, prefix: u8) -> Vec<u8> {
    message(DELETE_ADDRESS, 0, sequence, &address_body(interface, address, prefix))
}

/// Sends everything that has no other way through a router.
pub fn default_route(sequence: u32, interface: u32, router: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![IPV4, 0, 0, 0, MAIN_TABLE, BY_DHCP, 0, UNICAST, 0, 0, 0, 0];
    attribute(&mut body, GATEWAY, router.octets());
    attribute(&mut body, OUT, interface.to_ne_bytes());
    message(NEW_ROUTE, CREATE_REPLACE, sequence, &body)
}

/// What the kernel says to a message: 0, or the number of an error.
/// `None` if this is not the answer to it.
pub fn acknowledged(reply: &[u8], sequence: u32) -> Option<i32> {
    let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
    let its = u32::from_ne_bytes(reply.get(8..12)?.try_into().ok()?);
    let error = i32::from_ne_bytes(reply.get(HEADER..HEADER + 4)?.try_into().ok()?);
    (kind == ERROR && its == sequence).then_some(error.saturating_neg())
}

fn address_body(interface: u32, address: Ipv4Addr, prefix: u8) -> Vec<u8> {
    let mut body = vec![IPV4, prefix, 0, 0];
    body.extend(interface.to_ne_bytes());
    attribute(&mut body, LOCAL, address.octets());
    attribute(&mut body, ADDRESS, address.octets());
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    body.extend(8_u16.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut out = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend((REQUEST_ACK | flags).to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_its_question() {
        let mut reply = message(ERROR, 0, 5, &(-17_i32).to_ne_bytes());
        reply.extend(up(5, 1));
        assert_eq!(acknowledged(&reply, 5), Some(17));
        assert_eq!(acknowledged(&reply, 6), None);
        assert_eq!(acknowledged(&reply[..HEADER], 5), None);
        assert_eq!(acknowledged(&up(5, 1), 5), None);
    }

    #[test]
    fn every_message_has_its_length_and_whole_words() {
        let address_ = Ipv4Addr::new(10, 0, 2, 15);
        for message in [
            up(1, 2),
            address(1, 2, address_, 24),
            no_address(1, 2, address_, 24),
            default_route(1, 2, address_),
        ] {
            assert_eq!(u32::from_ne_bytes(message[..4].try_into().unwrap()) as usize, message.len());
            assert_eq!(message.len() % 4, 0);
        }
    }
}
