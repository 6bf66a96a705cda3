//! `attest`: look into a TDX quote, and verify one as a server does. Needs no daemon and no network.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use serde::Serialize;
use zipnet_tdx::{
    quote::{Contents, MAX_QUOTE_BYTES, Quote},
    verify::{Authenticate, Collateral, Denied, FileError, Policy, Verifier},
};

use super::Context;
use crate::{failure::Failure, out, text};

/// Show or verify a TDX quote.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    Show(Show),
    Verify(Verify),
}

/// What a quote says, without verifying anything.
///
/// Anybody can make bytes that say so: believe it only after `attest verify`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The quote, as bytes or as hexadecimal digits; `-`: standard input.
    file: PathBuf,
}

/// Check offline that a quote is genuine and of a release that a policy admits, as a server does.
///
/// Exit code 0 if so. What the quote is about (client, session, deployment, record) is not compared: only the server that
/// it was made for can.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The quote, as bytes or as hexadecimal digits; `-`: standard input.
    file: PathBuf,

    /// The policy: the releases that are admitted, TOML.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,

    /// What Intel says about the platform, JSON; one object or an array of them.
    #[arg(long, value_name = "FILE")]
    collateral: PathBuf,

    /// Verify as of this time, such as 2026-06-30T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,
}

#[derive(Serialize)]
struct Shown {
    version: u16,
    mrtd: String,
    rtmr0: String,
    rtmr1: String,
    rtmr2: String,
    rtmr3: String,
    report_data: String,
    attributes: String,
    under_debug: bool,
    mr_seam: String,
    tee_tcb_svn: String,
}

#[derive(Serialize)]
struct Verified {
    release: String,
    tcb: String,
    advisories: Vec<String>,
    fmspc: String,
    collateral_until: String,
    at: String,
    quote: Shown,
}

pub(crate) fn run(verb: &Verb, context: &mut Context) -> Result<(), Failure> {
    match verb {
        Verb::Show(args) => show(args, context),
        Verb::Verify(args) => verify(args, context),
    }
}

fn show(args: &Show, context: &mut Context) -> Result<(), Failure> {
    let (name, bytes) = quote(&args.file)?;
    let quote = Quote::parse(&bytes).map_err(|e| denied(&name, e.into()))?;
    let shown = Shown::from(&quote.contents());
    if context.out.json() {
        return context.out.object(&shown);
    }
    context.out.table(&shown.rows())?;
    out::note("warning: nothing was verified: anybody can write this; see `zipnetctl attest verify`");
    Ok(())
}

fn verify(args: &Verify, context: &mut Context) -> Result<(), Failure> {
    let file = |FileError { path, problem }| Failure::File { path, problem };
    let policy = Policy::load(&args.policy).map_err(file)?;
    let collateral = Collateral::load(&args.collateral).map_err(file)?;
    let (name, bytes) = quote(&args.file)?;
    let now = args.at.unwrap_or_else(|| secs(SystemTime::now()));

    let expiry = collateral.expiry(now);
    let genuine = Verifier::new(collateral).authenticate(&bytes, now).map_err(|e| denied(&name, e))?;
    let release = policy.appraise(&genuine).map_err(|e| denied(&name, e))?;
    let verified = Verified {
        release: release.name.clone(),
        tcb: genuine.tcb.to_string(),
        advisories: genuine.advisories.clone(),
        fmspc: genuine.fmspc.clone(),
        collateral_until: text::moment(genuine.collateral_until.saturating_mul(1000)),
        at: text::moment(now.saturating_mul(1000)),
        quote: Shown::from(&genuine.contents),
    };
    if context.out.json() {
        context.out.object(&verified)?;
    } else {
        let advisories = verified.advisories.join(" ");
        let mut rows = vec![
            ("release", verified.release),
            ("tcb", verified.tcb),
            ("advisories", if advisories.is_empty() { "none".to_owned() } else { advisories }),
            ("platform", verified.fmspc),
            ("collateral until", verified.collateral_until),
            ("verified as of", verified.at),
        ];
        rows.extend(verified.quote.rows());
        context.out.table(&rows)?;
    }
    if let Some(expiry) = expiry {
        out::note(&format!("warning: {expiry}"));
    }
    Ok(())
}

impl Shown {
    fn from(contents: &Contents) -> Self {
        let [rtmr0, rtmr1, rtmr2, rtmr3] = contents.rtmr.map(|digest| digest.to_string());
        Self {
            version: contents.version,
            mrtd: contents.mrtd.to_string(),
            rtmr0,
            rtmr1,
            rtmr2,
            rtmr3,
            report_data: hex::encode(contents.report_data),
            attributes: format!("{:#018x}", contents.attributes),
            under_debug: contents.under_debug(),
            mr_seam: contents.mr_seam.to_string(),
            tee_tcb_svn: hex::encode(contents.tee_tcb_svn),
        }
    }

    fn rows(self) -> Vec<(&'static str, String)> {
        let debug = if self.under_debug { "yes: its host reads its memory" } else { "no" };
        vec![
            ("quote version", self.version.to_string()),
            ("mrtd", self.mrtd),
            ("rtmr0", self.rtmr0),
            ("rtmr1", self.rtmr1),
            ("rtmr2", self.rtmr2),
            ("rtmr3", self.rtmr3),
            ("report data", self.report_data),
            ("attributes", self.attributes),
            ("under debug", debug.to_owned()),
            ("mr_seam", self.mr_seam),
            ("tee_tcb_svn", self.tee_tcb_svn),
        ]
    }
}

fn denied(path: &Path, source: Denied) -> Failure {
    Failure::Quote { path: path.to_owned(), source: Box::new(source) }
}

/// The quote in a file, and what to call it. Text of hexadecimal digits is taken as that: no quote begins with one.
fn quote(path: &Path) -> Result<(PathBuf, Vec<u8>), Failure> {
    // Twice as many digits, and line feeds.
    let limit = 3 * MAX_QUOTE_BYTES;
    let (name, bytes) = if path == Path::new("-") {
        let bytes = bounded(io::stdin().lock(), limit).map_err(|source| Failure::Stdin { source })?;
        (PathBuf::from("standard input"), bytes)
    } else {
        (path.to_owned(), read(path, limit)?)
    };
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match hex::decode(&text) {
        Ok(decoded) if !decoded.is_empty() => Ok((name, decoded)),
        _ => Ok((name, bytes)),
    }
}

/// A file, of which the parser has to see if it is longer than allowed.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let bytes = fs::File::open(path).and_then(|file| bounded(file, limit));
    bytes.map_err(|e| Failure::File { path: path.to_owned(), problem: e.to_string() })
}

/// One byte more than is allowed shows that it is too much.
fn bounded(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn time(text: &str) -> Result<u64, humantime::TimestampError> {
    humantime::parse_rfc3339(text).map(secs)
}

/// Before 1970 there was no quote.
fn secs(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
