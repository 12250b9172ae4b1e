//! A message for one session: sent at once where there is room, else it waits, within bounds.

use super::super::shown::Shown;
use super::publish::{Hit, Publication};
use super::send::{Manner, journal_done};
use super::session::{Endpoint, Session, Waiting};
use super::{Hub, Key, Timer};
use crate::broker::{self, Qos};
use crate::topic::Topic;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How long publishers wait for a client that is behind before it loses messages: a stall of its machine, not more.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// What a session's queue may hold where no bound is configured, before publishers wait for it.
pub(super) const PRESSING: (usize, usize) = (1000, 1024 * 1024);

impl Hub {
    /// Delivers to one session what its subscriptions `hits` ask for. Tells whether it is behind and worth waiting for.
    pub(super) fn deliver(
        &mut self,
        publication: &mut Publication,
        hits: &[Hit],
        now: Instant,
    ) -> Option<Key> {
        let first = hits.first()?;
        let key = first.key;
        let session = self.sessions.get_mut(key)?;
        let message = &publication.message;
        // MQTT-3.3.2-5: it waited for its release, or for another member of a group, for too long.
        if message.expires.is_some_and(|expires| expires < now) {
            return None;
        }
        let asked = hits.iter().map(|hit| hit.qos).max().unwrap_or_default();
        let qos = if self.settings.upgrade {
            asked
        } else {
            asked.min(message.qos)
        };
        // MQTT-3.3.1-12 and MQTT-3.3.1-13.
        let retain = message.retain && hits.iter().any(|hit| hit.as_published);
        let ids: Vec<NonZeroU32> = hits.iter().filter_map(|hit| hit.id).collect();
        let manner = Manner {
            qos,
            retain,
            ids: &ids,
            share: first.share.as_ref(),
        };
        if let Endpoint::Local(inbox) = &session.endpoint {
            if let Ok(topic) = Topic::parse(&message.topic) {
                inbox.push(broker::Message {
                    topic,
                    payload: message.payload.clone(),
                    qos,
                    retain: false,
                    beside: super::super::beside::of(message, publication.sent.as_ref()),
                });
            }
            return None;
        }
        if !session.grants.may_receive(session.below_mount(&message.topic)) {
            return None;
        }
        if session.is_away() && qos == Qos::AtMostOnce && !self.settings.queue_zero {
            return None;
        }
        if self.send_now(key, publication, manner, now) {
            return None;
        }
        self.enqueue(key, publication, manner, now);
        self.sessions[key].pressure.holds().then_some(key)
    }

    /// Lets a message wait, within the bounds of the session's queue.
    fn enqueue(&mut self, key: Key, publication: &mut Publication, manner: Manner<'_>, now: Instant) {
        let settings = &self.settings;
        let session = &mut self.sessions[key];
        let size = publication.message.topic.len() + publication.message.payload.len() + 64;
        let full = |session: &Session| {
            settings.max_queued != 0 && session.queue.len() >= settings.max_queued
                || settings.max_queued_bytes != 0
                    && !session.queue.is_empty()
                    && session.queue.bytes() + size > settings.max_queued_bytes
        };
        while full(session) {
            self.stats.dropped += 1;
            if let Some(count) = session.drops.fault(now) {
                let client = Shown(&session.client);
                tracing::warn!(event = "client-slow", client = %client, count, "messages dropped: the client's queue is full");
            }
            if !settings.drop_oldest {
                return;
            }
            let Some(oldest) = session.queue.pop() else {
                return;
            };
            session.frees_id(oldest.id);
            journal_done(&mut self.journal, session, oldest.seq);
        }
        let seq = session.seq();
        let id = if manner.qos == Qos::AtMostOnce {
            None
        } else {
            session.free_id()
        };
        let waiting = Waiting::new(publication.share(), manner, seq, id);
        if let (Some(journal), true) = (
            &mut self.journal,
            session.stored && waiting.qos != Qos::AtMostOnce,
        ) {
            journal.queue(&session.client, &waiting);
        }
        session.queue.push(waiting);
        // The connection's task asks for more when it has written what it has.
        let (most, most_bytes) = (
            if settings.max_queued == 0 {
                PRESSING.0
            } else {
                settings.max_queued
            },
            if settings.max_queued_bytes == 0 {
                PRESSING.1
            } else {
                settings.max_queued_bytes
            },
        );
        let pressing = session.queue.len() * 2 > most || session.queue.bytes() * 2 > most_bytes;
        let Some(connection) = session.connection() else {
            return;
        };
        {
            let mut state = connection.outlet.lock();
            state.more = true;
            if state.is_empty() {
                state.wake();
            }
        }
        if pressing && session.pressure.since.is_none() {
            session.pressure.since = Some(now);
            self.arm(now + PATIENCE, Timer::Patience(key));
        }
    }
}
