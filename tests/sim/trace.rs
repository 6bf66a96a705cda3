//! What happened: a hash of all of it, and the last of it in words.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::clock::Ms;

/// Events that a failure prints.
const LAST: usize = 150;

/// See the module. The hash has fixed keys, so two runs of one seed can be compared.
pub(crate) struct Trace {
    last: VecDeque<String>,
    hash: DefaultHasher,
    /// Everything goes to standard error at once (`ZIPNET_SIM_TRACE=1`).
    loud: bool,
}

impl Trace {
    pub(crate) fn new() -> Self {
        let loud = std::env::var_os("ZIPNET_SIM_TRACE").is_some();
        Self { last: VecDeque::new(), hash: DefaultHasher::new(), loud }
    }

    pub(crate) fn say(&mut self, now: Ms, what: &str) {
        let line = format!("{now:>8} {what}");
        line.hash(&mut self.hash);
        if self.loud {
            eprintln!("{line}");
        }
        self.last.push_back(line);
        if self.last.len() > LAST {
            self.last.pop_front();
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn last(&self) -> String {
        self.last.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}
