//! The first process of the guest: it brings up what `zipnetd` needs, starts it, and ends the guest when it ends.
//!
//! Everything that comes from outside of the measured image is hostile: the host's disk ([`host`]), the answers of its DHCP
//! server ([`dhcp`]), what is on its buses. There is no shell, no login, and no way in but the network that `zipnetd` speaks.

pub mod baked;
mod boot;
mod children;
pub mod dhcp;
pub mod host;
pub mod netlink;
mod network;
mod quotes;

pub use boot::run;

/// One line on the console, which the host reads: never anything of a message.
fn say(line: &str) {
    println!("zipnet-guest: {line}");
}
