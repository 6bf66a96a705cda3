//! A platform of the tests' own: certificates, revocation lists and collateral under a root that only tests can name, and
//! a quoting enclave that signs what it is told.

#![allow(clippy::unwrap_used)]

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use crate::quote::Digest;
use crate::verify::{Collateral, Measurements, Verifier};

/// 2026-06-15T00:00:00Z, when everything is valid.
pub(crate) const NOW: u64 = 1_781_481_600;
/// `SEPT_VE_DISABLE`, which every TD has to have.
pub(crate) const ATTRIBUTES: u64 = 1 << 28;

/// A TD to quote.
#[derive(Clone)]
pub(crate) struct Td {
    pub(crate) attributes: u64,
    pub(crate) measurements: Measurements,
    pub(crate) report_data: [u8; 64],
}

/// Measurements that are all of one byte.
pub(crate) fn measurements(byte: u8) -> Measurements {
    Measurements { mrtd: Digest([byte; 48]), rtmr1: Digest([byte; 48]), rtmr2: Digest([byte; 48]) }
}

/// A TD that measures to [`measurements`].
pub(crate) fn td(byte: u8, report_data: &[u8; 64]) -> Td {
    Td { attributes: ATTRIBUTES, measurements: measurements(byte), report_data: *report_data }
}

/// What may be wrong with a platform.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) status: &'static str,
    pub(crate) next_update: &'static str,
    pub(crate) revoked: bool,
    pub(crate) qe_signer: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        let (status, next_update) = ("UpToDate", "2026-07-01T00:00:00Z");
        Self { status, next_update, revoked: false, qe_signer: SIGNER }
    }
}

const SIGNER: &str = "DC9E2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5";
const FMSPC: [u8; 6] = [0xb0, 0xc0, 0x6f, 0, 0, 0];

pub(crate) struct Platform {
    pub(crate) root: Vec<u8>,
    /// As the file that an operator has.
    pub(crate) collateral: Value,
    attestation: EcdsaKeyPair,
    /// Everything of the quote behind the signature over the body.
    auth: Vec<u8>,
}

impl Platform {
    pub(crate) fn new(options: &Options) -> Self {
        let root = authority("Test Root CA", None);
        let ca = authority("Test PCK Platform CA", Some(&root));
        let (pck, pck_key) = leaf("Test PCK Certificate", &ca, vec![sgx_extension()]);
        let (signer, signer_key) = leaf("Test TCB Signing", &root, vec![]);

        let svn = |svns: [u8; 16]| svns.map(|svn| json!({ "svn": svn }));
        let tcb_info = json!({
            "id": "TDX", "version": 3, "issueDate": "2026-06-01T00:00:00Z", "nextUpdate": options.next_update,
            "fmspc": hex::encode_upper(FMSPC), "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": 20,
            "tdxModule": { "mrsigner": "00".repeat(48), "attributes": "00".repeat(8), "attributesMask": "FF".repeat(8) },
            "tdxModuleIdentities": [],
            "tcbLevels": [{
                "tcb": { "sgxtcbcomponents": svn([1; 16]), "pcesvn": 11, "tdxtcbcomponents": svn([0; 16]) },
                "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": options.status,
                "advisoryIDs": if options.status == "UpToDate" { json!([]) } else { json!(["INTEL-SA-00001"]) },
            }],
        })
        .to_string();
        let qe_identity = json!({
            "id": "TD_QE", "version": 2, "issueDate": "2026-06-01T00:00:00Z", "nextUpdate": "2026-07-01T00:00:00Z",
            "tcbEvaluationDataNumber": 20, "miscselect": "00000000", "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000", "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": options.qe_signer, "isvprodid": 2,
            "tcbLevels": [{ "tcb": { "isvsvn": 4 }, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": "UpToDate" }],
        })
        .to_string();
        let chain = |certificate: &str| format!("{certificate}{}", root.pem());
        let collateral = json!({
            "pck_crl_issuer_chain": chain(&ca.pem()),
            "root_ca_crl": hex::encode(revocations(&root, None)),
            "pck_crl": hex::encode(revocations(&ca, options.revoked.then(|| SerialNumber::from(7)))),
            "tcb_info_issuer_chain": chain(&signer),
            "tcb_info_signature": hex::encode(sign(&signer_key, tcb_info.as_bytes())),
            "tcb_info": tcb_info,
            "qe_identity_issuer_chain": chain(&signer),
            "qe_identity_signature": hex::encode(sign(&signer_key, qe_identity.as_bytes())),
            "qe_identity": qe_identity,
        });

        let attestation = key();
        let public = attestation.public_key_raw()[1..].to_vec();
        let report = qe_report(&public);
        let pck_chain = format!("{pck}{}{}\0", ca.pem(), root.pem());
        let mut inner = report.to_vec();
        inner.extend(sign(&pck_key, &report));
        inner.extend([32, 0]);
        inner.extend([0xaa; 32]);
        inner.extend([5, 0]);
        inner.extend((pck_chain.len() as u32).to_le_bytes());
        inner.extend(pck_chain.as_bytes());
        let mut auth = public;
        auth.extend([6, 0]);
        auth.extend((inner.len() as u32).to_le_bytes());
        auth.extend(inner);
        Self { root: root.der().to_vec(), collateral, attestation: signing(&attestation), auth }
    }

    /// A verifier that trusts this platform's root.
    pub(crate) fn verifier(&self) -> Verifier {
        let file = self.collateral.to_string();
        Verifier::with_root(self.root.clone(), Collateral::parse(file.as_bytes()).unwrap())
    }

    /// A quote of version 4.
    pub(crate) fn quote(&self, td: &Td) -> Vec<u8> {
        let mut out = vec![4, 0, 2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0];
        out.extend(dcap_qvl::INTEL_QE_VENDOR_ID);
        out.extend([0; 20]);
        let mut body = [0; 584];
        body[..3].copy_from_slice(&[5, 0, 2]);
        body[120..128].copy_from_slice(&td.attributes.to_le_bytes());
        body[136..184].copy_from_slice(&td.measurements.mrtd.0);
        body[376..424].copy_from_slice(&td.measurements.rtmr1.0);
        body[424..472].copy_from_slice(&td.measurements.rtmr2.0);
        body[520..].copy_from_slice(&td.report_data);
        out.extend(body);
        let signature = self.attestation.sign(&SystemRandom::new(), &out).unwrap();
        out.extend((64 + self.auth.len() as u32).to_le_bytes());
        out.extend(signature.as_ref());
        out.extend(&self.auth);
        out
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn signing(key: &KeyPair) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random).unwrap()
}

fn sign(key: &KeyPair, bytes: &[u8]) -> Vec<u8> {
    signing(key).sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2036, 1, 1));
    params
}

