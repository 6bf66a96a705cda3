//! Admission with quotes over our report data, by a platform of the tests' own.

use zipnet_dcnet::ids::{ClientId, DeploymentId};

use crate::quote::{Digest, Evidence, EvidenceError, ParseError, ReportData, ServerKeys, Subject};
use crate::testing::{ATTRIBUTES, NOW, Options, Platform, Td, measurements, td};
use crate::verify::{
    Admitted, Authenticate, Denied, Gate, MAX_RELEASES, Policy, PolicyError, Recent, Register, TcbStatus,
    Verifier,
};

const SUBJECT: Subject =
    Subject { deployment: DeploymentId([1; 32]), client: ClientId([2; 32]), session: [3; 32] };

/// Releases `1` and `2`, which measure to these bytes.
fn policy() -> Policy {
    Policy::parse(file(&[1, 2]).as_bytes()).unwrap()
}

fn file(releases: &[u8]) -> String {
    let release = |n: &u8| {
        let m = Digest([*n; 48]);
        format!("[[release]]\nname = \"{n}\"\nmrtd = \"{m}\"\nrtmr1 = \"{m}\"\nrtmr2 = \"{m}\"\n")
    };
    releases.iter().map(release).collect()
}

fn recent() -> Recent {
    let mut recent = Recent::new(SUBJECT.deployment);
    recent.note(500, [50; 32]);
    recent.note(600, [60; 32]);
    recent
}

fn evidence(platform: &Platform, subject: &Subject, record: [u8; 32]) -> Vec<u8> {
    let quote = platform.quote(&td(1, &ReportData::Client(*subject, record).bytes()));
    Evidence::new(record, quote).encode()
}

fn gate(platform: &Platform) -> Gate {
    Gate::new(platform.verifier(), policy())
}

#[test]
fn a_client_of_a_release_is_admitted_and_told_until_when() {
    let platform = Platform::new(&Options::default());
    let admitted = gate(&platform).admit(&evidence(&platform, &SUBJECT, [60; 32]), &SUBJECT, &recent(), NOW);
    // A quarter of a day times 0x0303 / 0x10000 earlier: those who came together do not go together.
    assert_eq!(admitted, Ok(Admitted { release: "1".to_owned(), until: NOW + 24 * 3600 - 254 }));
    for (byte, earlier) in [(0, 0), (0xff, 6 * 3600 - 1)] {
        let subject = Subject { session: [byte; 32], ..SUBJECT };
        let evidence = evidence(&platform, &subject, [60; 32]);
        let admitted = gate(&platform).admit(&evidence, &subject, &recent(), NOW).unwrap();
        assert_eq!(admitted.until, NOW + 24 * 3600 - earlier);
    }
    // The first client of a deployment names the deployment.
    let first = evidence(&platform, &SUBJECT, SUBJECT.deployment.0);
    assert!(gate(&platform).admit(&first, &SUBJECT, &Recent::new(SUBJECT.deployment), NOW).is_ok());
}

/// The client's side: the same questions, about a server.
#[test]
fn a_server_of_a_release_is_good_for_these_keys_in_this_run_and_nothing_else() {
    let platform = Platform::new(&Options::default());
    let keys = ServerKeys { deployment: SUBJECT.deployment, bundle: [4; 32], boot: [5; 32] };
    let quote = |byte, data: ReportData| platform.quote(&td(byte, &data.bytes()));
    let good = quote(1, ReportData::Server(keys));
    assert_eq!(gate(&platform).vet(&good, &keys, NOW), Ok("1".to_owned()));
    for other in [
        ServerKeys { deployment: DeploymentId([9; 32]), ..keys },
        ServerKeys { bundle: [9; 32], ..keys },
        ServerKeys { boot: [9; 32], ..keys },
    ] {
        assert_eq!(gate(&platform).vet(&good, &other, NOW), Err(Denied::ReportData));
    }
    // A client's quote is no server's, with the same bytes in it.
    let subject = Subject { client: ClientId(keys.bundle), session: keys.boot, ..SUBJECT };
    let client = quote(1, ReportData::Client(subject, [0; 32]));
    assert_eq!(gate(&platform).vet(&client, &keys, NOW), Err(Denied::ReportData));
    assert!(matches!(
        gate(&platform).vet(&quote(3, ReportData::Server(keys)), &keys, NOW),
        Err(Denied::Measurement { .. })
    ));
    assert!(gate(&Platform::new(&Options::default())).vet(&good, &keys, NOW).is_err(), "another root");
    assert!(gate(&platform).vet(&good[..good.len() / 2], &keys, NOW).is_err());
    let mut altered = good.clone();
    altered[200] ^= 1;
    assert!(gate(&platform).vet(&altered, &keys, NOW).is_err(), "MR_TD");
}

