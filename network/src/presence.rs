//! What an aggregator says to a server about itself: the body of [`Kind::Status`](crate::links::Kind::Status).

use borsh::{BorshDeserialize, BorshSerialize};

/// The server believes it of its own aggregators only; the link proves who speaks. The answer is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Presence {
    /// It takes envelopes. Said once to every server after each start.
    Here,
    /// It is about to stop. Answered when no round needs it any more.
    Leaving,
}
