//! Lets messages of one topic through, or not, or later. Pure: time is an argument.

use super::{Change, Policy};
use crate::field::record::Value;
use bytes::Bytes;
use std::time::Instant;

/// What a message says, to tell whether it says something else than the one before.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Values(Vec<Value>),
    Bytes(Bytes),
}

/// The state of one topic.
#[derive(Debug, Clone)]
pub(super) struct Gate<M> {
    /// What was let through last, and when.
    content: Option<Content>,
    sent: Option<Instant>,
    /// What waits for the interval's end.
    waiting: Option<(M, Option<Content>)>,
    /// When something came last.
    seen: Instant,
    stale: bool,
}

impl Change {
    fn changed(&self, old: &Value, new: &Value) -> bool {
        let banded = self.by.is_some() || self.percent.is_some();
        match (old.number(), new.number()) {
            (Some(a), Some(b)) if banded && a.is_finite() && b.is_finite() => {
                let moved = (a - b).abs();
                // Decimal fractions are no binary ones: 0.3 - 0.2 must be as much as 0.1.
                let far = |band: f64| moved >= band * (1.0 - 1e-9) - 1e-12 && moved > 0.0;
                self.by.is_some_and(far) || self.percent.is_some_and(|percent| far(a.abs() * percent / 100.0))
            }
            _ => old != new,
        }
    }

    fn differs(&self, old: &Content, new: &Content) -> bool {
        match (old, new) {
            (Content::Values(old), Content::Values(new)) => {
                old.len() != new.len() || old.iter().zip(new).any(|(old, new)| self.changed(old, new))
            }
            _ => old != new,
        }
    }
}

impl<M> Gate<M> {
    pub(super) fn new(now: Instant) -> Gate<M> {
        Gate {
            content: None,
            sent: None,
            waiting: None,
            seen: now,
            stale: false,
        }
    }

    /// Something has come, though nothing is to be published of it yet.
    pub(super) fn see(&mut self, now: Instant) {
        self.seen = now;
    }

    /// A message comes: it is given back to be published now, or kept for later, or dropped because it says nothing
    /// new. `content` is looked at if the policy asks for changes.
    pub(super) fn pass(
        &mut self,
        policy: &Policy,
        now: Instant,
        content: impl FnOnce() -> Content,
        message: impl FnOnce() -> Option<M>,
    ) -> Option<M> {
        self.seen = now;
        let fresh = std::mem::take(&mut self.stale);
        let content = policy.change.map(|_| content());
        let since = self.sent.map(|sent| now.saturating_duration_since(sent));
        if let (Some(change), Some(new), Some(old)) = (&policy.change, &content, &self.content)
            && !fresh
            && !change.differs(old, new)
            && !matches!((policy.heartbeat, since), (Some(beat), Some(since)) if since >= beat)
        {
            // What waited has been taken back: the last one that was published is true again.
            self.waiting = None;
            return None;
        }
        let message = message()?;
        if let (Some(every), Some(since)) = (policy.every, since)
            && !fresh
            && since < every
        {
            self.waiting = Some((message, content));
            return None;
        }
        self.sent(content, now);
        Some(message)
    }

    /// What has waited long enough.
    pub(super) fn due(&mut self, policy: &Policy, now: Instant) -> Option<M> {
        self.until(policy).filter(|until| *until <= now)?;
        self.flush(now)
    }

    /// What waits, now, because there is no later.
    pub(super) fn flush(&mut self, now: Instant) -> Option<M> {
        let (message, content) = self.waiting.take()?;
        self.sent(content, now);
        Some(message)
    }

    /// Whether nothing has come for so long that it is to be said, once.
    pub(super) fn turns_stale(&mut self, policy: &Policy, now: Instant) -> bool {
        let turns = self.stale_at(policy).is_some_and(|at| at <= now);
        self.stale |= turns;
        turns
    }

    /// It has been said that there is nothing now: what comes next is published at once, and nothing older.
    pub(super) fn interrupt(&mut self) {
        self.stale = true;
        self.waiting = None;
    }

    /// When to look again.
    pub(super) fn deadline(&self, policy: &Policy) -> Option<Instant> {
        self.until(policy).into_iter().chain(self.stale_at(policy)).min()
    }

    pub(super) fn seen(&self) -> Instant {
        self.seen
    }

    fn until(&self, policy: &Policy) -> Option<Instant> {
        self.waiting.as_ref()?;
        self.sent?.checked_add(policy.every?)
    }

    fn stale_at(&self, policy: &Policy) -> Option<Instant> {
        let after = policy.stale.as_ref().filter(|_| !self.stale)?.after;
        self.seen.checked_add(after.into())
    }

