//! Where the key-encryption key comes from.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;
use zipnet_dcnet::hash::{Use, keyed32};

use super::envelope::Header;

/// Who keeps the key. The byte is in the envelope: 3 is for a TPM 2, 4 for a sealing key of TDX itself, both to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Provider {
    /// A file beside the envelope: protects from nobody who has the disk.
    KeyFile = 1,
    /// A key broker, which gives the key to genuine guests of an admitted release.
    Broker = 2,
}

impl Provider {
    /// The one with this byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::KeyFile, Self::Broker].into_iter().find(|provider| *provider as u8 == byte)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyFile => "key file",
            Self::Broker => "key broker",
        })
    }
}

/// Names a key-encryption key; says nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct KeyId(pub [u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A key-encryption key. On the heap, so that no moved copy stays behind; wiped on drop.
pub struct Kek(pub(super) Box<Zeroizing<[u8; 32]>>);

impl Kek {
    /// Of these bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let mut kek = Box::new(Zeroizing::new([0; 32]));
        kek.copy_from_slice(bytes);
        Self(kek)
    }

    /// The key of what is stored beside the identity. Not of the identity: it stays when that is replaced.
    pub fn store_key(&self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        keyed32(Use::SEAL_STORE, &**self.0, &[], &mut key);
        key
    }
}

/// A key, and what its keeper says about it.
pub struct Grant {
    /// The key.
    pub kek: Kek,
    /// Its name.
    pub key_id: KeyId,
    /// The copy that got the key has to ask again before so many seconds are over, counted from before it asked, and to stop
    /// when it cannot: only then may another copy have it. None if the keeper keeps no account of copies.
    pub lease_secs: Option<u64>,
}

/// No key.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nobody answers.
    #[error("the {provider} cannot be reached: {problem}; the identity stays sealed until it can")]
    Gone {
        /// Who.
        provider: Provider,
        /// Why.
        problem: String,
    },
    /// The keeper has another key, or has forgotten this one.
    #[error("the {provider} does not have key {key_id}, with which the identity is sealed")]
    UnknownKey {
        /// Who.
        provider: Provider,
        /// Which key.
        key_id: KeyId,
    },
    /// The envelope is older than one that was opened before.
    #[error(
        "the sealed identity is of generation {found}, generation {known} was opened before: an old copy was put back"
    )]
    Old {
        /// Of the envelope.
        found: u64,
        /// The newest one known.
        known: u64,
    },
    /// Another copy is alive.
    #[error("another copy of this identity is running, or was less than {secs} s ago: stop it, or wait")]
    Leased {
        /// When its lease ends.
        secs: u64,
    },
    /// The keeper says no.
    #[error("the {provider} gives no key: {problem}")]
    Refused {
        /// Who.
        provider: Provider,
        /// Why.
        problem: String,
    },
    /// There is no quote to show to the keeper.
    #[error("no quote to ask the key broker with: {0}")]
    Quote(#[from] crate::quote::SourceError),
}

/// Keeps key-encryption keys.
pub trait KekProvider {
    /// What it is.
    fn provider(&self) -> Provider;

    /// A key for a new identity.
    ///
    /// # Errors
    /// [`ProviderError`] says why there is none.
    fn create(&mut self) -> Result<Grant, ProviderError>;

    /// The key of this envelope; asking again renews the lease.
    ///
    /// # Errors
    /// [`ProviderError`] says why there is none.
    fn open(&mut self, header: &Header) -> Result<Grant, ProviderError>;

    /// This copy does not use the key of this envelope any more, and asks for none: its lease may end now.
    ///
    /// # Errors
    /// [`ProviderError`] says why it goes on until its time is over.
    fn give_back(&mut self, _: &Header) -> Result<(), ProviderError> {
        Ok(())
    }
}
