//! Real quotes, at the time of their collateral. Where they come from: tests/data/README.md.

use crate::quote::{ParseError, Quote};
use crate::testing::measurements;
use crate::verify::{
    Authenticate, Collateral, CollateralError, Denied, Expiry, MAX_COLLATERAL_BYTES, Measurements, Policy,
    Register, Release, TcbStatus, Verifier, WARN_BEFORE_SECS,
};

pub(super) struct Recording {
    pub(super) name: &'static str,
    pub(super) quote: &'static [u8],
    pub(super) collateral: &'static [u8],
    /// The middle of the time for which the collateral holds.
    pub(super) at: u64,
    /// None if the platform is below everything that Intel lists.
    pub(super) status: Option<TcbStatus>,
}

macro_rules! recording {
    ($name:literal, $at:literal, $status:expr) => {
        Recording {
            name: $name,
            quote: include_bytes!(concat!("../../../tests/data/", $name, ".quote")),
            collateral: include_bytes!(concat!("../../../tests/data/", $name, ".collateral.json")),
            at: $at,
            status: $status,
        }
    };
}

/// Of 2025-06-30, 2026-03-01 and 2026-10-20.
pub(super) const ALL: [Recording; 3] = [
    recording!("v4", 1_751_241_600, Some(TcbStatus::UpToDate)),
    recording!("v5", 1_772_323_200, None),
    recording!("v5ex", 1_792_454_400, Some(TcbStatus::UpToDate)),
];

impl Recording {
    pub(super) fn verifier(&self) -> Verifier {
        Verifier::new(Collateral::parse(self.collateral).unwrap())
    }
}

fn policy(measurements: Measurements, tcb: Vec<TcbStatus>) -> Policy {
    let release = Release { name: "recorded".to_owned(), measurements, withdrawn: false };
    Policy { tcb, reattest_hours: 24, releases: vec![release] }
}

/// Those whose platform was good at its time.
pub(super) fn good() -> [&'static Recording; 2] {
    [&ALL[0], &ALL[2]]
}

#[test]
fn real_quotes_are_genuine_at_their_time_and_say_what_they_say() {
    for r in good() {
        let genuine = r.verifier().authenticate(r.quote, r.at).unwrap();
        assert_eq!(Some(genuine.tcb), r.status, "{}", r.name);
        // Our own reading of the bytes agrees with that of the library.
        assert_eq!(genuine.contents, Quote::parse(r.quote).unwrap().contents(), "{}", r.name);
        assert!(genuine.collateral_until >= r.at, "{}", r.name);
        let release = policy(genuine.measurements(), vec![TcbStatus::UpToDate]);
        assert_eq!(release.appraise(&genuine).unwrap().name, "recorded");
        let other = policy(genuine.measurements(), vec![TcbStatus::OutOfDate]);
        assert!(matches!(other.appraise(&genuine), Err(Denied::Tcb { status: TcbStatus::UpToDate, .. })));
    }
    let v4 = ALL[0].verifier().authenticate(ALL[0].quote, ALL[0].at).unwrap();
    assert_eq!((v4.contents.version, v4.fmspc.as_str()), (4, "b0c06f000000"));
    assert!(v4.contents.mrtd.to_string().starts_with("91eb2b44d141d4ec"));
}

#[test]
fn a_real_platform_that_is_below_every_level_is_refused() {
    let r = &ALL[1];
    assert_eq!(r.status, None);
    assert_eq!(Quote::parse(r.quote).unwrap().contents().version, 5);
    let refused = r.verifier().authenticate(r.quote, r.at);
    assert!(
        matches!(refused, Err(Denied::NotGenuine(ref why)) if why.contains("No matching TCB level")),
        "{refused:?}"
    );
}

#[test]
fn before_and_after_its_time_collateral_shows_nothing() {
    for r in good() {
        let collateral = Collateral::parse(r.collateral).unwrap();
        let until = collateral.until();
        let at = |now| r.verifier().authenticate(r.quote, now);
        assert!(at(until - 1).is_ok(), "{}", r.name);
        assert!(matches!(at(until), Err(Denied::CollateralTime { .. })), "{}", r.name);
        assert!(matches!(at(r.at - 30 * 86_400), Err(Denied::CollateralTime { .. })), "{}", r.name);
        assert!(matches!(at(0), Err(Denied::CollateralTime { .. })) && at(u64::MAX).is_err());

        assert_eq!(collateral.expiry(until - WARN_BEFORE_SECS - 1), None);
        assert_eq!(collateral.expiry(until - WARN_BEFORE_SECS), Some(Expiry::Soon(WARN_BEFORE_SECS)));
        assert_eq!(collateral.expiry(until - 1), Some(Expiry::Soon(1)));
        assert_eq!(collateral.expiry(until), Some(Expiry::Over(0)));
    }
}

#[test]
fn collateral_of_another_platform_family_does_not_do_and_many_in_one_file_do() {
    let [v4, v5, _] = &ALL;
    assert!(v4.verifier().authenticate(v4.quote, v4.at).is_ok());
    let other = v5.verifier().authenticate(v4.quote, v4.at);
    assert!(
        matches!(other, Err(Denied::NoCollateral { ref fmspc, .. }) if fmspc == "b0c06f000000"),
        "{other:?}"
    );
    // The other is of another month, so the file as a whole is over, and what is asked for is not.
    let both = [b"[", v5.collateral, b",", v4.collateral, b"]"].concat();
    let collateral = Collateral::parse(&both).unwrap();
    assert_eq!(collateral.until(), Collateral::parse(v4.collateral).unwrap().until());
    assert!(Verifier::new(collateral).authenticate(v4.quote, v4.at).is_ok());
}