    fn sent(&mut self, content: Option<Content>, now: Instant) {
        self.waiting = None;
        self.content = content;
        self.sent = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Stale;
    use crate::span::Span;
    use proptest::prelude::*;
    use std::time::Duration;

    fn content(x: f64) -> Content {
        Content::Values(vec![Value::Float(x)])
    }

    /// Values by the second; which are let through, and when.
    fn run(policy: &Policy, values: &[(u64, f64)], end: u64) -> Vec<(u64, String)> {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let mut gate = Gate::new(start);
        let mut out = Vec::new();
        let mut values = values.iter().peekable();
        for second in 0..=end {
            if let Some(message) = gate.due(policy, at(second)) {
                out.push((second, message));
            }
            if gate.turns_stale(policy, at(second)) {
                out.push((second, "stale".into()));
            }
            while let Some((_, x)) = values.next_if(|(when, _)| *when == second) {
                if let Some(message) = gate.pass(policy, at(second), || content(*x), || Some(x.to_string())) {
                    out.push((second, message));
                }
            }
        }
        out
    }

    fn said(all: &[(u64, &str)]) -> Vec<(u64, String)> {
        all.iter()
            .map(|(when, what)| (*when, (*what).to_owned()))
            .collect()
    }

    fn seconds(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    #[test]
    fn within_the_dead_band_nothing_is_said_until_the_heartbeat() {
        let policy = Policy {
            change: Some(Change {
                by: Some(0.5),
                ..Change::default()
            }),
            heartbeat: seconds(10),
            ..Policy::default()
        };
        let values = [(0, 20.0), (1, 20.4), (2, 20.5), (3, 20.1), (12, 20.2), (13, 19.0)];
        assert_eq!(
            run(&policy, &values, 20),
            said(&[(0, "20"), (2, "20.5"), (12, "20.2"), (13, "19")])
        );
        let change = |by, percent, a, b| {
            Change {
                by,
                percent,
                any: false,
            }
            .changed(&Value::Float(a), &Value::Float(b))
        };
        assert!(change(Some(0.1), None, 0.2, 0.3));
        assert!(change(None, Some(10.0), 100.0, 110.0) && !change(None, Some(10.0), 100.0, 109.0));
        assert!(change(None, Some(10.0), -100.0, -90.0));
        assert!(!change(Some(0.0), None, 1.0, 1.0) && change(None, Some(5.0), 0.0, 0.001));
    }

    #[test]
    fn at_most_every_ten_seconds_and_the_last_is_not_lost() {
        let policy = Policy {
            every: seconds(10),
            ..Policy::default()
        };
        let values = [(0, 1.0), (1, 2.0), (3, 3.0), (30, 4.0)];
        assert_eq!(run(&policy, &values, 40), said(&[(0, "1"), (10, "3"), (30, "4")]));
    }

    #[test]
    fn a_change_that_is_taken_back_while_it_waits_is_not_said() {
        let policy = Policy {
            change: Some(Change::default()),
            every: seconds(10),
            ..Policy::default()
        };
        assert_eq!(
            run(&policy, &[(0, 1.0), (1, 2.0), (2, 1.0)], 20),
            said(&[(0, "1")])
        );
    }

    #[test]
    fn silence_is_said_once_and_the_next_value_at_once() {
        let policy = Policy {
            change: Some(Change::default()),
            every: seconds(60),
            stale: Some(Stale {
                after: Span::millis(5000),
                ..Stale::default()
            }),
            ..Policy::default()
        };
        let values = [(0, 1.0), (3, 1.0), (20, 1.0)];
        assert_eq!(
            run(&policy, &values, 24),
            said(&[(0, "1"), (8, "stale"), (20, "1")])
        );
    }

    proptest! {
        #[test]
        fn every_holds_and_the_last_one_always_comes(
            every in 1u64..8, values in prop::collection::btree_map(0u64..60, -5i32..5, 1..30),
        ) {
            let policy = Policy { every: seconds(every), ..Policy::default() };
            let values: Vec<(u64, f64)> = values.into_iter().map(|(when, x)| (when, f64::from(x))).collect();
            let out = run(&policy, &values, 100);
            prop_assert!(out.windows(2).all(|pair| pair[1].0 - pair[0].0 >= every));
            prop_assert_eq!(&out.last().unwrap().1, &values.last().unwrap().1.to_string());
        }

        #[test]
        fn on_change_no_two_neighbours_are_equal_and_the_last_is_true(values in prop::collection::vec(0i32..3, 1..40)) {
            let policy = Policy { change: Some(Change::default()), ..Policy::default() };
            let values: Vec<(u64, f64)> = (0..).zip(values).map(|(when, x)| (when, f64::from(x))).collect();
            let out = run(&policy, &values, 50);
            prop_assert!(out.windows(2).all(|pair| pair[0].1 != pair[1].1));
            prop_assert_eq!(&out.last().unwrap().1, &values.last().unwrap().1.to_string());
        }
    }
}
