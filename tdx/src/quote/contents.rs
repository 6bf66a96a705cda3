//! What is in a TDX quote, read without verifying anything: for showing it, and to refuse the obvious before the
//! expensive. Layout: Intel TDX DCAP Quoting Library API, appendix "Quote Format" (versions 4 and 5).

use super::Digest;
use super::evidence::MAX_QUOTE_BYTES;

const HEADER: usize = 48;
const BODY_10: usize = 584;
const BODY_15: usize = 648;
const BODY_15_EX: usize = 885;
const SIGNATURE_AND_KEY: usize = 64 + 64;
const ENCLAVE_REPORT: usize = 384;
const TEE_TDX: u32 = 0x81;
/// ECDSA over P-256, the one kind that the verifier knows.
const KEY_P256: u16 = 2;
/// `TD_ATTRIBUTES` bits 0 to 7: debugging and profiling from outside. Any of them opens the TD to its host.
const UNDER_DEBUG: u64 = 0xff;

/// What a quote says about its TD. Worth nothing until it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Version of the quote, 4 or 5.
    pub version: u16,
    /// `TEE_TCB_SVN`: security versions of the TDX module.
    pub tee_tcb_svn: [u8; 16],
    /// Measurement of the TDX module.
    pub mr_seam: Digest,
    /// `TD_ATTRIBUTES`.
    pub attributes: u64,
    /// `MR_TD`: the initial memory, which is the firmware and nothing else.
    pub mrtd: Digest,
    /// RTMR0 to RTMR3.
    pub rtmr: [Digest; 4],
    /// What the guest asked to be in the quote.
    pub report_data: [u8; 64],
}

impl Contents {
    /// Whether the host may look into the TD.
    pub fn under_debug(&self) -> bool {
        self.attributes & UNDER_DEBUG != 0
    }
}

/// Bytes that are no TDX quote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Over the limit.
    #[error("the quote has {0} bytes, at most {MAX_QUOTE_BYTES} are allowed")]
    TooLong(usize),
    /// It ends too early.
    #[error("the quote ends after {has} bytes, its {what} goes to byte {needs}")]
    Short {
        /// Which part is cut.
        what: &'static str,
        /// Where that part ends.
        needs: usize,
        /// How many bytes there are.
        has: usize,
    },
    /// Another version.
    #[error("the quote has version {0}, only 4 and 5 are TDX quotes")]
    Version(u16),
    /// Another kind of enclave.
    #[error("the quote is of TEE type {0:#x}, TDX is 0x81")]
    Tee(u32),
    /// Another kind of attestation key.
    #[error("the quote is signed by a key of type {0}, only 2 (ECDSA P-256) is known")]
    Key(u16),
    /// Another kind of body.
    #[error("the quote has a body of type {kind} and {size} bytes, which is no TD report")]
    Body {
        /// Type of the body.
        kind: u16,
        /// Its size as stated, in bytes.
        size: u32,
    },
    /// Another form of certification.
    #[error("the quote's {what} is of type {kind}, only {known} is known")]
    Certification {
        /// Which part.
        what: &'static str,
        /// Its type.
        kind: u16,
        /// The type that it should be of.
        known: u16,
    },
    /// Parts of the signatures that do not add up.
    #[error("the {what} of the quote says {says} bytes, it has {has}")]
    Length {
        /// Which part.
        what: &'static str,
        /// What it says.
        says: usize,
        /// What is there.
        has: usize,
    },
    /// Something comes after the quote.
    #[error("byte {0} after the end of the quote is not zero")]
    Trailing(usize),
}

/// A quote of the right form. Its bytes end where the quote ends: zeros that a provider pads with are left out.
#[derive(Clone, Copy, Debug)]
pub struct Quote<'a> {
    bytes: &'a [u8],
    body: &'a [u8],
}

