//! What happens by time alone: wills that are due, sessions that are over, patience that is at its end.

use super::{Hub, Timer};
use std::time::Instant;

impl Hub {
    /// Something is to happen then.
    pub(super) fn arm(&mut self, due: Instant, timer: Timer) {
        let earlier = self.timers.first().is_none_or(|(first, _)| due < *first);
        self.timers.insert((due, timer));
        if earlier {
            self.clock.notify_one();
        }
    }

    /// When the next thing is to happen.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Lets everything happen that is due.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some((due, timer)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, timer));
            match timer {
                Timer::Will(key) => self.publish_will(key, now),
                Timer::Forget(key) => {
                    if let Some(session) = self.sessions.get_mut(key).filter(|session| session.is_away()) {
                        session.forget_due = None;
                        self.end_session(key, now);
                    }
                }
                Timer::Patience(key) => {
                    if let Some(session) = self.sessions.get_mut(key) {
                        session.pressure.slow = true;
                        session.pressure.release();
                    }
                }
                Timer::Sweep => {
                    self.sweeping = false;
                    self.sweep(now);
                }
                Timer::Flush => self.flush_lazy(),
                Timer::Sys => self.publish_sys(now),
                Timer::Leave => self.leave(now),
            }
        }
    }
}
