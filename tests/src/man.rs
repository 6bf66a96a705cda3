//! The manual pages of the daemons: what the definitions of their command lines say, and what these do not know. Here and
//! not in the daemons, which then need nothing for it.

use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The pages of section 8.
pub const PAGES: [&str; 3] = ["zipnetd", "zipnet-server", "zipnet-aggregator"];

/// A term and what it is.
type Item = (&'static str, &'static str);

/// What a page says besides the command line.
struct More {
    command: Command,
    files: &'static [Item],
    environment: &'static [Item],
    signals: &'static [Item],
    see: &'static str,
}

const ZIPNETD_FILES: &[Item] = &[
    (
        "/etc/zipnet/zipnetd.toml",
        "The configuration, unless --config names another file. Every setting is in it, commented out.",
    ),
    ("/etc/zipnet/NAME.toml", "The configuration of zipnetd@NAME.service."),
    (
        "/run/zipnet/zipnetd.sock",
        "The control socket, which systemd listens at. The group zipnet may connect.",
    ),
    ("/run/zipnet/NAME.sock", "That of zipnetd@NAME.service."),
    ("/var/lib/zipnetd", "The state of zipnetd.service: the queue and what is known of the deployment."),
    ("/var/lib/zipnetd-instances/NAME", "That of zipnetd@NAME.service."),
];

const ZIPNETD_ENVIRONMENT: &[Item] = &[
    ("STATE_DIRECTORY, RUNTIME_DIRECTORY", "Where systemd wants the state and the socket."),
    ("LISTEN_FDS, LISTEN_PID", "The socket that systemd passes."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "Where systemd is told READY, STATUS and that the main loop turns."),
    ("JOURNAL_STREAM", "Says that standard error is the journal: then the log goes there with its fields."),
    ("XDG_RUNTIME_DIR, XDG_STATE_HOME", "Where a daemon that a user starts has its socket and its state."),
];

const ZIPNETD_SIGNALS: &[Item] = &[
    (
        "SIGTERM, SIGINT",
        "Takes no more messages, covers on for a while and ends with code 0. What is queued is kept. A second one ends it now, with 128 and its number.",
    ),
    ("SIGHUP", "Reads file and environment again and takes over cadence and log."),
];

const SERVER_FILES: &[Item] = &[
    ("/etc/zipnet/descriptor.json", "The descriptor of the deployment, for the unit."),
    ("/etc/default/zipnet-server", "The settings of the unit, as variables of its environment."),
    ("/var/lib/zipnet-server/identity.key", "The key, 32 bytes, mode 0600. Back it up."),
    (
        "/var/lib/zipnet-server/log",
        "What the server must never contradict, and the log. Never to be restored from a copy, nor begun anew under the same key.",
    ),
];

const AGGREGATOR_FILES: &[Item] = &[
    ("/etc/zipnet/descriptor.json", "The descriptor of the deployment, for the unit."),
    ("/etc/default/zipnet-aggregator", "The settings of the unit, as variables of its environment."),
    ("/var/lib/zipnet-aggregator/identity.key", "The key, 32 bytes, mode 0600. Nothing else is kept."),
];

const ROLE_ENVIRONMENT: &[Item] =
    &[("RUST_LOG", "What is logged to standard error, as info or zipnet_committee=debug,info.")];

const ROLE_SIGNALS: &[Item] = &[
    ("SIGTERM, SIGINT", "Leaves the rounds, so that none is lost, and ends with code 0, within 48 seconds."),
    ("a second SIGTERM or SIGINT", "Ends now, with 128 + its number."),
];

