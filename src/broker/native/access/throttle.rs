//! How long an address waits that has given wrong passwords. No clock: time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How many addresses are remembered; the one that has been good for longest is forgotten for a new one.
const MOST: usize = 1024;
/// How long the second attempt waits; each failure doubles it.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
/// On this machine it is rather a program of its own with an old password, and it has neighbours.
const LONGEST_HERE: Duration = Duration::from_millis(50);
/// After this time without a failure one is forgiven.
const FORGIVEN: Duration = Duration::from_secs(10);
/// What is counted at most, so that an address is forgiven within minutes.
const COUNTED: u32 = 12;
/// How many log-ins of one address wait at the same time; more stand behind them.
const ABREAST: usize = 8;

/// The addresses that have failed lately.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    addresses: HashMap<IpAddr, Record>,
}

#[derive(Debug)]
struct Record {
    failures: u32,
    last: Instant,
    gate: Arc<Semaphore>,
}

/// What an address has to go through before its password is looked at.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) delay: Duration,
    /// One permit for each log-in that waits.
    pub(super) gate: Arc<Semaphore>,
}

impl Throttle {
    /// What a log-in from this address waits for. None: nothing.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Wait> {
        let record = self.addresses.get(&network(address))?;
        let failures = record.failures_at(now);
        let longest = if address.is_loopback() {
            LONGEST_HERE
        } else {
            LONGEST
        };
        let doubled = FIRST * 2u32.saturating_pow(failures.checked_sub(1)?.min(16));
        Some(Wait {
            delay: doubled.min(longest),
            gate: record.gate.clone(),
        })
    }

    /// A log-in from this address failed.
    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        if self.addresses.len() >= MOST && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, record| record.failures_at(now) > 0);
            let oldest = self.addresses.iter().min_by_key(|(_, record)| record.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address)
                && self.addresses.len() >= MOST
            {
                self.addresses.remove(&oldest);
            }
        }
        let record = self.addresses.entry(address).or_insert_with(|| Record {
            failures: 0,
            last: now,
            gate: Arc::new(Semaphore::new(ABREAST)),
        });
        record.failures = (record.failures_at(now) + 1).min(COUNTED);
        record.last = now;
    }
}

impl Record {
    fn failures_at(&self, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.last).as_secs() / FORGIVEN.as_secs();
        self.failures
            .saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
    }
}

/// Who has one address of an IPv6 network has all of its 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn delays(address: IpAddr) -> Vec<u64> {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let millis = |throttle: &Throttle| {
            throttle
                .wait(address, now)
                .map_or(0, |wait| wait.delay.as_millis())
        };
        (0..8)
            .map(|_| {
                let delay = millis(&throttle);
                throttle.failed(address, now);
                u64::try_from(delay).unwrap()
            })
            .collect()
    }

    #[test]
    fn each_failure_doubles_what_the_next_waits() {
        assert_eq!(
            delays(address("10.0.0.1")),
            [0, 100, 200, 400, 800, 1600, 2000, 2000]
        );
        assert_eq!(delays(address("::1")), [0, 50, 50, 50, 50, 50, 50, 50]);
    }

    #[test]
    fn others_wait_for_nothing_but_a_network_is_one() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for bad in ["10.0.0.1", "2001:db8::1"] {
            throttle.failed(address(bad), now);
        }
        assert!(throttle.wait(address("10.0.0.2"), now).is_none());
        assert!(throttle.wait(address("::ffff:10.0.0.1"), now).is_some());
        assert!(throttle.wait(address("2001:db8::ffff"), now).is_some());
        assert!(throttle.wait(address("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn what_failed_is_forgiven() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        (0..100).for_each(|_| throttle.failed(address("10.0.0.1"), now));
        let later = now + FORGIVEN * COUNTED;
        assert!(throttle.wait(address("10.0.0.1"), later - FORGIVEN).is_some());
        assert!(throttle.wait(address("10.0.0.1"), later).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_table_is_bounded(start: u32, steps in prop::collection::vec(0u32..100, 0..50)) {
            let (mut throttle, mut now) = (Throttle::default(), Instant::now());
            for n in 0..2 * u32::try_from(MOST).unwrap() {
                throttle.failed(IpAddr::V4(start.wrapping_add(n).into()), now);
            }
            prop_assert!(throttle.addresses.len() <= MOST);
            for step in steps {
                now += Duration::from_millis(step.into());
                throttle.failed(IpAddr::V4(step.into()), now);
                prop_assert!(throttle.addresses.len() <= MOST);
                let delay = throttle.wait(IpAddr::V4(step.into()), now).unwrap().delay;
                prop_assert!(FIRST <= delay && delay <= LONGEST);
            }
        }
    }
}
