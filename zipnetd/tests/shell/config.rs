//! Flag, then environment, then file, then default; and what is refused.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use clap::Parser;
use zipnetd::cli::Cli;
use zipnetd::config::{Config, ConfigError, KEYS, Network, Real, StateDir, Surroundings};

/// A process's surroundings, made up.
pub(super) struct World {
    env: BTreeMap<String, OsString>,
    uid: u32,
    dir: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let env = BTreeMap::from([("HOME".to_owned(), "/home/x".into())]);
        Self { env, uid: 7, dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn file(self, text: &str) -> Self {
        fs::write(self.path(), text).unwrap();
        self
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("zipnetd.toml")
    }

    pub(super) fn resolve(&self, args: &[&str]) -> Result<Config, ConfigError> {
        let cli = Cli::try_parse_from([&["zipnetd"], args].concat()).unwrap();
        let env = |name: &str| self.env.get(name).cloned();
        Config::resolve(&cli, &Surroundings { env: &env, uid: self.uid, default_file: self.path() })
    }

    fn real(&self, args: &[&str]) -> Real {
        match self.resolve(args).unwrap().network {
            Network::Real(real) => *real,
            Network::Dev => panic!("a dev network was not asked for"),
        }
    }

    pub(super) fn error(&self, args: &[&str]) -> String {
        self.resolve(args).unwrap_err().to_string()
    }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let world = World::new().file("instance = 'of-file'\ncadence = 4\nuniverse = 'u'");
    assert_eq!(world.real(&[]).instance.name, "of-file");
    assert_eq!(world.real(&[]).universe, "u");
    assert_eq!(world.resolve(&[]).unwrap().cadence.get(), 4);
    let world = world.env("ZIPNET_INSTANCE", "of-env").env("ZIPNET_CADENCE", "3");
    assert_eq!(world.real(&[]).instance.name, "of-env");
    assert_eq!(world.resolve(&[]).unwrap().cadence.get(), 3);
    assert_eq!(world.real(&["--instance", "of-flag"]).instance.name, "of-flag");
    assert_eq!(world.resolve(&["--cadence", "2"]).unwrap().cadence.get(), 2);

    let plain = World::new();
    let config = plain.resolve(&["--instance", "a"]).unwrap();
    assert_eq!(config.cadence.get(), 1);
    assert_eq!((config.metrics, config.message, config.check), (None, None, false));
    assert_eq!(config.log, "info");
    assert_eq!(plain.real(&["--instance", "a"]).universe, "mosaik.universe");
}

#[test]
fn an_empty_variable_is_not_set() {
    let world =
        World::new().file("instance = 'of-file'").env("ZIPNET_INSTANCE", "").env("ZIPNET_METRICS", "");
    assert_eq!(world.real(&[]).instance.name, "of-file");
    assert_eq!(world.resolve(&[]).unwrap().metrics, None);
}

#[test]
fn the_operators_one_shot_command_works() {
    let peer = "ab".repeat(32);
    let world = World::new().env("ZIPNET_INSTANCE", "acme.mainnet").env("ZIPNET_MESSAGE", "payload");
    let real = world.real(&["--bootstrap", &peer]);
    assert_eq!((real.instance.name.as_str(), real.instance.pin), ("acme.mainnet", None));
    assert_eq!(real.bootstrap.len(), 1);
    assert_eq!(world.resolve(&["--bootstrap", &peer]).unwrap().message.unwrap().0, "payload");
}

#[test]
fn several_bootstrap_peers_come_from_every_place() {
    let (a, b) = ("ab".repeat(32), format!("{}@127.0.0.1:9", "cd".repeat(32)));
    let file = format!("instance = 'x'\nbootstrap = ['{a}', '{b}']");
    assert_eq!(World::new().file(&file).real(&[]).bootstrap.len(), 2);
    let world = World::new().env("ZIPNET_INSTANCE", "x").env("ZIPNET_BOOTSTRAP", &format!("{a}, {b}"));
    assert_eq!(world.real(&[]).bootstrap.len(), 2);
    assert_eq!(world.real(&["--bootstrap", &a, "--bootstrap", &b]).bootstrap.len(), 2);
}

#[test]
fn metrics_are_on_loopback_unless_told_otherwise() {
    let world = World::new().env("ZIPNET_INSTANCE", "x");
    let metrics = |text: &str| world.resolve(&["--metrics", text]).unwrap().metrics.unwrap().to_string();
    assert_eq!(metrics("9100"), "127.0.0.1:9100");
    assert_eq!(metrics("0.0.0.0:9100"), "0.0.0.0:9100");
    assert_eq!(metrics("[::1]:9100"), "[::1]:9100");
    let error = world.error(&["--metrics", "localhost:1"]);
    assert_eq!(error, "--metrics: `localhost:1` is neither IP:PORT nor a port");
}

#[test]
fn an_error_names_the_place_and_the_value() {
    let world = World::new().file("instance = 'x'\ncadence = 0");
    let place = world.path().display().to_string();
    assert_eq!(world.error(&[]), format!("`cadence` in {place}: `0` is not a number from 1 on"));
    let world = World::new().env("ZIPNET_CADENCE", "often");
    assert_eq!(world.error(&["--instance=x"]), "ZIPNET_CADENCE: `often` is not a number from 1 on");
    let error = World::new().error(&["--instance=x#12"]);
    assert!(error.starts_with("--instance: `12` is not a deployment id"), "{error}");
    let error = World::new().error(&["--instance=x", "--relay=nowhere"]);
    assert!(error.starts_with("--relay: ") && error.contains("`nowhere`"), "{error}");
    let error = World::new().error(&["--instance=x", "--bootstrap=nobody"]);
    assert!(error.starts_with("--bootstrap: ") && error.contains("`nobody`"), "{error}");
    assert!(World::new().error(&["--instance=x", "--log=a=b=c"]).starts_with("--log: "));
}

#[test]
fn without_an_instance_it_says_what_to_do() {
    let error = World::new().resolve(&[]).unwrap_err();
    assert_eq!(error, ConfigError::NoInstance);
    assert!(error.to_string().contains("ZIPNET_INSTANCE") && error.to_string().contains("--dev"));
}

#[test]
fn an_unknown_setting_in_the_file_is_an_error_with_a_suggestion() {
    let error = World::new().file("instance = 'x'\ncadance = 2").error(&[]);
    assert!(error.ends_with("unknown setting `cadance`, did you mean `cadence`?"), "{error}");
    let error = World::new().file("colour = 'red'").error(&[]);
    assert!(error.ends_with("unknown setting `colour`"), "{error}");
    let error = World::new().file("[server]\nport = 1").error(&[]);
    assert!(error.contains("unknown setting `server`"), "{error}");
    let error = World::new().file("instance = 1.5").error(&[]);
    assert!(error.contains("`instance` in ") && error.ends_with("a float is not possible here"), "{error}");
}

#[test]
fn every_setting_can_stand_in_the_file() {
    for key in KEYS {
        let value = match key {
            "cadence" | "metrics" => "9".to_owned(),
            "private_metrics" => "true".to_owned(),
            // They need company (sealed.rs).
            "sealed_identity" => "'x'\ninsecure_key_file = 'y'".to_owned(),
            "insecure_key_file" => "'y'\nsealed_identity = 'x'".to_owned(),
            "key_broker" => format!("'{}@x:1'\nsealed_identity = 'x'", "ab".repeat(32)),
            "server_policy" => "'x'\nserver_collateral = 'y'".to_owned(),
            "server_collateral" => "'x'\nserver_policy = 'y'".to_owned(),
            "init_identity" => "true\nsealed_identity = 'x'\ninsecure_key_file = 'y'".to_owned(),
            "listen" => "'127.0.0.1:1'".to_owned(),
            "relay" => "'public'".to_owned(),
            "bootstrap" => format!("'{}'", "ab".repeat(32)),
            _ => "'x'".to_owned(),
        };
        let pinned = format!("instance = 'x#{}'\n", "cd".repeat(32));
        let instance = if key == "instance" { "" } else { &pinned };
        World::new().file(&format!("{instance}{key} = {value}")).resolve(&[]).unwrap();
    }
}

#[test]
fn a_file_that_is_named_must_be_there_and_make_sense() {
    let world = World::new().env("ZIPNET_INSTANCE", "x");
    world.resolve(&[]).unwrap();
    let error = world.error(&["--config", "/nonexistent/zipnetd.toml"]);
    assert!(error.starts_with("cannot read /nonexistent/zipnetd.toml: "), "{error}");
    let error = World::new().file("instance = 'x'\nmessage = 'secret payload").error(&[]);
    assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
}

#[test]
fn the_message_shows_in_no_error_and_in_no_debug_output() {
    let long = "secret".repeat(20_000);
    let error = World::new().env("ZIPNET_INSTANCE", "x").env("ZIPNET_MESSAGE", &long).error(&[]);
    assert_eq!(error, "MessageTooLong: ZIPNET_MESSAGE has 120000 bytes, no deployment takes more than 65520");
    let config =
        World::new().env("ZIPNET_INSTANCE", "x").env("ZIPNET_MESSAGE", "secret").resolve(&[]).unwrap();
    assert!(!format!("{config:?}").contains("secret"));
    let mut world = World::new().env("ZIPNET_INSTANCE", "x");
    world.env.insert("ZIPNET_MESSAGE".to_owned(), OsString::from_vec(vec![b's', 0xff]));
    assert_eq!(world.error(&[]), "ZIPNET_MESSAGE: not UTF-8");
}

#[test]
fn places_follow_systemd_then_the_user() {
    let state = |world: &World| match world.resolve(&["--instance=x"]).unwrap().state_dir {
        StateDir::At(dir) => dir,
        StateDir::Temporary => panic!("only a dev network is temporary"),
    };
    let socket = |world: &World| world.resolve(&["--instance=x"]).unwrap().socket.path;
    let world = World::new();
    assert_eq!(state(&world), Path::new("/home/x/.local/state/zipnet"));
    assert_eq!(socket(&world), Path::new("/tmp/zipnet-7/zipnetd.sock"));
    let world = world.env("XDG_STATE_HOME", "/s").env("XDG_RUNTIME_DIR", "/r");
    assert_eq!(state(&world), Path::new("/s/zipnet"));
    assert_eq!(socket(&world), Path::new("/r/zipnet/zipnetd.sock"));
    let world =
        world.env("STATE_DIRECTORY", "/var/lib/zipnet:/other").env("RUNTIME_DIRECTORY", "/run/zipnet");
    assert_eq!(state(&world), Path::new("/var/lib/zipnet"));
    assert_eq!(socket(&world), Path::new("/run/zipnet/zipnetd.sock"));
    let mut root = World::new();
    root.uid = 0;
    assert_eq!(socket(&root), Path::new("/run/zipnet/zipnetd.sock"));
    let mut bare = World::new();
    bare.env.clear();
    assert_eq!(bare.resolve(&["--instance=x"]).unwrap_err(), ConfigError::NoStateDir);
}

#[test]
fn a_dev_network_is_a_world_of_its_own() {
    let world =
        World::new().file("nonsense = 1").env("ZIPNET_INSTANCE", "acme").env("ZIPNET_BOOTSTRAP", "nonsense");
    let config = world.resolve(&["--dev"]).unwrap();
    assert!(matches!(config.network, Network::Dev));
    assert_eq!(config.state_dir, StateDir::Temporary);
    assert_eq!(config.socket.path, Path::new("/tmp/zipnet-7/dev.sock"));
    assert!(config.socket.own_folder);
    let config = world.resolve(&["--dev", "--state-dir=/s", "--socket=/x/y.sock"]).unwrap();
    assert_eq!(config.state_dir, StateDir::At("/s".into()));
    assert_eq!((config.socket.path.as_path(), config.socket.own_folder), (Path::new("/x/y.sock"), false));
}

#[test]
fn what_is_printed_names_every_setting_its_value_and_its_place() {
    let world = World::new().file("instance = 'of-file'\nmessage = 'secret'\nprivate_metrics = true");
    let world = world.env("ZIPNET_CADENCE", "3").env("RUST_LOG", "warn").env("STATE_DIRECTORY", "/var/lib/z");
    let file = world.path().display().to_string();
    let printed = world.resolve(&["--metrics", "9100"]).unwrap().print();
    let expected = [
        format!("# file: {file}"),
        format!("instance           of-file                     `instance` in {file}"),
        "universe           mosaik.universe             default".to_owned(),
        "bootstrap          none                        default".to_owned(),
        format!("message            6 bytes                     `message` in {file}"),
        "cadence            3                           ZIPNET_CADENCE".to_owned(),
        "metrics            127.0.0.1:9100              --metrics".to_owned(),
        format!("private_metrics    true                        `private_metrics` in {file}"),
        "listen             none                        default".to_owned(),
        "relay              public                      default".to_owned(),
        "socket             /tmp/zipnet-7/zipnetd.sock  default".to_owned(),
        "state_dir          /var/lib/z                  STATE_DIRECTORY".to_owned(),
        "sealed_identity    none                        default".to_owned(),
        "key_broker         none                        default".to_owned(),
        "insecure_key_file  none                        default".to_owned(),
        "init_identity      false                       default".to_owned(),
        "quote_socket       /run/zipnet/quote.sock      default".to_owned(),
        "server_policy      none                        default".to_owned(),
        "server_collateral  none                        default".to_owned(),
        "log                warn                        RUST_LOG".to_owned(),
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_long_value_does_not_push_the_others_apart() {
    let peer = "ab".repeat(32);
    let printed = World::new().resolve(&["--instance=x", "--bootstrap", &peer]).unwrap().print();
    assert!(printed.contains(&format!("bootstrap          {peer}  --bootstrap\n")), "{printed}");
    assert!(printed.contains(&format!("cadence            {:27}  default\n", "1")), "{printed}");
}

#[test]
fn what_a_dev_network_decides_for_itself_has_no_place() {
    let world = World::new().env("ZIPNET_INSTANCE", "acme").env("ZIPNET_CADENCE", "2");
    let printed = world.resolve(&["--dev"]).unwrap().print();
    let line = |key: &str| printed.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert_eq!(line("instance").split_whitespace().collect::<Vec<_>>(), ["instance", "none", "default"]);
    assert_eq!(line("cadence").split_whitespace().collect::<Vec<_>>(), ["cadence", "2", "ZIPNET_CADENCE"]);
    assert_eq!(
        line("state_dir").split_whitespace().collect::<Vec<_>>(),
        ["state_dir", "temporary", "default"]
    );
}

#[test]
fn the_default_file_has_every_setting_with_its_default() {
    /// Settings that have no default; the file shows an example.
    const EXAMPLES: [&str; 9] = [
        "instance",
        "message",
        "metrics",
        "listen",
        "sealed_identity",
        "key_broker",
        "insecure_key_file",
        "server_policy",
        "server_collateral",
    ];

    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/zipnetd.toml")).unwrap();
    let unchanged: toml::Table = text.parse().unwrap();
    assert!(unchanged.is_empty(), "the file as it comes sets nothing");
    // A setting is `#key = …`, a sentence `# …`.
    let is_setting =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase());
    let lines: Vec<&str> = text.lines().filter(|line| is_setting(line)).map(|line| &line[1..]).collect();
    let keys: Vec<&str> = lines.iter().map(|line| line.split(" = ").next().unwrap()).collect();
    assert_eq!(keys, KEYS, "one line for every setting, in this order");
    for (number, line) in text.lines().enumerate() {
        let before = number.checked_sub(1).and_then(|n| text.lines().nth(n)).unwrap_or("");
        assert!(!is_setting(line) || before.starts_with("# "), "`{line}` has a sentence before it");
    }

    // As the unit starts it.
    let world = |file: &str| {
        let world =
            World::new().env("STATE_DIRECTORY", "/var/lib/zipnet").env("RUNTIME_DIRECTORY", "/run/zipnet");
        world.file(file).resolve(&["--instance=x"]).unwrap().shown()
    };
    // Of the two keepers of a sealed identity there may be one, and the broker wants the instance pinned.
    let broker = lines.iter().find(|line| line.starts_with("key_broker")).unwrap();
    let pinned = format!("--instance=x#{}", "ab".repeat(32));
    World::new().file(&format!("{broker}\nsealed_identity = '/i'")).resolve(&[&pinned]).unwrap();
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.starts_with("key_broker")).collect();
    for (with, without) in world(&lines.join("\n")).into_iter().zip(world("")) {
        if EXAMPLES.contains(&with.key) {
            assert!(without.key == "instance" || without.value == "none", "{} has a default", with.key);
        } else {
            assert_eq!(with.value, without.value, "the default of {}", with.key);
        }
    }
    assert_eq!(World::new().file(&lines.join("\n")).real(&[]).instance.name, "acme.mainnet");
}
