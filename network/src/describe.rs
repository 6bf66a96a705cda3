//! What `describe` answers: the deployment behind a name, and where its nodes accept links.

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::descriptor::{Descriptor, DescriptorError};
use zipnet_dcnet::signed::encode;

use crate::links::LinkAddr;

/// The answer of a server or an aggregator to `describe`. Anybody can serve any name: whoever asks decides what to
/// believe, by a pin or by what it remembers (R1). Wrong addresses cost a failed dial, no more: links prove who answers.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DescribeAnswer {
    /// The deployment.
    pub descriptor: Descriptor,
    /// Where its servers and aggregators are, as far as the answering node knows; itself included.
    pub links: Vec<LinkAddr>,
}

/// Most addresses in an answer.
pub const MAX_LINKS: usize = 64;

/// An answer that is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// Not an answer at all.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A descriptor that cannot be.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The descriptor of another instance than the one asked for.
    #[error("it describes instance `{found}`, asked was `{wanted}`")]
    Instance {
        /// The one it describes.
        found: String,
        /// The one asked for.
        wanted: String,
    },
    /// More addresses than can be.
    #[error("it lists {0} links, at most {MAX_LINKS} are allowed")]
    Links(usize),
}

impl DescribeAnswer {
    /// What travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads and checks an answer about `instance`.
    ///
    /// # Errors
    /// [`DescribeError`] says why it is of no use.
    pub fn from_bytes(bytes: &[u8], instance: &str) -> Result<Self, DescribeError> {
        let answer: Self = borsh::from_slice(bytes).map_err(|e| DescribeError::Malformed(e.to_string()))?;
        answer.descriptor.check()?;
        if answer.descriptor.instance != instance {
            let found = answer.descriptor.instance;
            return Err(DescribeError::Instance { found, wanted: instance.to_owned() });
        }
        if answer.links.len() > MAX_LINKS {
            return Err(DescribeError::Links(answer.links.len()));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use zipnet_dcnet::ids::PeerId;
    use zipnet_dcnet::params::Params;

    use super::*;

    #[test]
    fn an_answer_comes_back_for_its_own_instance_only() {
        let servers = (1..=3).map(|n| PeerId([n; 32])).collect();
        let descriptor = Descriptor::new("acme", Params::standard(3), servers).unwrap();
        let addrs = vec!["127.0.0.1:1".parse().unwrap()];
        let link = LinkAddr { peer_id: PeerId([1; 32]), link_pk: [2; 32], addrs };
        let answer = DescribeAnswer { descriptor, links: vec![link.clone()] };
        let bytes = answer.to_bytes();
        assert_eq!(DescribeAnswer::from_bytes(&bytes, "acme"), Ok(answer.clone()));
        assert!(matches!(DescribeAnswer::from_bytes(&bytes, "acne"), Err(DescribeError::Instance { .. })));
        assert!(DescribeAnswer::from_bytes(&bytes[1..], "acme").is_err());
        let many = DescribeAnswer { links: vec![link; MAX_LINKS + 1], ..answer };
        assert_eq!(DescribeAnswer::from_bytes(&many.to_bytes(), "acme"), Err(DescribeError::Links(65)));
    }
}
