//! What the server and the aggregator binaries share: arguments, key file, log, metrics, signals.

mod args;
mod keyfile;
mod process;

pub use args::{AFTER_HELP, Command, RoleArgs, Setup, load_descriptor};
pub use keyfile::{KeyError, create as create_key, load as load_key, load_or_create as load_or_create_key};
pub use process::{init_log, init_metrics, shutdown_signal};
