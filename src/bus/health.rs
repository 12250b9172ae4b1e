//! Whether a device answers, and how often one that doesn't is tried.

use std::time::{Duration, Instant};

/// So many requests in a row must stay without an answer before a device that has answered is held for gone.
const PATIENCE: u32 = 2;
/// The first pause until a device that is gone is tried again, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// What is known of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not been asked yet.
    Unknown,
    /// It answers.
    Online,
    /// It does not.
    Offline,
}

/// The state of a device has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It answers, for the first time or again.
    Came,
    /// It answers no more, or never has.
    Went,
}

/// One device's health.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    state: State,
    failures: u32,
    pause: Duration,
    again: Option<Instant>,
}

impl Health {
    pub(crate) fn new() -> Health {
        Health {
            state: State::Unknown,
            failures: 0,
            pause: FIRST,
            again: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// It has answered, be it with a refusal.
    pub(crate) fn answered(&mut self) -> Option<Change> {
        let before = self.state;
        *self = Health {
            state: State::Online,
            ..Health::new()
        };
        (before != State::Online).then_some(Change::Came)
    }

    /// A request stayed without an answer, all its tries included.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Change> {
        self.failures = self.failures.saturating_add(1);
        if self.state == State::Online && self.failures < PATIENCE {
            return None;
        }
        let before = self.state;
        self.state = State::Offline;
        if before == State::Offline {
            self.pause = (self.pause * 2).min(LONGEST);
        }
        self.again = now.checked_add(self.pause);
        (before != State::Offline).then_some(Change::Went)
    }

    /// Whether it may be polled now: one that is gone is tried from time to time.
    pub(crate) fn may_be_polled(&self, now: Instant) -> bool {
        self.again.is_none_or(|again| again <= now)
    }

    /// When one that is gone is tried again.
    pub(crate) fn again(&self) -> Option<Instant> {
        self.again
    }

    /// Whether it is gone, so that one try is enough.
    pub(crate) fn is_offline(&self) -> bool {
        self.state == State::Offline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loss_and_return_are_said_once() {
        let now = Instant::now();
        let mut health = Health::new();
        assert_eq!(health.answered(), Some(Change::Came));
        assert_eq!(health.answered(), None);
        assert_eq!(
            health.failed(now),
            None,
            "one lost reply is no loss of the device"
        );
        assert_eq!(health.failed(now), Some(Change::Went));
        assert_eq!(health.failed(now), None);
        assert!(!health.may_be_polled(now));
        assert_eq!(health.answered(), Some(Change::Came));
        assert!(health.may_be_polled(now));
    }

    proptest! {
        #[test]
        fn a_dead_device_is_tried_less_and_less_often_but_always_again(times in 1usize..40) {
            let mut now = Instant::now();
            let mut health = Health::new();
            let mut before = Duration::ZERO;
            for _ in 0..times {
                let _ = health.failed(now);
                let pause = health.again().unwrap() - now;
                prop_assert!(pause >= before && pause <= LONGEST);
                prop_assert!(!health.may_be_polled(now));
                before = pause;
                now += pause;
                prop_assert!(health.may_be_polled(now));
            }
        }
    }
}
