//! The sealed identity: where it is, and the one keeper of its key.

use std::path::{Path, PathBuf};

use zipnet_dcnet::descriptor::InstanceRef;
use zipnet_tdx::seal::Keeper;
use zipnet_tdx::seal::broker::BrokerAddressError;

use super::value::{self, Setting};
use super::{ConfigError, Find};

/// What to do about a setting that needs one.
const SET_IT: &str = "set ZIPNET_SEALED_IDENTITY (or --sealed-identity, or `sealed_identity` in the file)";

/// A sealed identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its file.
    pub path: PathBuf,
    /// Who keeps its key.
    pub keeper: Keeper,
    /// Whether to make one if there is no file.
    pub init: bool,
}

pub(super) fn sealed(
    find: &Find<'_>,
    instance: &InstanceRef,
    quote_socket: &Path,
) -> Result<Option<Sealed>, ConfigError> {
    let (broker, file) = (find("key_broker")?, find("insecure_key_file")?);
    let init_setting = find("init_identity")?;
    let init = init_setting.as_ref().map(|s| s.parse(value::truth)).transpose()?.unwrap_or(false);
    let Some(setting) = find("sealed_identity")? else {
        if let Some(keeper) = broker.or(file) {
            return Err(
                keeper.wrong(format!("there is no sealed identity whose key it would keep: {SET_IT}"))
            );
        }
        return match init_setting.filter(|_| init) {
            Some(init) => Err(init.wrong(format!("nothing says where to make an identity: {SET_IT}"))),
            None => Ok(None),
        };
    };
    let path = setting.parse(value::path)?;
    let keeper = match (broker, file) {
        (None, None) => {
            let problem = "nobody keeps its key: set ZIPNET_KEY_BROKER (or --key-broker, or `key_broker` in the file), or, \
                           on a host without anything better, ZIPNET_INSECURE_KEY_FILE";
            return Err(setting.wrong(problem.to_owned()));
        }
        (Some(broker), Some(file)) => {
            let problem = format!("a sealed identity has one keeper, but {} names another", file.place);
            return Err(broker.wrong(problem));
        }
        (None, Some(file)) => Keeper::KeyFile(file.parse(value::path)?),
        (Some(broker), None) => at_broker(&broker, instance, quote_socket)?,
    };
    Ok(Some(Sealed { path, keeper, init }))
}

/// A broker's keys are for one deployment each, and a guest must not be led to another one by whoever answers first.
fn at_broker(setting: &Setting, instance: &InstanceRef, quote_socket: &Path) -> Result<Keeper, ConfigError> {
    let broker = setting.parse(|text| text.parse().map_err(|e: BrokerAddressError| e.to_string()))?;
    let deployment = instance.pin.ok_or_else(|| {
        let name = &instance.name;
        setting.wrong(format!("a broker's key is for one deployment: pin it, ZIPNET_INSTANCE=\"{name}#ID\""))
    })?;
    Ok(Keeper::Broker { broker, deployment, quote_socket: quote_socket.to_owned() })
}
