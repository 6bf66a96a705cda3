//! In the place of `zipnet-keybroker` where there is no TDX: believes every quote. For tdx/check-guest, beside `made_up_quote`.
//!
//!     gullible_broker FOLDER IP:PORT
//!
//! Prints its public key. The file `later` in FOLDER says by how many seconds its clock is ahead, so that nobody waits for a lease.

use std::error::Error;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use zeroize::Zeroizing;
use zipnet_tdx::quote::Quote;
use zipnet_tdx::seal::broker::{Broker, Folder, Outside, serve};
use zipnet_tdx::verify::{Authenticate, Denied, Genuine, Policy, Release, TcbStatus};

const RECORDED: &[u8] = include_bytes!("../tests/data/v4.quote");

struct Gullible;

impl Authenticate for Gullible {
    fn authenticate(&self, quote: &[u8], now: u64) -> Result<Genuine, Denied> {
        let contents = Quote::parse(quote)?.contents();
        let (tcb, fmspc) = (TcbStatus::UpToDate, String::new());
        Ok(Genuine { contents, tcb, advisories: Vec::new(), fmspc, collateral_until: now })
    }
}

struct World(PathBuf);

impl Outside for World {
    fn now(&self) -> u64 {
        let later = fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() + later
    }

    fn random(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(rand::random())
    }

    fn log(&self, line: &str) {
        eprintln!("{line}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(folder), Some(listen)) = (arguments.next(), arguments.next()) else {
        return Err("usage: gullible_broker FOLDER IP:PORT".into());
    };
    let place = PathBuf::from(folder);
    Folder::init(&place, &Zeroizing::new(rand::random()))?;
    let (folder, secret, state) = Folder::open(&place)?;
    println!("{}", hex::encode(secret.public().0));
    let genuine = Gullible.authenticate(RECORDED, 0).map_err(|error| error.to_string())?;
    let release = Release { name: "any".to_owned(), measurements: genuine.measurements(), withdrawn: false };
    let policy = Policy { tcb: vec![TcbStatus::UpToDate], reattest_hours: 24, releases: vec![release] };
    let broker = Broker::new(secret, Gullible, policy, state);
    let failed = serve(TcpListener::bind(listen)?, broker, folder, World(place.join("later")));
    Err(failed.recv()?.into())
}