#[test]
fn what_is_no_collateral_is_refused() {
    let error = |file: &[u8]| Collateral::parse(file).unwrap_err();
    assert_eq!(
        error(&vec![b' '; MAX_COLLATERAL_BYTES + 1]),
        CollateralError::TooLong(MAX_COLLATERAL_BYTES + 1)
    );
    assert!(matches!(error(&vec![b' '; MAX_COLLATERAL_BYTES]), CollateralError::Malformed(_)));
    assert!(matches!(error(b"{}"), CollateralError::Malformed(_)));
    assert_eq!(error(b"[]"), CollateralError::Items(0));
    let mut broken: serde_json::Value = serde_json::from_slice(ALL[0].collateral).unwrap();
    let crowd = serde_json::to_vec(&vec![broken.clone(); 129]).unwrap();
    assert_eq!(error(&crowd), CollateralError::Items(129));
    broken["pck_crl"] = "00".into();
    let error = error(broken.to_string().as_bytes());
    assert!(matches!(error, CollateralError::Item { number: 1, what: "PCK CRL", .. }), "{error}");
}

#[test]
fn altered_collateral_shows_nothing() {
    let r = &ALL[0];
    let honest: serde_json::Value = serde_json::from_slice(r.collateral).unwrap();
    for (field, from, to) in [
        ("tcb_info", "\"pcesvn\":11", "\"pcesvn\":10"),
        ("tcb_info", "UpToDate", "SWHardeningNeeded"),
        ("qe_identity", "\"isvsvn\":4", "\"isvsvn\":3"),
    ] {
        let mut altered = honest.clone();
        let text = altered[field].as_str().unwrap().replace(from, to);
        assert_ne!(honest[field], text, "{field}: nothing was altered");
        altered[field] = text.into();
        let collateral = Collateral::parse(altered.to_string().as_bytes()).unwrap();
        let refused = Verifier::new(collateral).authenticate(r.quote, r.at);
        assert!(matches!(refused, Err(Denied::NotGenuine(_))), "{field}: {refused:?}");
    }
    // A revocation list whose signature does not hold.
    for field in ["root_ca_crl", "pck_crl"] {
        let mut altered = honest.clone();
        let mut der = hex::decode(altered[field].as_str().unwrap()).unwrap();
        *der.last_mut().unwrap() ^= 1;
        altered[field] = hex::encode(der).into();
        let collateral = Collateral::parse(altered.to_string().as_bytes()).unwrap();
        let refused = Verifier::new(collateral).authenticate(r.quote, r.at);
        assert!(matches!(refused, Err(Denied::NotGenuine(_))), "{field}: {refused:?}");
    }
}

#[test]
fn a_measurement_that_is_off_by_one_bit_is_another_release() {
    let r = &ALL[0];
    let genuine = r.verifier().authenticate(r.quote, r.at).unwrap();
    let right = genuine.measurements();
    for bit in (0..384).step_by(7) {
        let off = |mut digest: crate::quote::Digest| {
            digest.0[bit / 8] ^= 1 << (bit % 8);
            digest
        };
        for (register, wrong) in [
            (Register::MrTd, Measurements { mrtd: off(right.mrtd), ..right }),
            (Register::Rtmr1, Measurements { rtmr1: off(right.rtmr1), ..right }),
            (Register::Rtmr2, Measurements { rtmr2: off(right.rtmr2), ..right }),
        ] {
            let mut policy = policy(wrong, vec![TcbStatus::UpToDate]);
            // Far from everything, so that the refusal has to name the near one.
            let far = Release { name: "far".to_owned(), measurements: measurements(1), withdrawn: false };
            policy.releases.insert(0, far);
            match policy.appraise(&genuine) {
                Err(Denied::Measurement { register: found, release, .. }) => {
                    assert_eq!((found, release.as_str()), (register, "recorded"));
                }
                other => panic!("{register} bit {bit}: {other:?}"),
            }
        }
    }
}

#[test]
fn other_enclaves_cut_quotes_and_bytes_behind_the_end_are_refused() {
    let sgx = include_bytes!("../../../tests/data/sgx.quote");
    assert_eq!(Quote::parse(sgx).unwrap_err(), ParseError::Version(3));
    for r in good() {
        let (exact, verifier) = (Quote::parse(r.quote).unwrap().bytes(), r.verifier());
        for len in (0..exact.len()).step_by(97).chain([exact.len() - 1]) {
            let cut = Quote::parse(&exact[..len]).unwrap_err();
            assert!(matches!(cut, ParseError::Short { has, .. } if has == len), "{}: {len}", r.name);
        }
        let mut longer = exact.to_vec();
        longer.extend([0; 9]);
        let size = if r.name == "v4" { 632 } else { 54 + 885 };
        let says = u32::from_le_bytes(exact[size..size + 4].try_into().unwrap());
        longer[size..size + 4].copy_from_slice(&(says + 9).to_le_bytes());
        let hidden = Quote::parse(&longer);
        assert!(matches!(hidden, Err(ParseError::Length { what: "certification data", .. })), "{hidden:?}");
        let padded = [exact, &[0; 9]].concat();
        assert_eq!(verifier.authenticate(&padded, r.at), verifier.authenticate(r.quote, r.at), "{}", r.name);
        let behind = [exact, &[0, 0, 1]].concat();
        assert_eq!(verifier.authenticate(&behind, r.at), Err(Denied::Quote(ParseError::Trailing(2))));
    }
}