impl<'a> Quote<'a> {
    /// Finds the parts of a quote.
    ///
    /// # Errors
    /// [`ParseError`] says what does not fit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_QUOTE_BYTES {
            return Err(ParseError::TooLong(bytes.len()));
        }
        let header = part(bytes, 0, HEADER, "header")?;
        let version = u16_at(header, 0);
        if version != 4 && version != 5 {
            return Err(ParseError::Version(version));
        }
        if u16_at(header, 2) != KEY_P256 {
            return Err(ParseError::Key(u16_at(header, 2)));
        }
        if u32_at(header, 4) != TEE_TDX {
            return Err(ParseError::Tee(u32_at(header, 4)));
        }
        let (start, len) = if version == 4 {
            (HEADER, BODY_10)
        } else {
            let kind = part(bytes, HEADER, 6, "kind of body")?;
            let (kind, size) = (u16_at(kind, 0), u32_at(kind, 2));
            let len = match kind {
                2 => BODY_10,
                3 => BODY_15,
                4 => BODY_15_EX,
                _ => return Err(ParseError::Body { kind, size }),
            };
            if size as usize != len {
                return Err(ParseError::Body { kind, size });
            }
            (HEADER + 6, len)
        };
        let body = part(bytes, start, len, "body")?;
        let signed = start + len;
        let size = u32_at(part(bytes, signed, 4, "length of signatures")?, 0) as usize;
        check_lengths(part(bytes, signed + 4, size, "signatures")?)?;
        let (bytes, rest) = bytes.split_at(signed + 4 + size);
        if let Some(at) = rest.iter().position(|byte| *byte != 0) {
            return Err(ParseError::Trailing(at));
        }
        Ok(Self { bytes, body })
    }

    /// The quote without padding.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it says.
    pub fn contents(&self) -> Contents {
        let digest = |at| Digest(array(self.body, at));
        Contents {
            version: u16_at(self.bytes, 0),
            tee_tcb_svn: array(self.body, 0),
            mr_seam: digest(16),
            attributes: u64::from_le_bytes(array(self.body, 120)),
            mrtd: digest(136),
            rtmr: [328, 376, 424, 472].map(digest),
            report_data: array(self.body, 520),
        }
    }
}

/// The one form that quoting services make: certification data of type 6 (the quoting enclave's report), in it type 5 (a
/// chain of certificates). Every length has to be that of what is there: nothing may hide between the parts.
fn check_lengths(auth: &[u8]) -> Result<(), ParseError> {
    let outer = part(auth, 0, SIGNATURE_AND_KEY + 6, "signature and key")?;
    kind("certification data", u16_at(outer, SIGNATURE_AND_KEY), 6)?;
    let enclave = rest("certification data", u32_at(outer, SIGNATURE_AND_KEY + 2), &auth[outer.len()..])?;
    let report = part(enclave, 0, ENCLAVE_REPORT + 64 + 2, "quoting enclave's report")?;
    let chosen = usize::from(u16_at(report, ENCLAVE_REPORT + 64));
    let head = part(enclave, report.len() + chosen, 6, "certificates")?;
    kind("certificates", u16_at(head, 0), 5)?;
    rest("certificates", u32_at(head, 2), &enclave[report.len() + chosen + 6..])?;
    Ok(())
}

fn kind(what: &'static str, kind: u16, known: u16) -> Result<(), ParseError> {
    if kind == known { Ok(()) } else { Err(ParseError::Certification { what, kind, known }) }
}

fn rest<'a>(what: &'static str, says: u32, bytes: &'a [u8]) -> Result<&'a [u8], ParseError> {
    if says as usize == bytes.len() {
        return Ok(bytes);
    }
    Err(ParseError::Length { what, says: says as usize, has: bytes.len() })
}

fn part<'a>(bytes: &'a [u8], start: usize, len: usize, what: &'static str) -> Result<&'a [u8], ParseError> {
    let needs = start.saturating_add(len);
    bytes.get(start..needs).ok_or(ParseError::Short { what, needs, has: bytes.len() })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("invariant: callers look at parts of known length")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}
