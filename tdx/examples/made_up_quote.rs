//! In the place of `zipnet-quote` where there is no TDX: a recorded quote with other report data, so that its signature does not hold. Only
//! `gullible_broker` believes it. For tdx/check-guest.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use zipnet_tdx::quote::{Quote, QuoteSource, ReportData, SourceError, helper};

const RECORDED: &[u8] = include_bytes!("../tests/data/v4.quote");

struct MadeUp;

impl QuoteSource for MadeUp {
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        let recorded = Quote::parse(RECORDED).expect("invariant: the recorded quote is one").contents();
        let old = recorded.report_data;
        let at = RECORDED.windows(64).position(|part| part == old).expect("invariant: it is in there");
        let mut quote = RECORDED.to_vec();
        quote[at..at + 64].copy_from_slice(&data.bytes());
        Ok(quote)
    }
}

fn main() -> io::Result<()> {
    // A connection is its standard input, as the real one's.
    helper::serve(&mut UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?), &MadeUp)
}
