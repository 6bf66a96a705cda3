//! The committee as a whole, without a network: several `Core`s over one ordered log, fake clients and aggregators,
//! virtual time, seeded faults. A test that fails prints its seed.
#![allow(clippy::unwrap_used)]

mod abandon;
mod adversary;
mod audit;
mod chaos;
mod client;
mod flow;
mod headers;
mod leader;
mod leaving;
mod lies;
mod liveness;
mod marks;
mod net;
mod path;
mod quiet;
mod refuse_headers;
mod refuse_rounds;
mod refuse_statements;
mod restart;
mod roster;
mod withdraw;
