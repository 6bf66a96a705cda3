//! `zipnet-tdx`: builds the guest, and predicts what a platform measures of one.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use zipnet_tdx::image::artifacts::{self, Parts};
use zipnet_tdx::image::compile::Compile;
use zipnet_tdx::image::content::{self, Content, With};
use zipnet_tdx::image::inputs::{FIRMWARE, FIRMWARE_PATH, Inputs, KERNEL, KERNEL_PATH};
use zipnet_tdx::image::{COMMAND_LINE, module_paths};
use zipnet_tdx::measure::{self, Boot, PageOrder};
use zipnet_tdx::verify::Measurements;

/// Builds the guest that runs zipnetd under Intel TDX, and predicts what a platform measures of it.
#[derive(Debug, Parser)]
#[command(name = "zipnet-tdx", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Cmd,
}

#[derive(Debug, Subcommand)]
enum Cmd {
    /// Build the image and its measurements; run it in a checkout
    Build(Build),
    /// Predict the measurements of a firmware, kernel, initramfs and command line
    Measure(Measure),
}

#[derive(Debug, Args)]
struct Build {
    /// The instance that the guest takes part in, pinned; it is measured. Without it the guest takes part in nothing
    #[arg(long, value_name = "NAME#ID", env = "ZIPNET_INSTANCE")]
    instance: Option<String>,
    /// The key broker that keeps the key of the sealed identity and queue, at an IP address; it is measured. Without it the guest is
    /// somebody else in each run
    #[arg(long, value_name = "HEXKEY@IP:PORT", env = "ZIPNET_KEY_BROKER")]
    key_broker: Option<String>,
    /// Let programs on the host reach the daemon at this port of the guest; it is measured. The host reads their messages
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    host_socket: Option<u16>,
    /// The releases of servers that the daemon admits, TOML, for deployments with `admission = mutual`; it is measured. What Intel says
    /// about their platforms the host brings
    #[arg(long, value_name = "FILE")]
    server_policy: Option<PathBuf>,
    /// Files to add to /with in the guest; static programs among them (executable here) are started beside zipnetd, with the
    /// lines of NAME.args as arguments
    #[arg(long, value_name = "FILE", num_args = 1..)]
    with: Vec<PathBuf>,
    /// Where to write [default: tdx-artifacts/zipnet-client/debian in the target folder's release]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the packages of Debian are kept [default: tdx-inputs in the target folder]
    #[arg(long, value_name = "DIR")]
    inputs: Option<PathBuf>,
    /// A static zipnetd that was compiled before, instead of compiling it
    #[arg(long, value_name = "FILE")]
    zipnetd: Option<PathBuf>,
    /// A static zipnet-quote that was compiled before, instead of compiling it
    #[arg(long, value_name = "FILE")]
    quote: Option<PathBuf>,
    /// A static zipnet-init that was compiled before, instead of compiling it
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Measure {
    /// The firmware
    #[arg(long, value_name = "FILE")]
    firmware: PathBuf,
    /// The kernel
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// The initramfs
    #[arg(long, value_name = "FILE")]
    initramfs: PathBuf,
    /// The command line
    #[arg(long, value_name = "TEXT", default_value = COMMAND_LINE)]
    command_line: String,
    /// The order of hosts from before TDX was in Linux: all pages of a section are added before they are measured
    #[arg(long)]
    two_passes: bool,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Cmd::Build(arguments) => build(arguments),
        Cmd::Measure(arguments) => predict(&arguments),
    }
}

fn build(arguments: Build) -> anyhow::Result<()> {
    // A variable that is empty counts as not set.
    let instance = arguments.instance.filter(|instance| !instance.is_empty());
    let workspace = workspace()?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), |dir| workspace.join(dir));
    let out = arguments.out.unwrap_or_else(|| target.join("release/tdx-artifacts/zipnet-client/debian"));
    let inputs =
        Inputs::new(&arguments.inputs.unwrap_or_else(|| target.join("tdx-inputs")), Path::new("/etc"));
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let compile = Compile { workspace, target: target.join("tdx-guest"), cargo_home };

    let with = arguments.with.iter().map(|path| added(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut firmware = inputs.files(&FIRMWARE, &[FIRMWARE_PATH])?;
    let modules = module_paths();
    let paths: Vec<&str> =
        [KERNEL_PATH].into_iter().chain(modules.iter().map(|(_, path)| path.as_str())).collect();
    let mut files = inputs.files(&KERNEL, &paths)?.into_iter();
    let kernel = files.next().context("the kernel's package has no kernel")?;
    let content = Content {
        instance: instance.clone(),
        key_broker: arguments.key_broker.filter(|broker| !broker.is_empty()),
        host_socket: arguments.host_socket,
        server_policy: arguments.server_policy.as_deref().map(read).transpose()?,
        init: match &arguments.init {
            Some(path) => read(path)?,
            None => compile.init()?,
        },
        zipnetd: match &arguments.zipnetd {
            Some(path) => read(path)?,
            None => compile.zipnetd()?,
        },
        quote: match &arguments.quote {
            Some(path) => read(path)?,
            None => compile.quote()?,
        },
        modules: modules.iter().map(|(name, _)| *name).zip(files).collect(),
        with,
    };
    let parts = Parts {
        instance,
        host_socket: arguments.host_socket,
        firmware: firmware.remove(0),
        kernel,
        initramfs: content::initramfs(content)?,
    };
    let measured = artifacts::write(&parts, &out)?;
    show(&measured);
    println!("in      {}", out.display());
    if parts.instance.is_none() {
        println!(
            "This image names no instance and takes part in nothing: build one with --instance NAME#ID."
        );
    }
    Ok(())
}

/// The checkout: cargo says where this crate is, else it is the current folder.
fn workspace() -> anyhow::Result<PathBuf> {
    let crate_ = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let folder =
        crate_.and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_else(|| PathBuf::from("."));
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    if !folder.join("tdx/guest/Cargo.toml").exists() {
        bail!("{} is no checkout of zipnet: run this there", folder.display());
    }
    Ok(folder)
}

fn added(path: &Path) -> anyhow::Result<With> {
    let name = path.file_name().and_then(|name| name.to_str()).context("--with takes files with names")?;
    let mode = fs::metadata(path).with_context(|| path.display().to_string())?.permissions().mode();
    Ok(With { name: name.to_owned(), contents: read(path)?, program: mode & 0o111 != 0 })
}

fn predict(arguments: &Measure) -> anyhow::Result<()> {
    let boot = Boot {
        firmware: &read(&arguments.firmware)?,
        kernel: &read(&arguments.kernel)?,
        initramfs: &read(&arguments.initramfs)?,
        command_line: &arguments.command_line,
    };
    let order = if arguments.two_passes { PageOrder::TwoPasses } else { PageOrder::SinglePass };
    show(&measure::predict(boot, order)?);
    Ok(())
}

fn show(measured: &Measurements) {
    for (name, digest) in [("MR_TD", measured.mrtd), ("RTMR1", measured.rtmr1), ("RTMR2", measured.rtmr2)] {
        println!("{name}   {digest}");
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}
