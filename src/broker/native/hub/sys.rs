//! `$SYS/broker/...`: what the broker tells of itself, under the names that mosquitto's users know.
//!
//! Made while somebody is subscribed, and when somebody subscribes: a broker at rest is not woken for it.

use super::super::message::{Kept, Message};
use super::{Hub, Timer};
use crate::broker::Qos;
use bytes::Bytes;
use bytestring::ByteString;
use std::sync::Arc;
use std::time::Instant;

/// What is remembered between two times.
#[derive(Debug)]
pub(super) struct Sys {
    start: Instant,
    last: Instant,
    /// Subscriptions whose filters begin with `$SYS`.
    watchers: usize,
    running: bool,
    loads: [Load; 7],
}

/// A counter's rate per minute, over 1, 5 and 15 minutes.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    last: u64,
    averages: [f64; 3],
}

/// The counters that have load averages, as their topics name them.
const LOADS: [&str; 7] = [
    "messages/received",
    "messages/sent",
    "publish/received",
    "publish/sent",
    "bytes/received",
    "bytes/sent",
    "connections",
];
const MINUTES: [(f64, &str); 3] = [(60.0, "1min"), (300.0, "5min"), (900.0, "15min")];

fn is_sys(filter: &str) -> bool {
    filter == "$SYS" || filter.starts_with("$SYS/")
}

impl Sys {
    pub(super) fn new(now: Instant) -> Sys {
        Sys {
            start: now,
            last: now,
            watchers: 0,
            running: false,
            loads: [Load::default(); 7],
        }
    }

    /// Whether somebody now watches, and nobody has before.
    pub(super) fn subscribed(&mut self, filter: &str) -> bool {
        if !is_sys(filter) {
            return false;
        }
        self.watchers += 1;
        !self.running
    }

    pub(super) fn unsubscribed(&mut self, filter: &str) {
        if is_sys(filter) {
            self.watchers = self.watchers.saturating_sub(1);
        }
    }

    /// Brings the averages up to date.
    fn sample(&mut self, counters: [u64; 7], now: Instant) {
        let seconds = now.saturating_duration_since(self.last).as_secs_f64();
        if seconds < 1.0 {
            return;
        }
        self.last = now;
        for (load, counter) in self.loads.iter_mut().zip(counters) {
            let rate = counter.saturating_sub(load.last) as f64 * 60.0 / seconds;
            load.last = counter;
            for (average, (span, _)) in load.averages.iter_mut().zip(MINUTES) {
                let keep = (-seconds / span).exp();
                *average = *average * keep + rate * (1.0 - keep);
            }
        }
    }
}

impl Hub {
    /// Someone has subscribed: the values are made now, and from now on in their rhythm.
    pub(super) fn start_sys(&mut self) {
        self.sys.running = !self.settings.sys_interval.is_zero();
    }

    /// Makes the values for a subscription that asks for them.
    pub(super) fn refresh_sys(&mut self, filter: &str) {
        if is_sys(filter) && self.sys.running {
            let now = self.sys.last.max(Instant::now());
            self.write_sys(now, false);
            let due = now + self.settings.sys_interval;
            if !self.timers.iter().any(|(_, timer)| *timer == Timer::Sys) {
                self.arm(due, Timer::Sys);
            }
        }
    }

    /// The interval may be another now.
    pub(super) fn renew_sys(&mut self, now: Instant) {
        let waiting = self.timers.iter().any(|(_, timer)| *timer == Timer::Sys);
        if self.sys.watchers > 0 && !self.settings.sys_interval.is_zero() && !waiting {
            self.sys.running = true;
            self.arm(now + self.settings.sys_interval, Timer::Sys);
        }
    }

    /// The rhythm's next time.
    pub(super) fn publish_sys(&mut self, now: Instant) {
        if self.sys.watchers == 0 || self.settings.sys_interval.is_zero() {
            self.sys.running = false;
            return;
        }
        self.write_sys(now, true);
        self.arm(now + self.settings.sys_interval, Timer::Sys);
    }

