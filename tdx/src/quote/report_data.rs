//! The 64 bytes that a quote carries for the guest (protocol.md section 19): a hash, so that a quote binds as much as
//! it likes, under a personalisation per purpose, so that no quote passes for one of another purpose.

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::hash::{Use, hash64};
use zipnet_dcnet::ids::{ClientId, DeploymentId, RecordDigest, Session};

/// Report data in one of our formats, as what it is a hash of. There is no other way to make some, so a helper that quotes
/// only this cannot be used to quote what somebody else wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ReportData {
    /// For a server: the quote is about this client, made after this record (the deployment id while there is none).
    Client(Subject, RecordDigest),
    /// For a key broker.
    Key(KeyRelease),
    /// For a client: the quote is about this server.
    Server(ServerKeys),
}

impl ReportData {
    /// The 64 bytes.
    pub fn bytes(&self) -> [u8; 64] {
        let mut out = [0; 64];
        match self {
            Self::Client(Subject { deployment, client, session }, record) => {
                hash64(Use::QUOTE_CLIENT, &[&deployment.0, &client.0, session, record], &mut out);
            }
            Self::Key(KeyRelease { broker, nonce, request }) => {
                hash64(Use::QUOTE_KEY, &[broker, nonce, request], &mut out);
            }
            Self::Server(ServerKeys { deployment, bundle, boot }) => {
                hash64(Use::QUOTE_SERVER, &[&deployment.0, bundle, boot], &mut out);
            }
        }
        out
    }
}

/// Whom a client's quote is for: it says that the secrets behind this client id and session are in the measured guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Subject {
    /// Where.
    pub deployment: DeploymentId,
    /// Who: the hash of its bundle, hence of its public keys.
    pub client: ClientId,
    /// Which run of it.
    pub session: Session,
}

/// Whom a server's quote is for: it says that the secrets behind this bundle are in the measured guest, in this run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ServerKeys {
    /// Where.
    pub deployment: DeploymentId,
    /// The hash of the server's bundle, as a client's id is one.
    pub bundle: [u8; 32],
    /// Its boot nonce, which a registration signs: no quote of another run passes.
    pub boot: [u8; 32],
}

/// What a guest asks of a key broker, in a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyRelease {
    /// The broker, by its X25519 key.
    pub broker: [u8; 32],
    /// The broker's challenge.
    pub nonce: [u8; 32],
    /// The digest of the whole request, the guest's ephemeral key and the purpose included.
    pub request: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject =
        Subject { deployment: DeploymentId([1; 32]), client: ClientId([2; 32]), session: [3; 32] };
    const SERVER: ServerKeys =
        ServerKeys { deployment: DeploymentId([1; 32]), bundle: [2; 32], boot: [3; 32] };
    const KEY: KeyRelease = KeyRelease { broker: [1; 32], nonce: [2; 32], request: [3; 32] };

    #[test]
    fn every_field_counts_and_so_does_the_purpose() {
        let data = ReportData::Client(SUBJECT, [4; 32]).bytes();
        let others = [
            ReportData::Client(Subject { deployment: DeploymentId([9; 32]), ..SUBJECT }, [4; 32]),
            ReportData::Client(Subject { client: ClientId([9; 32]), ..SUBJECT }, [4; 32]),
            ReportData::Client(Subject { session: [9; 32], ..SUBJECT }, [4; 32]),
            ReportData::Client(SUBJECT, [9; 32]),
            ReportData::Key(KEY),
            ReportData::Server(SERVER),
        ];
        assert!(others.iter().all(|other| other.bytes() != data));
        let data = ReportData::Server(SERVER).bytes();
        let others = [
            ServerKeys { deployment: DeploymentId([9; 32]), ..SERVER },
            ServerKeys { bundle: [9; 32], ..SERVER },
            ServerKeys { boot: [9; 32], ..SERVER },
        ];
        assert!(others.iter().all(|other| ReportData::Server(*other).bytes() != data));
        assert!(ReportData::Key(KEY).bytes() != data);
        let data = ReportData::Key(KEY).bytes();
        let others = [
            KeyRelease { broker: [9; 32], ..KEY },
            KeyRelease { nonce: [9; 32], ..KEY },
            KeyRelease { request: [9; 32], ..KEY },
        ];
        assert!(others.iter().all(|other| ReportData::Key(*other).bytes() != data));
    }

    /// Computed with Python: `hashlib.blake2b(bytes([1])*32 + bytes([2])*32 + …, person=b"zn1 quote client")`.
    #[test]
    fn known_answers() {
        assert_eq!(
            hex::encode(ReportData::Client(SUBJECT, [4; 32]).bytes()),
            "43c1deb842ada3076ac1a0f9aecbf33828227fd9c358d407eb3702760ba0fbb739446ea8c280f8ee7ea1f3625d5b7477518b5371ad8152e3f2488ce66cb1d2d9"
        );
        assert_eq!(
            hex::encode(ReportData::Key(KEY).bytes()),
            "3ee399233d7652bb2e3639d47efa4a448d0a4d1d165e02ea2360f7abb1d1b7c150af4b78439084f86ffcea5e305a6a39b106527c1df40c919fdcf39b44f9abfb"
        );
        assert_eq!(
            hex::encode(ReportData::Server(SERVER).bytes()),
            "1b6a73c163f8f7502223f7d4897a699172f0ee21fbb8947d2e888d0c619314e10552b8bd246e70017e9ab90123348b7573c22849d7f7ab364550b6d603a0bed8"
        );
    }
}
