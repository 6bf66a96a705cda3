//! What the server and the aggregator binaries share: arguments, key file, log, metrics, signals, the service manager, exit
//! codes.

mod args;
mod exit;
mod keyfile;
pub mod metrics;
mod notify;
mod process;
mod start;

pub use args::{AFTER_HELP, Command, RoleArgs, Setup, load_descriptor};
pub use exit::{Because, Ended, Exit, Failure};
pub use keyfile::{KeyError, create as create_key, load as load_key, load_or_create as load_or_create_key};
pub use start::{Life, STOP, Start, start};
