//! The first process of the guest: it brings up what `zipnetd` needs, starts it, and ends the guest when it ends.
//!
//! Everything that comes from outside of the measured image is hostile: the host's disk ([`host`]), the answers of its DHCP
//! server ([`dhcp`]), what is on its buses. There is no shell, no login, and no way in but the network that `zipnetd` speaks,
//! and its socket, if the image was built for that.

pub mod baked;
mod boot;
mod children;
pub mod dhcp;
pub mod host;
mod host_socket;
pub mod netlink;
mod network;
mod quotes;

/// `/init`: the guest; or, when the guest starts it once more, its way in for programs on the host.
pub fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        // The kernel hands on words of the command line, which is ours and has none of these.
        (Some(word), Some(port)) if word == host_socket::ARGUMENT => {
            host_socket::run(&port, children::SOCKET.as_ref());
        }
        _ => boot::run(),
    }
}

/// One line on the console, which the host reads: never anything of a message.
fn say(line: &str) {
    println!("zipnet-guest: {line}");
}
