//! How long to wait before a port that would not open is tried again: capped, jittered, and pure.

use std::time::Duration;

/// The first wait. An adapter that was just plugged in refuses for some ten milliseconds until udev has set its
/// mode, so the first try comes soon.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait: a person who mends the cause should not have to wait long for the port.
const LONGEST: Duration = Duration::from_secs(15);

/// Doubling waits between tries, each drawn from the upper half of its range.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    tries: u32,
    seed: u64,
}

impl Backoff {
    /// Waits that start anew; `seed` makes those of several ports differ.
    pub(crate) fn new(seed: u64) -> Backoff {
        Backoff {
            tries: 0,
            seed: seed | 1,
        }
    }

    /// How long to wait now, after one more failure.
    pub(crate) fn wait(&mut self) -> Duration {
        let full = FIRST.saturating_mul(1 << self.tries.min(20)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        // xorshift64: it only has to keep ports from trying in step.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let share = (self.seed >> 40) as u32;
        full / 2 + (full / 2).mul_f64(f64::from(share) / f64::from(1 << 24))
    }

    /// The port opened: the next failure starts from the shortest wait.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_their_bounds(seed: u64, tries in 0usize..100) {
            let mut backoff = Backoff::new(seed);
            for n in 0..=tries {
                let full = FIRST.saturating_mul(1 << n.min(20)).min(LONGEST);
                let wait = backoff.wait();
                prop_assert!(wait >= full / 2 && wait <= full, "try {n}: {wait:?} of {full:?}");
            }
            backoff.reset();
            prop_assert!(backoff.wait() <= FIRST);
        }
    }
}