    fn write_sys(&mut self, now: Instant, publish: bool) {
        let stats = self.stats;
        let counters = [
            stats.messages_received,
            stats.messages_sent,
            stats.publishes_received,
            stats.publishes_sent,
            stats.bytes_received,
            stats.bytes_sent,
            stats.connections,
        ];
        self.sys.sample(counters, now);
        let uptime = now.saturating_duration_since(self.sys.start).as_secs();
        let (away, connected) = (self.offline, self.connected);
        let local = self.sessions.len() - away - connected - self.leaving.len();
        let queued: usize = self.sessions.iter().map(|(_, session)| session.queue.len()).sum();
        let kept = self
            .retained
            .iter()
            .filter(|kept| !kept.message.topic.starts_with('$'))
            .count();
        let numbers: [(&str, u64); 25] = [
            ("clients/total", (away + connected) as u64),
            ("clients/connected", connected as u64),
            ("clients/active", connected as u64),
            ("clients/disconnected", away as u64),
            ("clients/inactive", away as u64),
            ("clients/maximum", stats.most_connected as u64),
            ("clients/expired", stats.expired),
            ("messages/received", stats.messages_received),
            ("messages/sent", stats.messages_sent),
            ("messages/stored", (queued + kept) as u64),
            ("store/messages/count", (queued + kept) as u64),
            ("publish/messages/received", stats.publishes_received),
            ("publish/messages/sent", stats.publishes_sent),
            ("publish/messages/dropped", stats.dropped),
            ("publish/messages/not-retained", stats.not_retained),
            ("publish/bytes/received", stats.publish_bytes_received),
            ("publish/bytes/sent", stats.publish_bytes_sent),
            ("bytes/received", stats.bytes_received),
            ("bytes/sent", stats.bytes_sent),
            ("store/publishers/held", stats.held),
            ("retained messages/count", kept as u64),
            ("subscriptions/count", self.tree.len() as u64),
            ("shared_subscriptions/count", self.shared() as u64),
            ("links/count", local as u64),
            ("connections/total", stats.connections),
        ];
        let version = concat!("mqttyd version ", env!("CARGO_PKG_VERSION"));
        self.tell("version".into(), version.into(), publish, now);
        self.tell("uptime".into(), format!("{uptime} seconds"), publish, now);
        for (name, value) in numbers {
            self.tell(name.into(), value.to_string(), publish, now);
        }
        let loads = self.sys.loads;
        for (name, load) in LOADS.iter().zip(loads) {
            for (average, (_, minutes)) in load.averages.iter().zip(MINUTES) {
                self.tell(
                    format!("load/{name}/{minutes}"),
                    format!("{average:.2}"),
                    publish,
                    now,
                );
            }
        }
    }

    fn shared(&self) -> usize {
        let sessions = self.sessions.iter();
        sessions
            .flat_map(|(_, session)| session.subscriptions.values())
            .filter(|subscription| subscription.group.is_some())
            .count()
    }

    /// Sets one value, and publishes it if it is another than before.
    fn tell(&mut self, name: String, value: String, publish: bool, now: Instant) {
        let topic = ByteString::from(format!("$SYS/broker/{name}"));
        let same = self
            .retained
            .get(&topic, now)
            .is_some_and(|kept| kept.message.payload == value.as_bytes());
        if same {
            return;
        }
        let message = Message {
            topic,
            payload: Bytes::from(value),
            qos: Qos::AtMostOnce,
            retain: true,
            expires: None,
            properties: None,
        };
        let kept = Kept {
            message: Arc::new(message.clone()),
            source: None,
        };
        self.retained.set(kept, 0);
        if publish {
            // It is kept already, and the store has nothing to do with it.
            let message = Message {
                retain: false,
                ..message
            };
            self.publish(message, None, now);
        }
    }
}