#[test]
fn a_quote_about_another_client_session_deployment_or_time_is_refused() {
    let platform = Platform::new(&Options::default());
    let gate = gate(&platform);
    let good = evidence(&platform, &SUBJECT, [60; 32]);
    for other in [
        Subject { client: ClientId([9; 32]), ..SUBJECT },
        Subject { session: [9; 32], ..SUBJECT },
        Subject { deployment: DeploymentId([9; 32]), ..SUBJECT },
    ] {
        assert_eq!(gate.admit(&good, &other, &recent(), NOW), Err(Denied::ReportData));
        let theirs = evidence(&platform, &other, [60; 32]);
        assert_eq!(gate.admit(&theirs, &SUBJECT, &recent(), NOW), Err(Denied::ReportData));
    }
    // 100 rounds old is young enough, 101 is not; nor is a record that nobody knows.
    let mut recent = recent();
    let old = evidence(&platform, &SUBJECT, [50; 32]);
    assert!(gate.admit(&old, &SUBJECT, &recent, NOW).is_ok());
    recent.note(601, [61; 32]);
    assert_eq!(gate.admit(&old, &SUBJECT, &recent, NOW), Err(Denied::Record));
    let unknown = evidence(&platform, &SUBJECT, [70; 32]);
    assert_eq!(gate.admit(&unknown, &SUBJECT, &recent, NOW), Err(Denied::Record));
    // An old quote under the name of a new record.
    let mut lie = Evidence::decode(&old).unwrap();
    lie.record = [60; 32];
    assert_eq!(gate.admit(&lie.encode(), &SUBJECT, &recent, NOW), Err(Denied::ReportData));
}

#[test]
fn a_home_made_quote_is_refused_however_well_it_is_made() {
    let (platform, forger) = (Platform::new(&Options::default()), Platform::new(&Options::default()));
    let refused = |verifier: Verifier, platform: &Platform| {
        let gate = Gate::new(verifier, policy());
        gate.admit(&evidence(platform, &SUBJECT, [60; 32]), &SUBJECT, &recent(), NOW)
    };
    // Keys, certificates and lists of the forger's own, of the same names; and the forger's root is not Intel's.
    let other_root = refused(platform.verifier(), &forger);
    assert!(matches!(other_root, Err(Denied::NotGenuine(_))), "{other_root:?}");
    let file = forger.collateral.to_string();
    let theirs = crate::verify::Collateral::parse(file.as_bytes()).unwrap();
    let intel = refused(Verifier::new(theirs), &forger);
    assert!(matches!(intel, Err(Denied::NotGenuine(_))), "{intel:?}");
    let theirs = crate::verify::Collateral::parse(file.as_bytes()).unwrap();
    let mixed = refused(Verifier::with_root(platform.root.clone(), theirs), &forger);
    assert!(matches!(mixed, Err(Denied::NotGenuine(_))), "{mixed:?}");

    // A genuine certificate chain behind a body that another key signed: what the field's own tools accept.
    let genuine = platform.quote(&td(1, &ReportData::Client(SUBJECT, [60; 32]).bytes()));
    let forged = forger.quote(&td(1, &ReportData::Client(SUBJECT, [60; 32]).bytes()));
    let signed = 48 + 584 + 4;
    let mut spliced = genuine.clone();
    spliced[signed..signed + 128].copy_from_slice(&forged[signed..signed + 128]);
    let spliced = Evidence::new([60; 32], spliced).encode();
    let refused = gate(&platform).admit(&spliced, &SUBJECT, &recent(), NOW);
    assert!(matches!(refused, Err(Denied::NotGenuine(_))), "{refused:?}");
}

