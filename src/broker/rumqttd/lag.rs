//! How far the network's subscribers are behind what we publish, and how long they are waited for.
//!
//! rumqttd keeps the newest messages of each filter and drops the oldest, read or not; nothing holds a publisher
//! back. But its scheduler traces when a connection has read everything and when it has more to read, and
//! `report.rs` hears that. From it follows a bound: a subscriber that has been behind since so many bytes is
//! not further behind than that. When the bound nears what the logs keep, publishers wait until it has caught
//! up, though not for ever: who doesn't manage in `PATIENCE` harms itself alone, and nobody waits for it again
//! until it has caught up by itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout_at;

/// How long publishers wait for one subscriber. A task that is short of processor time or a socket that is full
/// for a moment catches up within it; the kernel buffers a serial line at 115200 baud for 300 ms.
const PATIENCE: Duration = Duration::from_millis(300);

/// The process's: events from the crate say a client's id, not which router it is of.
pub(super) static LAG: LazyLock<Lag> = LazyLock::new(Lag::new);

pub(super) struct Lag {
    /// Bytes that our links have published, counted as the crate's logs count them.
    published: AtomicU64,
    /// What `published` was when the one fell behind that has been so for longest; MAX: nobody is. It may be
    /// too old, and is put right when it matters.
    oldest: AtomicU64,
    behind: Mutex<HashMap<String, Behind>>,
    caught_up: Notify,
}

struct Behind {
    since: u64,
    at: Instant,
}

impl Lag {
    fn new() -> Lag {
        Lag {
            published: AtomicU64::new(0),
            oldest: AtomicU64::new(u64::MAX),
            behind: Mutex::default(),
            caught_up: Notify::new(),
        }
    }

    /// A message of so many bytes is published.
    pub(super) fn count(&self, bytes: usize) {
        self.published.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The client has more to read than it has read.
    pub(super) fn fell_behind(&self, client: String) {
        let since = self.published.load(Ordering::Relaxed);
        let mut behind = super::locked(&self.behind);
        behind.entry(client).or_insert_with(|| Behind {
            since,
            at: Instant::now(),
        });
        self.oldest.fetch_min(since, Ordering::Relaxed);
    }

    /// The client has read everything.
    pub(super) fn caught_up(&self, client: &str) {
        let mut behind = super::locked(&self.behind);
        behind.remove(client);
        if behind.is_empty() {
            self.oldest.store(u64::MAX, Ordering::Relaxed);
        }
        drop(behind);
        self.caught_up.notify_waiters();
    }

    /// Whether to wait before more is published: somebody may be behind by more than `limit` bytes.
    pub(super) fn over(&self, limit: u64) -> bool {
        let oldest = self.oldest.load(Ordering::Relaxed);
        self.published.load(Ordering::Relaxed).saturating_sub(oldest) > limit && self.until(limit).is_some()
    }

    /// Waits while somebody is behind by more than `limit` bytes and may still catch up. Safe to cancel.
    pub(super) async fn wait(&self, limit: u64) {
        loop {
            // Made before the look, so that nobody's catching up falls between.
            let caught_up = self.caught_up.notified();
            let Some(until) = self.until(limit) else { return };
            let _ = timeout_at(until.into(), caught_up).await;
        }
    }

    /// When the patience with the first of those ends who are behind by more than `limit`; those whose time is
    /// over are given up.
    fn until(&self, limit: u64) -> Option<Instant> {
        let mut behind = super::locked(&self.behind);
        let published = self.published.load(Ordering::Relaxed);
        let mut first: Option<Instant> = None;
        behind.retain(|client, Behind { since, at }| {
            if published.saturating_sub(*since) <= limit {
                return true;
            }
            let until = *at + PATIENCE;
            if until <= Instant::now() {
                tracing::debug!(client, "a subscriber is too slow and not waited for any more");
                return false;
            }
            first = Some(first.map_or(until, |first| first.min(until)));
            true
        });
        let oldest = behind.values().map(|behind| behind.since).min();
        self.oldest.store(oldest.unwrap_or(u64::MAX), Ordering::Relaxed);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_behind_holds_nothing_back() {
        let lag = Lag::new();
        lag.count(1_000_000);
        assert!(!lag.over(100));
    }

    #[test]
    fn the_one_that_is_behind_for_longest_counts() {
        let lag = Lag::new();
        lag.fell_behind("slow".into());
        lag.count(60);
        lag.fell_behind("quick".into());
        lag.fell_behind("slow".into());
        assert!(!lag.over(100));
        lag.count(60);
        assert!(lag.over(100));
        lag.caught_up("slow");
        assert!(!lag.over(100));
        lag.count(60);
        assert!(lag.over(100));
        lag.caught_up("quick");
        assert!(!lag.over(0));
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_last_has_caught_up() {
        let lag = Lag::new();
        lag.fell_behind("a".into());
        lag.fell_behind("b".into());
        lag.count(200);
        let catch_up = async {
            tokio::task::yield_now().await;
            lag.caught_up("a");
            tokio::task::yield_now().await;
            assert!(lag.over(100));
            lag.caught_up("b");
        };
        let begin = Instant::now();
        tokio::join!(lag.wait(100), catch_up);
        assert!(!lag.over(100) && begin.elapsed() < PATIENCE);
    }

    #[tokio::test]
    async fn who_does_not_catch_up_is_given_up() {
        let lag = Lag::new();
        lag.fell_behind("dead".into());
        lag.count(200);
        assert!(lag.over(100));
        let begin = Instant::now();
        lag.wait(100).await;
        assert!(begin.elapsed() >= PATIENCE - Duration::from_millis(20));
        lag.count(200);
        assert!(!lag.over(100));
    }
}
