//! Brings up the network: loopback, and one Ethernet interface by DHCP. IPv6 is the kernel's own business.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt,
};

use crate::dhcp::{self, Answer, Ask, Lease, Mac};
use crate::{netlink, say};

/// How long one question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the start waits for an address: then there may be IPv6 only, or a server that comes later.
const START: Duration = Duration::from_secs(30);

struct Interface {
    name: String,
    index: u32,
    mac: Mac,
    kernel: OwnedFd,
    sequence: u32,
}

/// Returns when there is an address, or none for a while; goes on renewing it in a thread.
pub(crate) fn start() -> Result<(), String> {
    let mut loopback = Interface::open("lo").map_err(|error| format!("lo: {error}"))?;
    loopback.tell(netlink::up).map_err(|error| format!("lo: {error}"))?;
    let names = fs::read_dir("/sys/class/net").map_err(|error| format!("/sys/class/net: {error}"))?;
    let mut names: Vec<String> =
        names.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let name = names.iter().find(|name| fs::exists(format!("/sys/class/net/{name}/device")).unwrap_or(false));
    let name = name.ok_or("there is no network interface: start the guest with a virtio network device")?;
    let mut interface = Interface::open(name).map_err(|error| format!("{name}: {error}"))?;
    interface.tell(netlink::up).map_err(|error| format!("{name}: {error}"))?;
    let first = lease(&mut interface, None, Instant::now() + START);
    if first.is_none() {
        say("no answer to DHCP yet: going on without an IPv4 address");
    }
    thread::spawn(move || keep(&mut interface, first));
    Ok(())
}

/// Renews at half of the lease, and begins anew when it has run out.
fn keep(interface: &mut Interface, mut current: Option<Lease>) {
    loop {
        let half = current.as_ref().map_or(START, |lease| Duration::from_secs((lease.seconds / 2).into()));
        let got = Instant::now();
        thread::sleep(if current.is_some() { half } else { Duration::ZERO });
        let next = lease(interface, current.as_ref(), got + 2 * half);
        if let (None, Some(lost)) = (&next, &current) {
            say("the lease of the address has run out");
            let gone = interface
                .tell(|sequence, index| netlink::no_address(sequence, index, lost.address, lost.prefix));
            gone.unwrap_or_else(|error| say(&format!("{}: {error}", lost.address)));
        }
        current = next;
    }
}

/// One lease, set up; `None` if there is none by the deadline, or the server wants the old one back.
fn lease(interface: &mut Interface, old: Option<&Lease>, deadline: Instant) -> Option<Lease> {
    // A renewal has hours of time, the start has not.
    let pause = if old.is_some() { Duration::from_secs(30) } else { Duration::from_millis(500) };
    loop {
        match attempt(interface, old) {
            Ok(Some(lease)) => return Some(lease),
            Ok(None) if old.is_some() => return None,
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => say(&format!("DHCP at {}: {error}", interface.name)),
        }
        if Instant::now() + pause >= deadline {
            return None;
        }
        thread::sleep(pause);
    }
}

/// `None` for a refusal.
fn attempt(interface: &mut Interface, old: Option<&Lease>) -> io::Result<Option<Lease>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 68))?;
    setsockopt(&socket, sockopt::BindToDevice, &OsString::from(&interface.name))?;
    socket.set_broadcast(true)?;
    let ask = match old {
        Some(old) => Ask::Request { address: old.address, server: old.server },
        None => match exchange(&socket, interface.mac, Ask::Discover)? {
            Answer::Offer(lease) => Ask::Request { address: lease.address, server: lease.server },
            Answer::Ack(_) | Answer::Nak => return Ok(None),
        },
    };
    let Answer::Ack(lease) = exchange(&socket, interface.mac, ask)? else { return Ok(None) };
    if old.is_none_or(|old| {
        (old.address, old.prefix, old.router) != (lease.address, lease.prefix, lease.router)
    }) {
        interface.tell(|sequence, index| netlink::address(sequence, index, lease.address, lease.prefix))?;
        if let Some(router) = lease.router {
            interface.tell(|sequence, index| netlink::default_route(sequence, index, router))?;
        }
        say(&format!("{} has {}/{}", interface.name, lease.address, lease.prefix));
    }
    let names: Vec<String> = lease.dns.iter().map(|server| format!("nameserver {server}\n")).collect();
    fs::write("/etc/resolv.conf", names.concat())?;
    Ok(Some(lease))
}

/// Asks, and waits for an answer of the kind that fits.
fn exchange(socket: &UdpSocket, mac: Mac, ask: Ask) -> io::Result<Answer> {
    let mut random = [0; 4];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let xid = u32::from_ne_bytes(random);
    socket.send_to(&dhcp::packet(ask, xid, mac), (Ipv4Addr::BROADCAST, 67))?;
    let deadline = Instant::now() + PATIENCE;
    let mut packet = [0; dhcp::MAX_PACKET + 1];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        socket.set_read_timeout(Some(left))?;
        let (length, _) = socket.recv_from(&mut packet)?;
        match (ask, dhcp::answer(&packet[..length], xid, mac)) {
            (Ask::Discover, Ok(answer @ Answer::Offer(_)))
            | (Ask::Request { .. }, Ok(answer @ (Answer::Ack(_) | Answer::Nak))) => return Ok(answer),
            // Another machine's, or one that makes no sense: the right one may still come.
            _ => {}
        }
    }
}

impl Interface {
    fn open(name: &str) -> io::Result<Self> {
        let read = |what: &str| fs::read_to_string(format!("/sys/class/net/{name}/{what}"));
        let odd = || io::Error::other("its number or hardware address makes no sense");
        let index = read("ifindex")?.trim().parse().map_err(|_| odd())?;
        let address = read("address")?;
        let bytes: Option<Vec<u8>> =
            address.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let mac = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(odd)?;
        let kernel = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self { name: name.to_owned(), index, mac, kernel, sequence: 0 })
    }

    /// Sends a message that `make` makes of a sequence number and the interface's, and waits for the kernel's answer.
    fn tell(&mut self, make: impl Fn(u32, u32) -> Vec<u8>) -> io::Result<()> {
        self.sequence += 1;
        let to = NetlinkAddr::new(0, 0);
        sendto(self.kernel.as_raw_fd(), &make(self.sequence, self.index), &to, MsgFlags::empty())?;
        let mut reply = [0; 1024];
        loop {
            let length = recv(self.kernel.as_raw_fd(), &mut reply, MsgFlags::empty())?;
            match netlink::acknowledged(&reply[..length], self.sequence) {
                Some(0) => return Ok(()),
                Some(error) => return Err(io::Error::from_raw_os_error(error)),
                None => {}
            }
        }
    }
}
