//! Sessions that are over and had many subscriptions: these are taken out in turns, and others are served in between.

use super::session::{Session, Subscription};
use super::{Hub, Key, LITTER, Timer};
use bytestring::ByteString;
use std::collections::hash_map::IntoValues;
use std::time::{Duration, Instant};

/// How many subscriptions are taken out at once: about half a millisecond's worth.
pub(super) const TURN: usize = 500;
/// How long others have between two turns.
const BREATH: Duration = Duration::from_millis(1);

/// What is left of a session. Its place is held meanwhile, so that nobody else gets what is for it.
#[derive(Debug)]
pub(super) struct Leaving {
    key: Key,
    subscriptions: IntoValues<ByteString, Box<Subscription>>,
}

impl Leaving {
    /// How many subscriptions are still there.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn left(&self) -> usize {
        self.subscriptions.len()
    }
}

impl Hub {
    /// Takes a session out of its place, and its subscriptions out of the tables: at once if they are few.
    pub(super) fn clear_place(&mut self, key: Key, now: Instant) -> Session {
        if self.sessions[key].subscriptions.len() <= TURN {
            let mut session = self.sessions.remove(key);
            for subscription in std::mem::take(&mut session.subscriptions).into_values() {
                self.take_out(key, &subscription);
            }
            return session;
        }
        let mut session = std::mem::replace(&mut self.sessions[key], Session::over());
        let subscriptions = std::mem::take(&mut session.subscriptions).into_values();
        if self.leaving.is_empty() {
            self.arm(now, Timer::Leave);
        }
        self.leaving.push_back(Leaving { key, subscriptions });
        session
    }

    /// Goes on with those that are leaving: the more they are, the faster.
    pub(super) fn leave(&mut self, now: Instant) {
        let mut left = TURN * self.leaving.len();
        while left > 0
            && let Some(leaving) = self.leaving.front_mut()
        {
            let key = leaving.key;
            match leaving.subscriptions.next() {
                Some(subscription) => self.take_out(key, &subscription),
                None => {
                    self.leaving.pop_front();
                    self.sessions.remove(key);
                }
            }
            left -= 1;
        }
        if self.leaving.is_empty() {
            // Whoever asks behind this is told, however much was counted in between.
            self.litter = self.litter.max(LITTER);
        } else {
            self.arm(now + BREATH, Timer::Leave);
        }
    }

    /// Takes a subscription out of all tables but its session's.
    pub(super) fn take_out(&mut self, key: Key, subscription: &Subscription) {
        self.litter += 1;
        self.tree
            .remove(subscription.group.as_ref(), &subscription.filter, key);
        self.sys.unsubscribed(&subscription.filter);
    }
}
