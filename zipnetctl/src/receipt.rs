//! Receipts in files: JSON that can be read, and the signed bytes that count.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zipnet_dcnet::{
    ids::DeploymentId,
    receipt::{Receipt, ReceiptError, Shown, VERSION},
};
use zipnet_proto::MAX_GRPC_RESPONSE_BYTES;

use crate::{failure::Failure, text};

/// Largest file that is read as a receipt, in bytes: what the daemon can answer, in base64, and its readable fields.
pub(crate) const MAX_FILE_BYTES: u64 = 2 * MAX_GRPC_RESPONSE_BYTES as u64;

/// The file. Everything but `receipt` is there to be read, and has to agree with it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    deployment: Option<DeploymentId>,
    instance: Option<String>,
    round: Option<u64>,
    slot: Option<u32>,
    payload: Option<String>,
    encoding: Option<String>,
    receipt: String,
}

/// A receipt that holds.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) receipt: Receipt,
    pub(crate) shown: Shown,
}

impl Verified {
    /// The file that says it.
    pub(crate) fn file(&self, bytes: &[u8]) -> File {
        let (payload, encoding) = text::encoded(&self.shown.payload);
        File {
            deployment: Some(self.shown.deployment),
            instance: Some(self.receipt.descriptor.instance.clone()),
            round: Some(self.shown.round),
            slot: Some(self.shown.slot),
            payload: Some(payload),
            encoding: Some(encoding.to_owned()),
            receipt: STANDARD.encode(bytes),
        }
    }
}

/// Checks the bytes of a receipt; `from` names them in errors.
pub(crate) fn verify(bytes: &[u8], from: &Path) -> Result<Verified, Failure> {
    let invalid = |source| Failure::Receipt { path: from.to_owned(), source: Box::new(source) };
    // The layout of another version is another one.
    if let Some(version) = bytes.first().filter(|version| **version != VERSION) {
        return Err(invalid(ReceiptError::Version(*version)));
    }
    let receipt: Receipt = borsh::from_slice(bytes)
        .map_err(|e| Failure::File { path: from.to_owned(), problem: format!("is no receipt: {e}") })?;
    let shown = receipt.verify().map_err(invalid)?;
    Ok(Verified { receipt, shown })
}

/// Checks a receipt's file, and that what can be read there is what was signed.
pub(crate) fn verify_file(file: &[u8], from: &Path) -> Result<Verified, Failure> {
    let problem = |problem: String| Failure::File { path: from.to_owned(), problem };
    let file: File = serde_json::from_slice(file).map_err(|e| problem(format!("is no receipt: {e}")))?;
    let bytes = STANDARD
        .decode(&file.receipt)
        .map_err(|e| problem(format!("is no receipt: field receipt is not base64: {e}")))?;
    let verified = verify(&bytes, from)?;
    let signed = verified.file(&bytes);
    for (field, says, is) in [
        ("deployment", shown(file.deployment.as_ref()), shown(signed.deployment.as_ref())),
        ("instance", file.instance, signed.instance),
        ("round", shown(file.round.as_ref()), shown(signed.round.as_ref())),
        ("slot", shown(file.slot.as_ref()), shown(signed.slot.as_ref())),
        ("encoding", file.encoding, signed.encoding),
        ("payload", file.payload, signed.payload),
    ] {
        if let (Some(says), Some(is)) = (says, is)
            && says != is
        {
            // Not the payload: somebody else's words belong into no error.
            let problem_is = if field == "payload" {
                "has another payload than the one that was signed".to_owned()
            } else {
                format!("says {field} {}, what was signed says {is}", text::tame(&says))
            };
            return Err(problem(problem_is));
        }
    }
    Ok(verified)
}

fn shown(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}
