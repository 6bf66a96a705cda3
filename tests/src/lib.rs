//! A whole deployment of real processes, for the end-to-end tests: relay, servers, aggregators, daemons. On loopback
//! ([`Deployment`]), or each on a host of its own ([`Fleet`] on [`hosts`]).

mod audit;
mod bins;
mod daemon;
mod deployment;
mod fleet;
pub mod hosts;
mod load;
pub mod man;
mod node;
mod process;
mod pulse;
mod wait;

pub use bins::bin;
pub use daemon::{Daemon, Message};
pub use deployment::{Deployment, DeploymentConfig};
pub use fleet::{Client, Fleet, FleetConfig};
pub use load::{Load, Outcome};
pub use node::Node;
pub use process::Process;
pub use pulse::Pulse;
pub use wait::until;
