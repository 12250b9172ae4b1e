//! Folds what repeats: a run of the same fault is one line when it begins and one, with a count, when it ends.

use std::time::{Duration, Instant};

/// How many lines may come at once, and how often one more after that. A fault that comes and goes with every
/// other frame would otherwise write two lines per frame.
const BURST: u32 = 4;
const EVERY: Duration = Duration::from_secs(10);

/// One kind of fault of one thing: says when it is worth a line in the log.
///
/// ```
/// # use std::time::Instant;
/// let (mut run, now) = (mqttyd::fold::Run::default(), Instant::now());
/// assert_eq!(run.fault(now), Some(1)); // log it: it broke
/// assert_eq!(run.fault(now), None); // still broken, known already
/// assert_eq!(run.good(), Some(2)); // log it: it is well again, there were 2
/// assert_eq!(run.good(), None);
/// ```
#[derive(Debug)]
pub struct Run {
    count: u64,
    told: bool,
    bucket: Bucket,
}

impl Default for Run {
    fn default() -> Run {
        Run {
            count: 0,
            told: false,
            bucket: Bucket::new(BURST, EVERY),
        }
    }
}

impl Run {
    /// A fault came. `Some` when it is to be logged: how many there were since the log last heard of them.
    pub fn fault(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.told || !self.bucket.take(now) {
            return None;
        }
        self.told = true;
        Some(self.count)
    }

    /// All is well. `Some` when that is to be logged: how many faults there were.
    pub fn good(&mut self) -> Option<u64> {
        if !self.told {
            return None;
        }
        self.told = false;
        Some(std::mem::take(&mut self.count))
    }
}

/// A line at a time, a few at once, and not more often than that for long.
#[derive(Debug)]
pub(crate) struct Bucket {
    left: u32,
    burst: u32,
    every: Duration,
    filled: Option<Instant>,
}

impl Bucket {
    pub(crate) fn new(burst: u32, every: Duration) -> Bucket {
        Bucket {
            left: burst,
            burst,
            every,
            filled: None,
        }
    }

    /// Takes a line, if there is one left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let gained = now.saturating_duration_since(filled).as_nanos() / self.every.as_nanos();
        if gained > 0 {
            self.left = self.burst.min(
                self.left
                    .saturating_add(u32::try_from(gained).unwrap_or(u32::MAX)),
            );
            self.filled = Some(now);
        }
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_is_one_line_each_way() {
        let (mut run, now) = (Run::default(), Instant::now());
        for round in 0..3 {
            assert_eq!(run.fault(now), Some(1), "round {round}");
            assert!((0..99).all(|_| run.fault(now).is_none()));
            assert_eq!(run.good(), Some(100));
        }
    }

    #[test]
    fn what_was_swallowed_is_told_with_the_next_line() {
        let (mut run, start) = (Run::default(), Instant::now());
        for _ in 0..BURST {
            assert!(run.fault(start).is_some() && run.good().is_some());
        }
        for _ in 0..7 {
            assert!(run.fault(start).is_none() && run.good().is_none());
        }
        assert_eq!(run.fault(start + EVERY), Some(8));
        assert_eq!(run.good(), Some(8));
    }

    proptest! {
        #[test]
        fn lines_are_few_and_no_fault_is_forgotten(steps in prop::collection::vec((any::<bool>(), 0u64..2_000), 0..400)) {
            let (mut run, mut now) = (Run::default(), Instant::now());
            let (mut faults, mut healed, mut lines, mut millis) = (0u64, 0u64, 0u64, 0u64);
            for (bad, wait) in steps {
                now += Duration::from_millis(wait);
                millis += wait;
                if bad {
                    faults += 1;
                    lines += u64::from(run.fault(now).is_some());
                } else if let Some(count) = run.good() {
                    healed += count;
                    lines += 1;
                }
            }
            prop_assert!(healed + run.count == faults);
            prop_assert!(lines <= 2 * (u64::from(BURST) + millis / EVERY.as_millis() as u64));
        }
    }
}
