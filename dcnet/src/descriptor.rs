//! The descriptor of a deployment and its id (R1).

use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::WIRE_VERSION;
use crate::hash::{Use, hash32};
use crate::ids::{DeploymentId, PeerId};
use crate::params::{ParamError, Params, majority};
use crate::signed::encode;

/// Most servers of a committee.
pub const MAX_SERVERS: usize = 32;
/// Longest instance name, in bytes.
pub const MAX_INSTANCE_BYTES: usize = 128;

/// How clients are admitted, and whether servers show what they run, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// Anybody.
    Open,
    /// Whoever shows a TDX quote that the server's policy admits.
    Tdx,
    /// The same; and a client registers only with servers that show a TDX quote which its own policy admits.
    Mutual,
}

impl Admission {
    /// Its name in files and commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Tdx => "tdx",
            Self::Mutual => "mutual",
        }
    }

    /// Whether clients show quotes.
    pub fn asks_clients(self) -> bool {
        self != Self::Open
    }

    /// Whether servers show quotes.
    pub fn asks_servers(self) -> bool {
        self == Self::Mutual
    }
}

/// What a deployment is: everything that cannot change without a new deployment id.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// Wire version, [`WIRE_VERSION`].
    pub version: u16,
    /// The committee's name for it, such as `acme.mainnet`.
    pub instance: String,
    /// The parameters.
    pub params: Params,
    /// The committee, ascending by peer id.
    pub servers: Vec<PeerId>,
    /// How clients are admitted.
    pub admission: Admission,
    /// The deployment that this one replaces.
    pub predecessor: Option<DeploymentId>,
}

/// A descriptor that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Made by another version of the software.
    #[error("the descriptor has version {0}, this program speaks version {WIRE_VERSION}")]
    Version(u16),
    /// The instance name is not usable.
    #[error("instance name `{0}`: must be 1 to {MAX_INSTANCE_BYTES} of a-z A-Z 0-9 . _ -")]
    Instance(String),
    /// Too few, too many, repeated or unsorted servers.
    #[error("the descriptor lists {0} servers: must be 1 to {MAX_SERVERS}, ascending, each once")]
    Servers(usize),
    /// A parameter out of its range.
    #[error(transparent)]
    Param(#[from] ParamError),
}

impl Descriptor {
    /// A descriptor with sorted servers.
    ///
    /// # Errors
    /// What [`Descriptor::check`] finds.
    pub fn new(instance: &str, params: Params, mut servers: Vec<PeerId>) -> Result<Self, DescriptorError> {
        servers.sort();
        let descriptor = Self {
            version: WIRE_VERSION,
            instance: instance.to_owned(),
            params,
            servers,
            admission: Admission::Open,
            predecessor: None,
        };
        descriptor.check()?;
        Ok(descriptor)
    }

    /// The digest by which everybody knows the deployment.
    pub fn id(&self) -> DeploymentId {
        DeploymentId(hash32(Use::DEPLOYMENT, &[&encode(self)]))
    }

    /// Checks everything that a decoder cannot.
    ///
    /// # Errors
    /// [`DescriptorError`] names the first thing that is wrong.
    pub fn check(&self) -> Result<(), DescriptorError> {
        if self.version != WIRE_VERSION {
            return Err(DescriptorError::Version(self.version));
        }
        check_instance(&self.instance)?;
        let sorted = self.servers.windows(2).all(|w| w[0] < w[1]);
        if self.servers.is_empty() || self.servers.len() > MAX_SERVERS || !sorted {
            return Err(DescriptorError::Servers(self.servers.len()));
        }
        Ok(self.params.check(self.servers.len() as u32)?)
    }

    /// The fewest servers of a header: a majority.
    pub fn majority(&self) -> usize {
        majority(self.servers.len() as u32) as usize
    }
}

fn check_instance(name: &str) -> Result<(), DescriptorError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > MAX_INSTANCE_BYTES || !name.chars().all(fits) {
        return Err(DescriptorError::Instance(name.to_owned()));
    }
    Ok(())
}

/// What an operator writes: `name`, or `name#deployment-id` to pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRef {
    /// The committee's name.
    pub name: String,
    /// The pinned deployment.
    pub pin: Option<DeploymentId>,
}

impl FromStr for InstanceRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pin) = match text.split_once('#') {
            None => (text, None),
            Some((name, id)) => (name, Some(id.parse::<DeploymentId>().map_err(|e| e.to_string())?)),
        };
        check_instance(name).map_err(|e| e.to_string())?;
        Ok(Self { name: name.to_owned(), pin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(n: u8) -> Vec<PeerId> {
        (0..n).rev().map(|i| PeerId([i; 32])).collect()
    }

    #[test]
    fn the_id_covers_every_field_and_not_the_order_given() {
        let one = Descriptor::new("acme", Params::standard(3), servers(3)).unwrap();
        let mut turned = servers(3);
        turned.reverse();
        assert_eq!(one.id(), Descriptor::new("acme", Params::standard(3), turned).unwrap().id());
        let mut changed = one.clone();
        changed.params.retain += 1;
        assert_ne!(one.id(), changed.id());
        let mut changed = one.clone();
        changed.predecessor = Some(one.id());
        assert_ne!(one.id(), changed.id());
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Descriptor>(&json).unwrap(), one);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Descriptor::new("a b", Params::standard(3), servers(3)).is_err());
        assert!(Descriptor::new("", Params::standard(3), servers(3)).is_err());
        let twice = vec![PeerId([1; 32]), PeerId([1; 32]), PeerId([2; 32])];
        assert_eq!(Descriptor::new("a", Params::standard(3), twice), Err(DescriptorError::Servers(3)));
        let long = "x".repeat(MAX_INSTANCE_BYTES);
        assert!(Descriptor::new(&long, Params::standard(3), servers(3)).is_ok());
        assert!(Descriptor::new(&format!("{long}x"), Params::standard(3), servers(3)).is_err());
    }

    #[test]
    fn an_instance_is_a_name_or_a_pinned_name() {
        let pin = DeploymentId([9; 32]);
        let text = format!("acme.mainnet#{pin}");
        assert_eq!(text.parse(), Ok(InstanceRef { name: "acme.mainnet".into(), pin: Some(pin) }));
        assert_eq!("acme".parse(), Ok(InstanceRef { name: "acme".into(), pin: None }));
        assert!("acme#12".parse::<InstanceRef>().unwrap_err().contains("`12`"));
    }
}