#[test]
fn a_td_under_debug_is_refused_by_each_bit_and_so_is_a_migratable_one() {
    let platform = Platform::new(&Options::default());
    let verifier = platform.verifier();
    let quote = |attributes| {
        let td = Td { attributes, ..td(1, &[0; 64]) };
        verifier.authenticate(&platform.quote(&td), NOW)
    };
    assert!(quote(ATTRIBUTES).is_ok());
    for bit in 0..8 {
        let refused = quote(ATTRIBUTES | 1 << bit);
        // Bits 1 to 3 and 7 are reserved: the library refuses them itself.
        let expected = match bit {
            0 | 4..7 => {
                matches!(refused, Err(Denied::Debug { attributes }) if attributes == ATTRIBUTES | 1 << bit)
            }
            _ => matches!(refused, Err(Denied::NotGenuine(_))),
        };
        assert!(expected, "bit {bit}: {refused:?}");
    }
    assert!(matches!(quote(ATTRIBUTES | 1 << 29), Err(Denied::NotGenuine(_))));
    assert!(matches!(quote(0), Err(Denied::NotGenuine(_))));
}

#[test]
fn each_state_of_a_platform_is_admitted_only_if_the_policy_names_it() {
    for (status, parsed, by_default) in [
        ("UpToDate", TcbStatus::UpToDate, true),
        ("SWHardeningNeeded", TcbStatus::SWHardeningNeeded, true),
        ("ConfigurationNeeded", TcbStatus::ConfigurationNeeded, false),
        ("ConfigurationAndSWHardeningNeeded", TcbStatus::ConfigurationAndSWHardeningNeeded, false),
        ("OutOfDate", TcbStatus::OutOfDate, false),
        ("OutOfDateConfigurationNeeded", TcbStatus::OutOfDateConfigurationNeeded, false),
    ] {
        let platform = Platform::new(&Options { status, ..Options::default() });
        let evidence = evidence(&platform, &SUBJECT, [60; 32]);
        let admit =
            |policy| Gate::new(platform.verifier(), policy).admit(&evidence, &SUBJECT, &recent(), NOW);
        match admit(policy()) {
            Ok(_) => assert!(by_default, "{status}"),
            Err(Denied::Tcb { status: found, .. }) => assert!(!by_default && found == parsed, "{status}"),
            Err(other) => panic!("{status}: {other}"),
        }
        let text = format!("tcb = [\"{status}\"]\n{}", file(&[1]));
        assert!(admit(Policy::parse(text.as_bytes()).unwrap()).is_ok(), "{status}");
    }
    let platform = Platform::new(&Options { status: "Revoked", ..Options::default() });
    let refused = gate(&platform).admit(&evidence(&platform, &SUBJECT, [60; 32]), &SUBJECT, &recent(), NOW);
    assert!(matches!(refused, Err(Denied::NotGenuine(_))), "{refused:?}");
}

#[test]
fn a_revoked_platform_another_quoting_enclave_and_old_collateral_are_refused() {
    let refused = |options: Options| {
        let platform = Platform::new(&options);
        gate(&platform).admit(&evidence(&platform, &SUBJECT, [60; 32]), &SUBJECT, &recent(), NOW)
    };
    let revoked = refused(Options { revoked: true, ..Options::default() });
    assert!(matches!(revoked, Err(Denied::NotGenuine(ref why)) if why.contains("Revoked")), "{revoked:?}");
    let signer = "00DE2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5";
    let enclave = refused(Options { qe_signer: signer, ..Options::default() });
    assert!(matches!(enclave, Err(Denied::NotGenuine(ref why)) if why.contains("MRSIGNER")), "{enclave:?}");
    let old = refused(Options { next_update: "2026-06-14T00:00:00Z", ..Options::default() });
    assert!(matches!(old, Err(Denied::CollateralTime { .. })), "{old:?}");
}

