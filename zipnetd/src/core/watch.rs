//! What callers see of several messages: lists, page by page, and what changed since they looked last.

use super::Core;
use super::config::MAX_PAGE;
use super::message::{MessageId, MessageView, State};
use super::queue::{Entry, Hold};

/// What changed since a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The number of the change, and the message as it is now; ascending.
    pub messages: Vec<(u64, MessageView)>,
    /// Nothing the caller may see is left out up to this number: ask from here next time. Unless there is `more`, it is
    /// that of a change which the caller may see.
    pub upto: u64,
    /// There is more right now.
    pub more: bool,
    /// The number of the last change there was, whosever; not for the caller.
    pub last: u64,
}

impl Core {
    /// The messages that `uid` may see and that `want` says yes to, given the state and whether a reservation is under
    /// way: at most `limit` after `after`, in the order of acceptance, and where to go on if there are more.
    pub fn list(
        &self,
        uid: u32,
        want: impl Fn(&State, bool) -> bool,
        after: MessageId,
        limit: usize,
    ) -> (Vec<MessageView>, Option<MessageId>) {
        let reserved = self.reserved();
        let seen = self.queue.after(after).filter(|(id, entry)| {
            self.visible(uid, entry) && want(&entry.message.state, reserved == Some(**id))
        });
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page: Vec<MessageView> =
            seen.take(limit + 1).map(|(_, entry)| self.view(entry, reserved)).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| last.id);
        (page, next)
    }

    /// What changed after the change `number`, of one message or of all that `uid` may see. Looks at `limit` changes at
    /// most, whosever they are.
    pub fn changed_since(&self, uid: u32, only: Option<&MessageId>, number: u64, limit: usize) -> Changes {
        let reserved = self.reserved();
        let last = self.queue.last_change();
        let shown = |(number, entry): (u64, &Entry)| (number, self.view(entry, reserved));
        if let Some(id) = only {
            let changed = self.queue.get(id).filter(|entry| self.visible(uid, entry));
            let changed = changed.map(|entry| (entry.changed, entry)).filter(|(at, _)| *at > number);
            let upto = changed.map_or(number, |(at, _)| at);
            let messages = changed.map(shown).into_iter().collect();
            return Changes { messages, upto, more: false, last };
        }
        let limit = limit.clamp(1, MAX_PAGE);
        let mut upto = number;
        let looked_at = self.queue.changed_since(number).take(limit).inspect(|(at, _)| upto = *at);
        let messages: Vec<_> = looked_at.filter(|(_, e)| self.visible(uid, e)).map(shown).collect();
        let more = self.queue.changed_since(upto).next().is_some();
        // What the caller gets to see does not move by what others do.
        let own = messages.last().map_or(number, |(at, _)| *at);
        Changes { messages, upto: if more { upto } else { own }, more, last }
    }

    /// The number of the last change of any message; it never goes back.
    pub fn last_change(&self) -> u64 {
        self.queue.last_change()
    }

    /// A message that is not terminal and that nothing would ever look at again, or that has no next step or no time for
    /// it: there must be none.
    pub fn stuck(&self) -> Option<MessageId> {
        let reserved = self.reserved();
        let idle = |(_, entry): &(&MessageId, &Entry)| {
            let view = self.view(entry, reserved);
            !view.state.is_terminal() && (view.next_step.is_empty() || view.next_at.is_none())
        };
        self.queue.stuck().or_else(|| self.queue.after(MessageId::NONE).find(idle).map(|(id, _)| *id))
    }

    /// What is not durable yet may still be refused, so nobody sees it.
    fn visible(&self, uid: u32, entry: &Entry) -> bool {
        let own = entry.message.uid == uid || self.sees_all(uid);
        own && !matches!(entry.hold, Hold::Storing(_))
    }

    /// Being reserved is not a state of its own, but its beginning and its end are changes.
    pub(super) fn show_reserved(&mut self) {
        let reserved = self.reserved();
        if reserved != self.shown_reserved {
            let before = std::mem::replace(&mut self.shown_reserved, reserved);
            for id in [before, reserved].into_iter().flatten() {
                self.queue.touch(&id);
            }
        }
    }
}
