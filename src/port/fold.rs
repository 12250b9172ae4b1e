//! Folding repeated faults into one line of the log: said at once, then at most so often, with a count. Pure.

use std::time::{Duration, Instant};

/// At most one line of a kind in this time, for one port.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// The repetitions of one kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    said: Option<Instant>,
    since: u64,
    run: u64,
}

/// What to say of a fault that has just happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// Say it, and that there were so many since it was last said (this one included).
    Now(u64),
    /// It was said a moment ago: count it only.
    Later,
}

impl Fold {
    /// It happened.
    pub(crate) fn hit(&mut self, now: Instant) -> Say {
        self.since += 1;
        self.run += 1;
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < EVERY) {
            return Say::Later;
        }
        self.said = Some(now);
        Say::Now(std::mem::take(&mut self.since))
    }

    /// What has not been said yet, when it is time to say it: how many there were.
    pub(crate) fn due(&mut self, now: Instant) -> Option<u64> {
        if self.since == 0 || self.deadline().is_some_and(|deadline| deadline > now) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.since))
    }

    /// When `due` will have something to say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.since > 0).then(|| self.said.map_or_else(Instant::now, |said| said + EVERY))
    }

    /// The good thing happened that ends a run of faults: how many there were, if there were any and the end
    /// is worth a line (its start was said within the run).
    pub(crate) fn healed(&mut self) -> Option<u64> {
        let run = std::mem::take(&mut self.run);
        // Where faults and good ones alternate, the count in the next line says it all.
        (run > 0 && self.since == 0).then_some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_said_at_once_and_then_counted() {
        let start = Instant::now();
        let mut fold = Fold::default();
        assert_eq!(fold.hit(start), Say::Now(1));
        for n in 1..=1000 {
            assert_eq!(fold.hit(start + EVERY / 2000 * n), Say::Later);
        }
        assert_eq!(fold.due(start + EVERY / 2), None);
        assert_eq!(fold.deadline(), Some(start + EVERY));
        assert_eq!(fold.due(start + EVERY), Some(1000));
        assert_eq!(fold.deadline(), None);
        assert_eq!(fold.hit(start + EVERY + EVERY), Say::Now(1));
    }

    #[test]
    fn one_fault_and_its_end_are_two_lines() {
        let now = Instant::now();
        let mut fold = Fold::default();
        assert_eq!(fold.healed(), None);
        fold.hit(now);
        assert_eq!(fold.healed(), Some(1));
        assert_eq!(fold.healed(), None);
        fold.hit(now);
        assert_eq!(fold.healed(), None, "the second was not said, so its end is not either");
    }
}
