//! Who keeps the key, as daemon and command line are told.

use std::path::PathBuf;

use rand_core::CryptoRng;
use zeroize::Zeroizing;
use zipnet_dcnet::ids::DeploymentId;

use super::broker::{BrokerAddress, BrokerClient, Tcp};
use super::key_file::{KeyFile, KeyFileError};
use super::provider::{KekProvider, Provider};
use crate::quote::helper::Helper;

/// A keeper of key-encryption keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A key broker.
    Broker {
        /// Which.
        broker: BrokerAddress,
        /// The deployment that the key is for.
        deployment: DeploymentId,
        /// Where the quote helper listens.
        quote_socket: PathBuf,
    },
    /// A key file. Whoever says so was asked by a setting that calls it insecure.
    KeyFile(PathBuf),
}

impl Keeper {
    /// Of which kind.
    pub fn kind(&self) -> Provider {
        match self {
            Self::Broker { .. } => Provider::Broker,
            Self::KeyFile(_) => Provider::KeyFile,
        }
    }

    /// Its key, to be asked for. The broker takes each call of this for another copy: who asks again asks the same one. Each
    /// question waits for disk or network, up to two minutes.
    ///
    /// # Errors
    /// [`KeyFileError`] says what is wrong with the file.
    pub fn provider<R: CryptoRng + Send + 'static>(
        &self,
        random: R,
    ) -> Result<Box<dyn KekProvider + Send>, KeyFileError> {
        Ok(match self {
            Self::Broker { broker, deployment, quote_socket } => {
                let (transport, source) = (Tcp(broker.at.clone()), Helper::new(quote_socket));
                Box::new(BrokerClient::new(transport, source, random, broker.key, *deployment))
            }
            Self::KeyFile(path) => Box::new(KeyFile::open(path, true)?),
        })
    }

    /// The same for a new identity: a key file that is not there is made.
    ///
    /// # Errors
    /// [`KeyFileError`] says what is wrong with the file.
    pub fn new_provider<R: CryptoRng + Send + 'static>(
        &self,
        mut random: R,
    ) -> Result<Box<dyn KekProvider + Send>, KeyFileError> {
        if let Self::KeyFile(path) = self {
            let mut key = Zeroizing::new([0; 32]);
            random.fill_bytes(&mut *key);
            match KeyFile::create(path, &key) {
                Ok(()) | Err(KeyFileError::Exists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.provider(random)
    }
}