fn authority(
    name: &str,
    above: Option<&CertifiedIssuer<'static, KeyPair>>,
) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    match above {
        None => CertifiedIssuer::self_signed(params, key()),
        Some(issuer) => CertifiedIssuer::signed_by(params, key(), issuer),
    }
    .unwrap()
}

/// Certificate in PEM, and its key. The serial number is 7.
fn leaf(
    name: &str,
    issuer: &CertifiedIssuer<'static, KeyPair>,
    extensions: Vec<CustomExtension>,
) -> (String, KeyPair) {
    let (mut params, key) = (params(name), key());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.custom_extensions = extensions;
    params.serial_number = Some(SerialNumber::from(7));
    (params.signed_by(&key, issuer).unwrap().pem(), key)
}

fn revocations(issuer: &CertifiedIssuer<'static, KeyPair>, revoked: Option<SerialNumber>) -> Vec<u8> {
    let revoked = revoked.map(|serial_number| RevokedCertParams {
        serial_number,
        revocation_time: date_time_ymd(2026, 6, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 6, 1),
        next_update: date_time_ymd(2026, 7, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.into_iter().collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

fn qe_report(attestation: &[u8]) -> [u8; 384] {
    let mut out = [0; 384];
    out[48] = 0x11;
    hex::decode_to_slice(SIGNER, &mut out[128..160]).unwrap();
    (out[256], out[258]) = (2, 4);
    let bound = digest(&SHA256, &[attestation, &[0xaa; 32]].concat());
    out[320..352].copy_from_slice(bound.as_ref());
    out
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match value.len() {
        n @ 0..128 => out.push(n as u8),
        n @ 128..256 => out.extend([0x81, n as u8]),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend(value);
    out
}

/// `SEQUENCE { OID, value }`, the object id below that of Intel's extension.
fn entry(below: &[u8], value: &[u8]) -> Vec<u8> {
    let id = [&[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1], below].concat();
    tlv(0x30, &[tlv(6, &id), value.to_vec()].concat())
}

fn sgx_extension() -> CustomExtension {
    let tcb = [entry(&[2, 17], &tlv(2, &[11])), entry(&[2, 18], &tlv(4, &[1; 16]))].concat();
    let all = [
        entry(&[1], &tlv(4, &[9; 16])),
        entry(&[2], &tlv(0x30, &tcb)),
        entry(&[3], &tlv(4, &[0; 2])),
        entry(&[4], &tlv(4, &FMSPC)),
        entry(&[5], &tlv(10, &[1])),
    ];
    CustomExtension::from_oid_content(&[1, 2, 840, 113_741, 1, 13, 1], tlv(0x30, &all.concat()))
}