#[test]
fn an_upgrade_admits_both_releases_and_a_withdrawal_evicts_one() {
    let platform = Platform::new(&Options::default());
    let data = ReportData::Client(SUBJECT, [60; 32]).bytes();
    let ask = |gate: &Gate, release| {
        let quote = platform.quote(&td(release, &data));
        gate.admit(&Evidence::new([60; 32], quote).encode(), &SUBJECT, &recent(), NOW)
    };
    let both = gate(&platform);
    let (one, two) = (ask(&both, 1).unwrap(), ask(&both, 2).unwrap());
    assert_eq!((one.release.as_str(), two.release.as_str()), ("1", "2"));
    assert_eq!((both.still(&one, NOW), both.still(&two, NOW)), (Ok(()), Ok(())));
    let unknown = ask(&both, 3);
    assert!(matches!(unknown, Err(Denied::Measurement { register: Register::MrTd, .. })), "{unknown:?}");

    let withdrawn = Denied::Withdrawn { release: "1".to_owned() };
    let text = file(&[1, 2]).replacen("[[release]]\n", "[[release]]\nwithdrawn = true\n", 1);
    let marked = Gate::new(platform.verifier(), Policy::parse(text.as_bytes()).unwrap());
    assert_eq!(ask(&marked, 1), Err(withdrawn.clone()));
    assert_eq!((marked.still(&one, NOW), marked.still(&two, NOW)), (Err(withdrawn.clone()), Ok(())));
    let dropped = Gate::new(platform.verifier(), Policy::parse(file(&[2]).as_bytes()).unwrap());
    assert!(ask(&dropped, 1).is_err());
    assert_eq!(dropped.still(&one, NOW), Err(withdrawn));

    // Again and again: a quote is good for a day here.
    assert_eq!(both.still(&two, two.until - 1), Ok(()));
    assert_eq!(both.still(&two, two.until), Err(Denied::Due));
}

#[test]
fn what_is_no_evidence_is_refused_before_anything_expensive() {
    let platform = Platform::new(&Options::default());
    let gate = gate(&platform);
    let admit = |bytes: &[u8]| gate.admit(bytes, &SUBJECT, &recent(), NOW);
    assert_eq!(admit(b""), Err(Denied::Evidence(EvidenceError::Missing)));
    let no_quote = Evidence::new([60; 32], vec![]).encode();
    assert!(matches!(admit(&no_quote), Err(Denied::Quote(ParseError::Short { .. }))));
}

#[test]
fn a_policy_that_cannot_be_is_refused_at_its_edges() {
    let parse = |text: &str| Policy::parse(text.as_bytes());
    let many: Vec<u8> = (1..=MAX_RELEASES as u8).collect();
    assert_eq!(parse(&file(&many)).unwrap().releases.len(), MAX_RELEASES);
    let more: Vec<u8> = (1..=MAX_RELEASES as u8 + 1).collect();
    assert_eq!(parse(&file(&more)), Err(PolicyError::Releases(MAX_RELEASES + 1)));
    assert!(matches!(parse(""), Err(PolicyError::Malformed(_))));
    assert_eq!(parse("release = []"), Err(PolicyError::Releases(0)));
    assert_eq!(parse(&file(&[1, 1])), Err(PolicyError::Name("1".to_owned())));
    let same = file(&[1]) + &file(&[1]).replace("\"1\"", "\"x\"");
    assert_eq!(parse(&same), Err(PolicyError::Same("1".to_owned(), "x".to_owned())));
    for (hours, fits) in [(0, false), (1, true), (720, true), (721, false)] {
        assert_eq!(parse(&format!("reattest_hours = {hours}\n{}", file(&[1]))).is_ok(), fits, "{hours}");
    }
    assert_eq!(parse(&format!("tcb = []\n{}", file(&[1]))), Err(PolicyError::NoStatus));
    assert_eq!(parse(&format!("tcb = [\"Revoked\"]\n{}", file(&[1]))), Err(PolicyError::Revoked));
    assert!(matches!(parse(&format!("tcb = [\"Good\"]\n{}", file(&[1]))), Err(PolicyError::Malformed(_))));
    assert!(matches!(parse(&format!("tbc = []\n{}", file(&[1]))), Err(PolicyError::Malformed(_))));
    for typo in [file(&[1]).replace("rtmr2", "rtmr3"), file(&[1]) + "withdrawm = true\n"] {
        assert!(matches!(parse(&typo), Err(PolicyError::Malformed(_))), "{typo}");
    }
    assert!(parse(&(file(&[1]) + "withdrawn = true\n")).unwrap().releases[0].withdrawn);
    let long = file(&[1]).replace("\"1\"", &format!("\"{}\"", "n".repeat(65)));
    assert!(matches!(parse(&long), Err(PolicyError::Name(_))));
    assert!(parse(&long.replace("nn", "n")).is_ok());
    assert_eq!(parse(&" ".repeat(65_537)), Err(PolicyError::TooLong(65_537)));
    // What was parsed can be published and parsed again.
    let policy = parse(&file(&[1, 2])).unwrap();
    assert_eq!(policy.releases[0].measurements, measurements(1));
    assert_eq!(parse(&toml::to_string(&policy).unwrap()), Ok(policy));
}
