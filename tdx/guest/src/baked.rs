//! What the measured image says: `etc/zipnet/guest.conf`, written by the builder and read by the guest.

/// Where it is in the image.
pub const PATH: &str = "etc/zipnet/guest.conf";

/// The policy by which the daemon judges the quotes of servers, in the image.
pub const SERVERS: &str = "etc/zipnet/servers.toml";

/// What was decided when the image was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baked {
    /// The instance with its deployment id, `NAME#ID`; an image without one takes part in nothing.
    pub instance: Option<String>,
    /// The key broker of the sealed identity, `HEXKEY@IP:PORT`, as `zipnetd --key-broker` takes it. With one the guest takes part
    /// only with a disk to keep its identity and its queue on.
    pub key_broker: Option<String>,
    /// The port where the host's programs reach the daemon's socket.
    pub host_socket: Option<u16>,
    /// Whether the image holds [`SERVERS`]: the daemon then judges servers that show quotes, with the collateral of a disk of the host's.
    pub server_policy: bool,
    /// Kernel modules as paths in the image, in the order of loading.
    pub modules: Vec<String>,
    /// Programs that run beside the daemon.
    pub programs: Vec<Program>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Its path in the image.
    pub path: String,
    /// What it is called with. No secret belongs here: the image is public.
    pub arguments: Vec<String>,
}

/// Why the text is not such a file. The image is measured, so this is a fault of the builder.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of {PATH} is not understood: the image was built by another version")]
pub struct BakedError(pub usize);

impl Baked {
    /// One line for each value.
    pub fn text(&self) -> String {
        let instance = self.instance.iter().map(|instance| format!("instance {instance}\n"));
        let broker = self.key_broker.iter().map(|broker| format!("key-broker {broker}\n"));
        let host_socket = self.host_socket.iter().map(|port| format!("host-socket {port}\n"));
        let servers = self.server_policy.then(|| "server-policy yes\n".to_owned());
        let modules = self.modules.iter().map(|module| format!("module {module}\n"));
        let programs = self.programs.iter().map(|program| {
            let arguments = program.arguments.iter().map(|argument| format!("argument {argument}\n"));
            format!("program {}\n{}", program.path, arguments.collect::<String>())
        });
        instance.chain(broker).chain(host_socket).chain(servers).chain(modules).chain(programs).collect()
    }

    /// The inverse of [`text`](Self::text).
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(text: &str) -> Result<Self, BakedError> {
        let mut baked = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            match line.split_once(' ') {
                Some(("instance", name)) if baked.instance.is_none() => {
                    baked.instance = Some(name.to_owned());
                }
                Some(("key-broker", broker)) if baked.key_broker.is_none() => {
                    baked.key_broker = Some(broker.to_owned());
                }
                Some(("host-socket", port)) if baked.host_socket.is_none() => {
                    baked.host_socket = Some(port.parse().map_err(|_| BakedError(number))?);
                }
                Some(("server-policy", "yes")) if !baked.server_policy => baked.server_policy = true,
                Some(("module", path)) => baked.modules.push(path.to_owned()),
                Some(("program", path)) => {
                    baked.programs.push(Program { path: path.to_owned(), arguments: Vec::new() });
                }
                Some(("argument", text)) => {
                    baked.programs.last_mut().ok_or(BakedError(number))?.arguments.push(text.to_owned());
                }
                _ => return Err(BakedError(number)),
            }
        }
        Ok(baked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let baked = Baked {
            instance: Some("acme.mainnet#00ff".to_owned()),
            key_broker: Some("00ff@192.0.2.1:4710".to_owned()),
            host_socket: Some(4780),
            server_policy: true,
            modules: vec!["lib/a.ko".to_owned(), "lib/b.ko".to_owned()],
            programs: vec![
                Program {
                    path: "with/agent".to_owned(),
                    arguments: vec!["two words".to_owned(), String::new()],
                },
                Program { path: "with/other".to_owned(), arguments: Vec::new() },
            ],
        };
        assert_eq!(Baked::parse(&baked.text()), Ok(baked));
        assert_eq!(Baked::parse(""), Ok(Baked::default()));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(Baked::parse("module a\nshell /bin/sh\n"), Err(BakedError(2)));
        assert_eq!(Baked::parse("instance a\ninstance b\n"), Err(BakedError(2)));
        assert_eq!(Baked::parse("key-broker a\nkey-broker b\n"), Err(BakedError(2)));
        assert_eq!(Baked::parse("host-socket x\n"), Err(BakedError(1)));
        assert_eq!(Baked::parse("argument a\nprogram b\n"), Err(BakedError(1)));
        assert_eq!(Baked::parse("module\n"), Err(BakedError(1)));
    }
}
