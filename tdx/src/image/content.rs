//! What is in the initial file system.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;

use flate2::{Compression, GzBuilder};
use zipnet_guest::baked::{self, Baked, Program};

use super::modules::{self, ModuleError};
use super::newc::{Archive, NewcError};
use crate::read;
use crate::seal::broker::BrokerAddress;
use crate::verify::Policy;

/// Where programs and files that were added at build time are.
pub const WITH: &str = "with";

/// What ends the name of a file that has, line by line, the arguments of the program of the name before it.
pub const ARGUMENTS: &str = ".args";
/// Most arguments of a program.
pub const MAX_ARGUMENTS: usize = 64;

/// A file that an agent's author adds.
#[derive(Clone, Debug)]
pub struct With {
    /// Its name in `/with`.
    pub name: String,
    /// What is in it.
    pub contents: Vec<u8>,
    /// Whether it is started beside the daemon.
    pub program: bool,
}

/// All that the guest is made of, besides kernel and firmware.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// `NAME#DEPLOYMENT-ID`; without one the guest takes part in nothing.
    pub instance: Option<String>,
    /// `HEXKEY@IP:PORT`; without one the guest is somebody else in each run.
    pub key_broker: Option<String>,
    /// The port where the host's programs reach the daemon's socket, if they do.
    pub host_socket: Option<u16>,
    /// The policy by which the daemon judges servers that show quotes, TOML.
    pub server_policy: Option<Vec<u8>>,
    /// The first process.
    pub init: Vec<u8>,
    /// The daemon.
    pub zipnetd: Vec<u8>,
    /// Its quote helper.
    pub quote: Vec<u8>,
    /// The packed kernel modules by their paths in [`super::inputs::MODULES_PATH`], in the order of loading.
    pub modules: Vec<(&'static str, Vec<u8>)>,
    /// What is added.
    pub with: Vec<With>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A path.
    #[error(transparent)]
    Archive(#[from] NewcError),
    /// A module.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// Whoever leaves out the id lets the host choose the servers.
    #[error(
        "the instance {0:?} is not NAME#ID with the 64 hex digits of the deployment's id: `zipnetctl status` shows it"
    )]
    Instance(String),
    /// A guest has nobody to ask for names.
    #[error(
        "the key broker {0:?} is not HEXKEY@IP:PORT, with its public key and an address: `zipnet-keybroker key` shows the key"
    )]
    KeyBroker(String),
    /// The daemon would not start with it.
    #[error("the policy for servers {0}")]
    ServerPolicy(String),
    /// Probably a slip: the program has another name, or cannot be run.
    #[error("{0} has arguments of a program that is not added: add the program, and let it be executable")]
    ArgumentsOfNothing(String),
    /// It could not be said in one line each.
    #[error("{0} has to be at most {MAX_ARGUMENTS} lines of text without control characters")]
    BadArguments(String),
    /// It would not start: there are no shared libraries and no interpreters.
    #[error("{0} is no static program for x86-64 Linux: build it for x86_64-unknown-linux-musl")]
    NotStatic(String),
}

/// The initial file system, compressed: the same bytes for the same content.
///
/// # Errors
/// For what could not be unpacked, started or trusted.
pub fn initramfs(content: Content) -> Result<Vec<u8>, ContentError> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "run", "sys", "tmp", "var/lib/zipnet"] {
        archive.folder(folder)?;
    }
    if let Some(instance) = content.instance.as_ref().filter(|instance| !is_pinned(instance)) {
        return Err(ContentError::Instance(instance.clone()));
    }
    if let Some(broker) = content.key_broker.as_ref().filter(|broker| !is_broker(broker)) {
        return Err(ContentError::KeyBroker(broker.clone()));
    }
    let mut baked = Baked {
        instance: content.instance,
        key_broker: content.key_broker,
        host_socket: content.host_socket,
        server_policy: content.server_policy.is_some(),
        ..Baked::default()
    };
    let programs =
        [("init", content.init), ("sbin/zipnetd", content.zipnetd), ("sbin/zipnet-quote", content.quote)];
    for (path, program) in programs {
        archive.program(path, static_program(path, program)?)?;
    }
    let unpacked = content.modules.into_iter().map(|(path, packed)| Ok((path, modules::unpack(packed)?)));
    let unpacked = unpacked.collect::<Result<Vec<_>, ModuleError>>()?;
    modules::check_order(&unpacked)?;
    for (path, module) in unpacked {
        let path = format!("lib/modules/{}.ko", modules::name(path));
        archive.file(&path, module)?;
        baked.modules.push(path);
    }
    let mut with = content.with;
    with.sort_by(|one, other| one.name.cmp(&other.name));
    for file in &with {
        if let Some(program) = file.name.strip_suffix(ARGUMENTS)
            && !with.iter().any(|other| other.program && other.name == program)
        {
            return Err(ContentError::ArgumentsOfNothing(file.name.clone()));
        }
    }
    let arguments: BTreeMap<String, Vec<String>> = with
        .iter()
        .filter_map(|file| Some((file.name.strip_suffix(ARGUMENTS)?.to_owned(), file)))
        .map(|(name, file)| Ok((name, lines(file)?)))
        .collect::<Result<_, ContentError>>()?;
    for file in with {
        let path = format!("{WITH}/{}", file.name);
        if file.program {
            archive.program(&path, static_program(&file.name, file.contents)?)?;
            let arguments = arguments.get(&file.name).cloned().unwrap_or_default();
            baked.programs.push(Program { path, arguments });
        } else {
            archive.file(&path, file.contents)?;
        }
    }
    // No root with a password, no shell: names for the two users that there are.
    let users = "root:x:0:0::/:/none\nzipnet:x:1000:1000::/:/none\nwith:x:1001:1000::/:/none\n";
    archive.file("etc/passwd", users.into())?;
    archive.file("etc/group", "root:x:0:\nzipnet:x:1000:\n".into())?;
    archive.file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n".into())?;
    if let Some(policy) = content.server_policy {
        Policy::parse(&policy).map_err(|error| ContentError::ServerPolicy(error.to_string()))?;
        archive.file(baked::SERVERS, policy)?;
    }
    archive.file(baked::PATH, baked.text().into())?;
    Ok(gzip(&archive.bytes()))
}

