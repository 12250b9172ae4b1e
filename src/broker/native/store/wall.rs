//! Two clocks: the one inside, which never jumps but means nothing after a restart, and the one on the wall.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The same moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wall {
    pub(super) now: Instant,
    /// Milliseconds since 1970.
    pub(super) millis: i64,
}

impl Wall {
    pub(super) fn now() -> Wall {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wall {
            now: Instant::now(),
            millis: whole(since),
        }
    }

    /// What stands on the wall at `at`.
    pub(super) fn at(&self, at: Instant) -> i64 {
        let (late, early) = (
            at.saturating_duration_since(self.now),
            self.now.saturating_duration_since(at),
        );
        self.millis
            .saturating_add(whole(late))
            .saturating_sub(whole(early))
    }

    /// How long it is until then; nothing if it has passed.
    pub(super) fn until(&self, millis: i64) -> Duration {
        Duration::from_millis(u64::try_from(millis.saturating_sub(self.millis)).unwrap_or(0))
    }

    /// How long ago that was; nothing if it is to come, as a clock without a battery may say.
    pub(super) fn since(&self, millis: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.millis.saturating_sub(millis)).unwrap_or(0))
    }
}

/// In milliseconds.
pub(super) fn whole(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let wall = Wall::now();
        let hour = Duration::from_secs(3_600);
        assert_eq!(wall.at(wall.now), wall.millis);
        assert_eq!(wall.until(wall.at(wall.now + hour)), hour);
        assert_eq!(wall.since(wall.at(wall.now + hour)), Duration::ZERO);
        assert_eq!(wall.until(i64::MIN), Duration::ZERO);
        assert_eq!(wall.since(i64::MAX), Duration::ZERO);
    }
}