fn more(name: &str) -> Option<More> {
    Some(match name {
        "zipnetd" => More {
            command: zipnetd::cli::Cli::command(),
            files: ZIPNETD_FILES,
            environment: ZIPNETD_ENVIRONMENT,
            signals: ZIPNETD_SIGNALS,
            see: "zipnetctl(1), systemd.unit(5)",
        },
        "zipnet-server" => More {
            command: zipnet_committee::cli::command(),
            files: SERVER_FILES,
            environment: ROLE_ENVIRONMENT,
            signals: ROLE_SIGNALS,
            see: "zipnet-aggregator(8), zipnetctl(1), zipnetctl-descriptor(1)",
        },
        "zipnet-aggregator" => More {
            command: zipnet_aggregator::cli::command(),
            files: AGGREGATOR_FILES,
            environment: ROLE_ENVIRONMENT,
            signals: ROLE_SIGNALS,
            see: "zipnet-server(8), zipnetctl(1), zipnetctl-descriptor(1)",
        },
        _ => return None,
    })
}

/// A page as troff; `None` if there is none of this name.
pub fn page(name: &str) -> Option<Vec<u8>> {
    let More { mut command, files, environment, signals, see } = more(name)?;
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let codes = exit_codes(&help);
    command.build();
    let mut variables: Vec<(String, String)> = command.get_arguments().filter_map(variable).collect();
    variables.extend(environment.iter().map(owned));
    let man = Man::new(command.clone()).section("8").title(name);
    let mut out = Vec::new();
    let head = [Man::render_title, Man::render_name_section, Man::render_synopsis_section];
    let body = [Man::render_description_section, Man::render_options_section];
    for render in head.into_iter().chain(body) {
        render(&man, &mut out).expect("invariant: a Vec takes everything");
    }
    let mut more = Roff::default();
    let about = |verb: &Command| verb.get_about().map(ToString::to_string).unwrap_or_default();
    let verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help");
    let verbs: Vec<_> = verbs.map(|verb| (verb.get_name().to_owned(), about(verb))).collect();
    if !verbs.is_empty() {
        section(&mut more, "COMMANDS", verbs);
    }
    section(&mut more, "FILES", files.iter().map(owned));
    section(&mut more, "ENVIRONMENT", variables);
    section(&mut more, "SIGNALS", signals.iter().map(owned));
    section(&mut more, "EXIT STATUS", codes);
    more.control("SH", ["SEE ALSO"]);
    more.text([roman(see)]);
    more.to_writer(&mut out).expect("invariant: a Vec takes everything");
    Some(out)
}

fn owned(item: &Item) -> (String, String) {
    (item.0.to_owned(), item.1.to_owned())
}

fn section(out: &mut Roff, title: &str, items: impl IntoIterator<Item = (String, String)>) {
    out.control("SH", [title]);
    for (term, text) in items {
        out.control("TP", []);
        out.text([bold(term)]);
        out.text([roman(text)]);
    }
}

/// The variable of an argument, as clap knows it or as the help of zipnetd names it in brackets, and what it says.
fn variable(arg: &Arg) -> Option<(String, String)> {
    let help = arg.get_help()?.to_string();
    let said = format!("Stands for --{}.", arg.get_long()?);
    if let Some(name) = arg.get_env() {
        return Some((name.to_string_lossy().into_owned(), said));
    }
    let (_, inner) = help.rsplit_once(" [")?;
    let name = inner.split([';', ']']).next()?;
    let is_name = name.starts_with("ZIPNET_") || name == "RUST_LOG";
    is_name.then(|| (name.to_owned(), said))
}

/// `Exit codes: 0 ended as asked; 1 …; 128 + signal: …` as code and meaning.
///
/// # Panics
/// When the help does not say them so.
pub fn exit_codes(help: &str) -> Vec<(String, String)> {
    let (_, codes) = help.split_once("Exit codes: ").expect("invariant: the help lists the exit codes");
    let codes = codes.trim_end().trim_end_matches('.').split("; ");
    let pair = |code: &str| {
        let (number, meaning) = match code.split_once(": ") {
            Some(pair) if code.starts_with("128") => pair,
            _ => code.split_once(' ').expect("invariant: a code has a meaning"),
        };
        (number.to_owned(), meaning.to_owned())
    };
    codes.map(pair).collect()
}
