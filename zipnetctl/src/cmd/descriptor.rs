//! `descriptor`: make, check and fetch the file that says what a deployment is. Only `fetch` needs a daemon.

mod fetch;

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use zipnet_dcnet::{
    descriptor::{Admission, Descriptor, InstanceRef},
    ids::{DeploymentId, PeerId},
    params::Params,
};

use super::Context;
use crate::{failure::Failure, out, text};

/// Largest file that is read as a descriptor, in bytes; 32 servers need about 3,000.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Make, show, check or fetch the descriptor of a deployment.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    New(New),
    Show(Show),
    Verify(Verify),
    Fetch(fetch::Fetch),
}

/// Make a descriptor from the servers' peer ids and print its deployment id.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// Name of the instance, such as acme.mainnet.
    #[arg(long, value_name = "NAME")]
    instance: String,

    /// Peer id of a server, as `zipnet-server keygen` prints it; once per server.
    #[arg(long = "server", value_name = "PEERID", required = true)]
    servers: Vec<PeerId>,

    /// Set a parameter, such as slots=64 or round_period_ms=3000; may be repeated. `descriptor show` lists all.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,

    /// Who may take part.
    #[arg(long, value_enum, default_value_t = Admit::Open)]
    admission: Admit,

    /// Deployment id of the deployment that this one replaces.
    #[arg(long, value_name = "ID")]
    predecessor: Option<DeploymentId>,

    /// Write the descriptor to this new file and print only the id; otherwise the descriptor goes to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The descriptor, readable.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The descriptor.
    file: PathBuf,
}

/// Check a descriptor, and that it is the expected one; prints NAME#ID, the form that pins it.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The descriptor.
    file: PathBuf,

    /// What it should be: `name` or `name#id`.
    #[arg(value_name = "NAME[#ID]")]
    expected: Option<InstanceRef>,
}

/// How clients are admitted.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Admit {
    /// Anybody.
    Open,
    /// Only who shows a TDX quote that the servers' policies admit.
    Tdx,
    /// The same, and clients register only with servers that show one which the clients' policies admit.
    Mutual,
}

#[derive(Serialize)]
struct Shown<'a> {
    id: DeploymentId,
    pin: String,
    descriptor: &'a Descriptor,
}

pub(crate) async fn run(verb: Verb, context: &mut Context) -> Result<(), Failure> {
    match verb {
        Verb::New(args) => new(args, context),
        Verb::Show(args) => show(&args, context),
        Verb::Verify(args) => verify(&args, context),
        Verb::Fetch(args) => fetch::run(args, context).await,
    }
}

fn new(args: New, context: &mut Context) -> Result<(), Failure> {
    let params = params(args.servers.len() as u32, &args.params)?;
    let what = "this descriptor cannot be";
    let invalid = |source| Failure::Descriptor { what: what.into(), source };
    let mut descriptor = Descriptor::new(&args.instance, params, args.servers).map_err(invalid)?;
    descriptor.admission = match args.admission {
        Admit::Open => Admission::Open,
        Admit::Tdx => Admission::Tdx,
        Admit::Mutual => Admission::Mutual,
    };
    descriptor.predecessor = args.predecessor;
    descriptor.check().map_err(invalid)?;

    let id = descriptor.id();
    let file =
        serde_json::to_string_pretty(&descriptor).expect("invariant: a descriptor has string keys only");
    if let Some(path) = &args.output {
        write_new(path, &file).map_err(|e| Failure::File { path: path.clone(), problem: e.to_string() })?;
    }
    if context.out.json() {
        return context.out.object(&Shown { id, pin: pin(&descriptor), descriptor: &descriptor });
    }
    if args.output.is_some() {
        return context.out.line(&id.to_string());
    }
    context.out.line(&file)?;
    out::note(&id.to_string());
    Ok(())
}

fn show(args: &Show, context: &mut Context) -> Result<(), Failure> {
    let descriptor = read(&args.file)?;
    if context.out.json() {
        return context.out.object(&Shown {
            id: descriptor.id(),
            pin: pin(&descriptor),
            descriptor: &descriptor,
        });
    }
    let admission = descriptor.admission.name();
    let mut rows = vec![
        ("deployment", descriptor.id().to_string()),
        ("instance", descriptor.instance.clone()),
        ("admission", admission.to_owned()),
        ("predecessor", descriptor.predecessor.map_or("none".to_owned(), |id| id.to_string())),
        ("servers", descriptor.servers.iter().map(|s| s.to_string() + "\n").collect()),
    ];
    let values = values(&descriptor.params);
    rows.extend(values.iter().map(|(name, value)| (name.as_str(), plain(value))));
    context.out.table(&rows)
}

fn verify(args: &Verify, context: &mut Context) -> Result<(), Failure> {
    let descriptor = read(&args.file)?;
    let found = descriptor.id();
    if let Some(expected) = &args.expected {
        let other = |expected| Failure::WrongDescriptor {
            path: args.file.clone(),
            instance: descriptor.instance.clone(),
            found,
            expected,
        };
        if expected.name != descriptor.instance {
            return Err(other(expected.name.clone()));
        }
        if let Some(id) = expected.pin.filter(|id| *id != found) {
            return Err(other(id.to_string()));
        }
    }
    if context.out.json() {
        return context.out.object(&Shown { id: found, pin: pin(&descriptor), descriptor: &descriptor });
    }
    context.out.line(&pin(&descriptor))
}

fn pin(descriptor: &Descriptor) -> String {
    format!("{}#{}", descriptor.instance, descriptor.id())
}

/// The defaults for this many servers, with what was set on the command line.
fn params(servers: u32, set: &[String]) -> Result<Params, Failure> {
    let mut values = values(&Params::standard(servers));
    for setting in set {
        let usage =
            |problem: &str| Failure::Usage { message: format!("--param {}: {problem}", text::tame(setting)) };
        let (name, value) = setting.split_once('=').ok_or_else(|| usage("expected NAME=VALUE"))?;
        let names = || values.keys().cloned().collect::<Vec<_>>().join(", ");
        let Some(old) = values.get(name) else {
            return Err(usage(&format!("there is no such parameter, only {}", names())));
        };
        let new = if old.is_number() {
            value.parse::<u32>().map(Value::from).map_err(|_| usage("expected a number below 2^32"))?
        } else {
            Value::from(value)
        };
        values.insert(name.to_owned(), new);
        // At once, so that the error names the setting that does not fit its type.
        serde_json::from_value::<Params>(values.clone().into()).map_err(|e| usage(&e.to_string()))?;
    }
    serde_json::from_value(values.into()).map_err(|e| Failure::Usage { message: e.to_string() })
}

fn values(params: &Params) -> serde_json::Map<String, Value> {
    match serde_json::to_value(params) {
        Ok(Value::Object(values)) => values,
        _ => unreachable!("invariant: a struct serializes as an object"),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The descriptor in a file, checked.
pub(super) fn read(path: &Path) -> Result<Descriptor, Failure> {
    let problem = |problem: String| Failure::File { path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| problem(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(problem(format!("is no descriptor: longer than {MAX_FILE_BYTES} bytes")));
    }
    let descriptor: Descriptor =
        serde_json::from_slice(&bytes).map_err(|e| problem(format!("is no descriptor: {e}")))?;
    descriptor
        .check()
        .map_err(|source| Failure::Descriptor { what: text::tame(&path.display().to_string()), source })?;
    Ok(descriptor)
}

/// Never over an existing file: a descriptor in use may be the only copy.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
