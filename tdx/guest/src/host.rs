//! What the host may choose: through which peers the guest finds the others, through which relay, and how often it reserves.
//!
//! It stands at the beginning of a disk of the host's, as text of at most [`SIZE`] bytes, followed by zeros:
//!
//! ```text
//! zipnet-host 1
//! bootstrap PEERID@192.0.2.1:4701,PEERID
//! relay https://relay.example
//! universe acme.universe
//! cadence 1
//! end
//! ```
//!
//! None of it decides whom the guest trusts: the deployment is in the measured image, and its servers follow from that. So the worst that a
//! hostile host does here is that the guest finds nobody. The text is refused as a whole unless every line of it is understood.

/// How much of the disk is looked at, in bytes.
pub const SIZE: usize = 4096;
/// Most bootstrap peers.
pub const MAX_PEERS: usize = 16;
/// Longest peer or URL, in bytes.
pub const MAX_WORD: usize = 255;
/// Largest cadence: reserving once in that many rounds.
pub const MAX_CADENCE: u32 = 1000;

/// The host's choices, each of them checked for its form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Peers, separated by commas, as `zipnetd --bootstrap` takes them.
    pub bootstrap: Option<String>,
    /// As `zipnetd --relay` takes it.
    pub relay: Option<String>,
    /// As `zipnetd --universe` takes it: where peers look for each other, not whom they trust.
    pub universe: Option<String>,
    /// As `zipnetd --cadence` takes it.
    pub cadence: Option<u32>,
}

/// Why the host's disk is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Too small, or something else altogether.
    #[error("it does not begin with `zipnet-host 1` and end with `end`, within {SIZE} bytes")]
    NoHostDisk,
    /// What is behind the text.
    #[error("there is something behind `end`")]
    Trailing,
    /// A line of the text, without what it says: that is the host's.
    #[error("line {0} is not understood")]
    BadLine(usize),
}

impl Host {
    /// Reads the beginning of the disk.
    ///
    /// # Errors
    /// Unless all of it is as described above.
    pub fn parse(disk: &[u8]) -> Result<Self, HostError> {
        let disk = disk.get(..SIZE).ok_or(HostError::NoHostDisk)?;
        let end = disk.iter().position(|byte| *byte == 0).unwrap_or(SIZE);
        if disk[end..].iter().any(|byte| *byte != 0) {
            return Err(HostError::Trailing);
        }
        let text = std::str::from_utf8(&disk[..end]).map_err(|_| HostError::NoHostDisk)?;
        let body = text.strip_prefix("zipnet-host 1\n").ok_or(HostError::NoHostDisk)?;
        let body = body.strip_suffix("end\n").ok_or(HostError::NoHostDisk)?;
        let mut host = Self::default();
        for (number, line) in (2..).zip(body.split_terminator('\n')) {
            host.line(line).ok_or(HostError::BadLine(number))?;
        }
        Ok(host)
    }

    /// `None` for what is not understood, or was said before.
    fn line(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once(' ')?;
        let earlier = match key {
            "bootstrap" => {
                let peers: Vec<&str> = value.split(',').collect();
                let good = peers.len() <= MAX_PEERS && peers.iter().all(|peer| word(peer, b"@:.[]-"));
                self.bootstrap.replace(good.then(|| value.to_owned())?).is_some()
            }
            "relay" => {
                let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"))?;
                self.relay.replace(word(rest, b":.[]-/").then(|| value.to_owned())?).is_some()
            }
            "universe" => self.universe.replace(word(value, b"._-").then(|| value.to_owned())?).is_some(),
            "cadence" => {
                let digits = value.len() <= 4 && value.bytes().all(|byte| byte.is_ascii_digit());
                let number = digits.then(|| value.parse().ok()).flatten()?;
                self.cadence.replace((1..=MAX_CADENCE).contains(&number).then_some(number)?).is_some()
            }
            _ => return None,
        };
        (!earlier).then_some(())
    }
}

fn word(text: &str, and: &[u8]) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || and.contains(&byte);
    (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn disk(text: &str) -> Vec<u8> {
        let mut disk = text.as_bytes().to_vec();
        disk.resize(SIZE, 0);
        disk
    }

    fn lines(lines: &str) -> Result<Host, HostError> {
        Host::parse(&disk(&format!("zipnet-host 1\n{lines}end\n")))
    }

    #[test]
    fn all_of_it() {
        let host = lines(
            "bootstrap aa@192.0.2.1:4701,bb@[2001:db8::1]:1\nrelay https://r.example:1/\nuniverse a.b-c_d\ncadence 1000\n",
        );
        assert_eq!(
            host,
            Ok(Host {
                bootstrap: Some("aa@192.0.2.1:4701,bb@[2001:db8::1]:1".to_owned()),
                relay: Some("https://r.example:1/".to_owned()),
                universe: Some("a.b-c_d".to_owned()),
                cadence: Some(1000),
            })
        );
        assert_eq!(lines(""), Ok(Host::default()));
        // Of a larger disk only the beginning counts.
        assert_eq!(Host::parse(&[disk("zipnet-host 1\nend\n"), vec![1; 512]].concat()), Ok(Host::default()));
    }

    #[test]
    fn nothing_else() {
        let peers = |count| format!("bootstrap {}\n", vec!["a"; count].join(","));
        let long = |length| format!("bootstrap {}\n", "a".repeat(length));
        assert!(lines(&peers(MAX_PEERS)).is_ok() && lines(&long(MAX_WORD)).is_ok());
        let bad = [
            &peers(MAX_PEERS + 1),
            &long(MAX_WORD + 1),
            "instance other.deployment\n",
            "message hello\n",
            "bootstrap a\nbootstrap b\n",
            "bootstrap a,\n",
            "bootstrap a b\n",
            "bootstrap $(x)\n",
            "relay ftp://a\n",
            "relay https://\n",
            "universe \n",
            "universe a#b\n",
            "cadence 0\n",
            "cadence 1001\n",
            "cadence +1\n",
            "\n",
        ];
        for text in bad {
            assert!(matches!(lines(text), Err(HostError::BadLine(2 | 3))), "{text:?}: {:?}", lines(text));
        }
        for text in ["", "zipnet-host 2\nend\n", "zipnet-host 1\n", "zipnet-host 1\nend"] {
            assert_eq!(Host::parse(&disk(text)), Err(HostError::NoHostDisk), "{text:?}");
        }
        assert_eq!(Host::parse(&disk("zipnet-host 1\nend\n")[..SIZE - 1]), Err(HostError::NoHostDisk));
        assert_eq!(Host::parse(&disk("zipnet-host 1\nend\n\0more")), Err(HostError::Trailing));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_pass_by_chance(bytes in proptest::collection::vec(any::<u8>(), 0..SIZE)) {
            prop_assert!(Host::parse(&bytes).is_err());
        }

        #[test]
        fn what_passes_has_only_harmless_characters(line in "(bootstrap|relay http://|universe|cadence|x) ?[ -~]{0,20}") {
            if let Ok(host) = lines(&format!("{line}\n")) {
                for text in [host.bootstrap, host.relay, host.universe].into_iter().flatten() {
                    prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@:.[]-/,_".contains(&byte)));
                }
            }
        }
    }
}
