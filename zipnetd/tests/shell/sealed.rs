//! The settings of the sealed identity: it has exactly one keeper, and without it nothing of it is set.

use std::path::{Path, PathBuf};

use zipnet_dcnet::ids::DeploymentId;
use zipnet_tdx::seal::Keeper;
use zipnet_tdx::seal::broker::BrokerKey;
use zipnetd::config::{Config, Sealed};

use super::config::World;

const PATH: &str = "--sealed-identity=/s/identity";
const FILE: &str = "--insecure-key-file=/s/key";

fn broker() -> String {
    format!("--key-broker={}@broker.example:4710", "ab".repeat(32))
}

fn pinned() -> String {
    format!("--instance=acme#{}", "cd".repeat(32))
}

fn sealed(config: Config) -> Sealed {
    config.sealed.expect("a sealed identity is set")
}

#[test]
fn without_one_each_run_has_a_fresh_identity() {
    let config = World::new().resolve(&["--instance=acme"]).unwrap();
    assert_eq!((config.sealed, config.quote_socket), (None, PathBuf::from("/run/zipnet/quote.sock")));
    // What says no says nothing.
    let config = World::new().env("ZIPNET_INIT_IDENTITY", "false").resolve(&["--instance=acme"]).unwrap();
    assert_eq!(config.sealed, None);
}

#[test]
fn a_key_file_is_for_any_instance_and_a_broker_for_a_pinned_one() {
    let config = World::new().resolve(&["--instance=acme", PATH, FILE]).unwrap();
    let keeper = Keeper::KeyFile("/s/key".into());
    assert_eq!(sealed(config), Sealed { path: "/s/identity".into(), keeper, init: false });

    let args = [&pinned(), PATH, &broker(), "--init-identity", "--quote-socket=/q"];
    let config = World::new().resolve(&args).unwrap();
    assert_eq!(config.quote_socket, Path::new("/q"));
    let Sealed { keeper: Keeper::Broker { broker: found, deployment, quote_socket }, init: true, .. } =
        sealed(config)
    else {
        panic!("a broker, and one is made")
    };
    assert_eq!((found.key, found.at.as_str()), (BrokerKey([0xab; 32]), "broker.example:4710"));
    assert_eq!((deployment, quote_socket), (DeploymentId([0xcd; 32]), "/q".into()));

    let error = World::new().error(&["--instance=acme", PATH, &broker()]);
    assert_eq!(
        error,
        "--key-broker: a broker's key is for one deployment: pin it, ZIPNET_INSTANCE=\"acme#ID\""
    );
}

#[test]
fn they_come_from_every_place_and_are_shown() {
    let world = World::new()
        .file("instance = 'acme'\nsealed_identity = '/f'\ninit_identity = true")
        .env("ZIPNET_INSECURE_KEY_FILE", "/e");
    let config = world.resolve(&[PATH]).unwrap();
    let line = |config: &Config, key: &str| {
        let printed = config.print();
        let line = printed.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line(&config, "sealed_identity"), ["sealed_identity", "/s/identity", "--sealed-identity"]);
    assert_eq!(line(&config, "insecure_key_file"), ["insecure_key_file", "/e", "ZIPNET_INSECURE_KEY_FILE"]);
    assert_eq!(line(&config, "init_identity"), ["init_identity", "true", "`init_identity`"]);
    assert_eq!(line(&config, "key_broker"), ["key_broker", "none", "default"]);
    let config = World::new().resolve(&[&pinned(), PATH, &broker()]).unwrap();
    let text = broker();
    let (flag, value) = text.split_once('=').unwrap();
    assert_eq!(line(&config, "key_broker"), ["key_broker", value, flag]);
    // A dev network is a world of its own.
    let config = world.env("ZIPNET_KEY_BROKER", "nonsense").resolve(&["--dev"]).unwrap();
    assert_eq!(config.sealed, None);
    assert_eq!(line(&config, "init_identity"), ["init_identity", "none", "default"]);
}

#[test]
fn what_servers_are_judged_by_is_two_files_or_none() {
    let both = ["--instance=acme", "--server-policy=/p", "--server-collateral=/c"];
    let files = World::new().resolve(&both).unwrap().servers.unwrap();
    assert_eq!((files.policy, files.collateral), ("/p".into(), "/c".into()));
    assert_eq!(World::new().resolve(&both[..1]).unwrap().servers, None);
    for alone in &both[1..] {
        let error = World::new().error(&["--instance=acme", alone]);
        assert!(error.ends_with(": server_policy and server_collateral go together: set both"), "{error}");
    }
}

#[test]
fn every_wrong_combination_names_the_setting() {
    let nowhere = "there is no sealed identity whose key it would keep: set ZIPNET_SEALED_IDENTITY";
    let error = |args: &[&str]| World::new().error(&[&[pinned().as_str()], args].concat());
    for (args, expected) in [
        (&[FILE][..], format!("--insecure-key-file: {nowhere}")),
        (&[&broker()], format!("--key-broker: {nowhere}")),
        (&[FILE, &broker()], format!("--key-broker: {nowhere}")),
        (&["--init-identity"], "--init-identity: nothing says where to make an identity: set".to_owned()),
        (&[PATH], "--sealed-identity: nobody keeps its key: set ZIPNET_KEY_BROKER".to_owned()),
        (&[PATH, "--init-identity"], "--sealed-identity: nobody keeps its key: set".to_owned()),
        (
            &[PATH, FILE, &broker()],
            "--key-broker: a sealed identity has one keeper, but --insecure-key-file names another"
                .to_owned(),
        ),
        (&[PATH, "--key-broker=x"], "--key-broker: `x` is not HEXKEY@HOST:PORT".to_owned()),
    ] {
        let found = error(args);
        assert!(found.starts_with(&expected), "{args:?}: {found}");
    }
    for (more, key) in [
        ("sealed_identity = ''\ninsecure_key_file = '/k'", "sealed_identity"),
        ("sealed_identity = '/i'\ninsecure_key_file = ''", "insecure_key_file"),
        ("quote_socket = ''", "quote_socket"),
    ] {
        let error = World::new().file(more).error(&[&pinned()]);
        assert!(
            error.starts_with(&format!("`{key}` in ")) && error.ends_with(": a path is missing"),
            "{error}"
        );
    }
    let world = World::new().env("ZIPNET_INIT_IDENTITY", "often");
    assert_eq!(world.error(&[&pinned()]), "ZIPNET_INIT_IDENTITY: `often` is neither true nor false");
    let world = World::new().env("ZIPNET_INSECURE_KEY_FILE", "/k");
    assert!(world.error(&[&pinned()]).starts_with("ZIPNET_INSECURE_KEY_FILE: there is no sealed identity"));
}