/// The lines of a file with arguments.
fn lines(file: &With) -> Result<Vec<String>, ContentError> {
    let bad = || ContentError::BadArguments(file.name.clone());
    let text = std::str::from_utf8(&file.contents).map_err(|_| bad())?;
    let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let good = lines.len() <= MAX_ARGUMENTS && text.chars().all(|c| c == '\n' || !c.is_control());
    good.then_some(lines).ok_or_else(bad)
}

/// Without the name of a file and without a time.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let written = writer.write_all(bytes).and_then(|()| writer.finish());
    written.expect("invariant: writing to memory does not fail")
}

/// A broker at an address.
fn is_broker(broker: &str) -> bool {
    let parsed: Option<BrokerAddress> = broker.parse().ok();
    parsed.is_some_and(|broker| broker.at.parse::<SocketAddr>().is_ok())
}

/// `NAME#ID`, in characters that cannot be mistaken in the guest's own file.
fn is_pinned(instance: &str) -> bool {
    let name_is_good = |name: &str| {
        (1..=255).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
    };
    let id_is_good = |id: &str| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    instance.split_once('#').is_some_and(|(name, id)| name_is_good(name) && id_is_good(id))
}

/// An ELF file for x86-64 without an interpreter (System V ABI, program headers).
fn static_program(name: &str, contents: Vec<u8>) -> Result<Vec<u8>, ContentError> {
    const X86_64: u16 = 62;
    const INTERPRETER: u32 = 3;
    let is_static = || {
        let elf = read::bytes(&contents, 0, 6)? == b"\x7fELF\x02\x01" && read::u16(&contents, 18)? == X86_64;
        let (table, size) = (read::u64(&contents, 32)?, read::u16(&contents, 54)?);
        let table = usize::try_from(table).ok()?;
        for header in 0..read::u16(&contents, 56)? {
            let at = table.checked_add(usize::from(header) * usize::from(size))?;
            if read::u32(&contents, at)? == INTERPRETER {
                return None;
            }
        }
        elf.then_some(())
    };
    match is_static() {
        Some(()) => Ok(contents),
        None => Err(ContentError::NotStatic(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_its_whole_id() {
        let id = "0123456789abcdef".repeat(4);
        assert!(is_pinned(&format!("acme.mainnet#{id}")));
        for bad in [
            "acme.mainnet",
            "#",
            &format!("#{id}"),
            &format!("a#{}", &id[1..]),
            &format!("a b#{id}"),
            &format!("a\n#{id}"),
        ] {
            assert!(!is_pinned(bad), "{bad:?}");
        }
    }

    #[test]
    fn arguments_belong_to_a_program_and_are_lines() {
        // The smallest file that passes for a static program: a header without program headers.
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        let with = |name: &str, contents: &[u8], program| With {
            name: name.to_owned(),
            contents: contents.to_vec(),
            program,
        };
        let build = |with: Vec<With>| {
            let [init, zipnetd, quote] = [elf.clone(), elf.clone(), elf.clone()];
            initramfs(Content { init, zipnetd, quote, with, ..Content::default() })
        };
        let agent = with("agent", &elf, true);
        assert!(build(vec![with("agent.args", b"one\ntwo words\n", false), agent.clone()]).is_ok());
        let most = "a\n".repeat(MAX_ARGUMENTS);
        assert!(build(vec![with("agent.args", most.as_bytes(), false), agent.clone()]).is_ok());
        for bad in [most.clone() + "a", "a\tb".to_owned(), "a\0".to_owned()] {
            let built = build(vec![with("agent.args", bad.as_bytes(), false), agent.clone()]);
            assert!(matches!(built, Err(ContentError::BadArguments(_))), "{bad:?}");
        }
        let alone = build(vec![with("other.args", b"x", false), agent]);
        assert!(matches!(alone, Err(ContentError::ArgumentsOfNothing(_))));
    }

    /// The running test is linked with shared libraries.
    #[test]
    fn programs_that_need_libraries_or_a_shell_are_refused() {
        let dynamic = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for bad in [dynamic, b"#!/bin/sh\n".to_vec(), b"\x7fELF\x02\x01".to_vec(), Vec::new()] {
            let content = Content { init: bad, ..Content::default() };
            assert!(matches!(initramfs(content), Err(ContentError::NotStatic(_))));
        }
    }
}
