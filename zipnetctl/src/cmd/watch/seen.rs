//! What was told about which message, so that a daemon that was restarted is not heard twice.

use std::collections::BTreeMap;

/// Most messages that are remembered: the daemon's whole queue, and as many that have ended.
const MAX_SEEN: usize = 20_000;

/// The last line of each message, by id; ids ascend with the time of acceptance.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<String, Last>);

#[derive(Debug)]
struct Last {
    line: String,
    terminal: bool,
}

impl Seen {
    /// Something was told about this message.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Whether `line` differs from what was told last about this message; it counts as told now.
    pub(super) fn is_new(&mut self, id: &str, line: &str, terminal: bool) -> bool {
        if self.0.get(id).is_some_and(|last| last.line == line) {
            return false;
        }
        self.0.insert(id.to_owned(), Last { line: line.to_owned(), terminal });
        if self.0.len() > MAX_SEEN {
            self.forget_one();
        }
        true
    }

    /// The oldest that has ended; the oldest of all only when none has.
    fn forget_one(&mut self) {
        let ended = self.0.iter().find(|(_, last)| last.terminal).map(|(id, _)| id.clone());
        match ended {
            Some(id) => drop(self.0.remove(&id)),
            None => drop(self.0.pop_first()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.is_new("a", "queued", false));
        assert!(!seen.is_new("a", "queued", false));
        assert!(seen.is_new("a", "published", true));
        assert!(seen.knows("a") && !seen.knows("b"));
    }

    #[test]
    fn what_ended_is_forgotten_first_and_only_at_the_bound() {
        let mut seen = Seen::default();
        for n in 0..MAX_SEEN {
            assert!(seen.is_new(&format!("{n:06}"), "x", n == 7));
        }
        assert!(seen.knows("000007"));
        assert!(seen.is_new("b", "x", false));
        assert!(seen.knows("000000") && !seen.knows("000007"));
        assert!(seen.is_new("c", "x", false));
        assert!(!seen.knows("000000"));
        assert_eq!(seen.0.len(), MAX_SEEN);
    }
}
