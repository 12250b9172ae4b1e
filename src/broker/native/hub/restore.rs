//! What the store remembered, put back at the start.

use super::super::message::{Kept, Who};
use super::super::store::{Loaded, LoadedMessage, LoadedSession};
use super::filter;
use super::journal::RECEIVED;
use super::session::{Endpoint, FOR_EVER, Flight, Session, Subscription, Waiting};
use super::{Hub, Timer};
use crate::broker::Qos;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Hub {
    /// Takes in what was kept. To be said before anybody is connected, and after `rule` and before `keep`.
    pub(crate) fn restore(&mut self, loaded: Loaded, now: Instant) {
        for kept in loaded.retained {
            self.retained.set(kept, self.settings.max_retained);
        }
        for session in loaded.sessions {
            self.restore_session(session, now);
        }
    }

    fn restore_session(&mut self, loaded: LoadedSession, now: Instant) {
        let mut session = Session::new(loaded.client.clone(), Endpoint::Away);
        let who = Arc::new(Who {
            user: loaded.record.user,
            client: loaded.client,
            listener: loaded.record.listener,
        });
        // Its will, and what comes for it, are asked for as if it were here.
        session.grants = self.granted(&who);
        session.mount = self.settings.mounts.get(&who.listener).cloned();
        session.who = who;
        session.expiry = loaded.record.expiry;
        session.stored = true;
        session.ids_from(loaded.record.last_id);
        let away = loaded.record.away.unwrap_or_default();
        session.away_since = now.checked_sub(away).or(Some(now));
        for LoadedMessage {
            seq,
            packet_id,
            message,
            qos,
            retain,
            ids,
            sent,
        } in loaded.queue
        {
            if seq & RECEIVED != 0 {
                // One that was released before its end was written is not to come again.
                let id = (seq & 0xffff) as u16;
                if loaded.received.contains(&id) {
                    session.received.insert(id, message);
                }
                continue;
            }
            session.seq_from(seq);
            let id_sent = sent.and_then(|(id, _)| NonZeroU16::new(id));
            let id = id_sent.or(packet_id);
            if let Some(id) = id {
                session.uses_id(id);
            }
            let waiting = Waiting {
                message,
                qos,
                retain,
                ids,
                id,
                seq,
                share: None,
            };
            match id_sent.zip(sent) {
                Some((id, (_, released))) => session.flights.push_back(Flight {
                    id,
                    released: released && qos == Qos::ExactlyOnce,
                    qos,
                    seq,
                    waiting: (!released).then_some(waiting),
                }),
                None => session.queue.push(waiting),
            }
        }
        let will = loaded.record.will.as_ref();
        session.will = will.map(|(_, will)| Box::new(will.clone()));
        let (expiry, client) = (session.expiry, session.client.clone());
        let key = self.sessions.insert(session);
        self.clients.insert(client, key);
        self.offline += 1;
        for (text, options) in loaded.subscriptions {
            if let Ok(parsed) = filter::parse(&text, true) {
                let subscription = Subscription {
                    options,
                    group: parsed.group,
                    filter: parsed.filter,
                };
                self.enter_subscription(key, text, subscription);
            }
        }
        if let Some((left, _)) = loaded.record.will {
            let due = now + left;
            self.sessions[key].will_due = Some(due);
            self.arm(due, Timer::Will(key));
        }
        if expiry != FOR_EVER {
            // Who was connected when the process ended is away since now.
            let due = now + Duration::from_secs(expiry.into()).saturating_sub(away);
            self.sessions[key].forget_due = Some(due);
            self.arm(due, Timer::Forget(key));
        }
    }

    /// All that is to outlive the process, as it is now: for a store that begins anew.
    pub(crate) fn retained_messages(&self) -> impl Iterator<Item = &Kept> {
        self.retained
            .iter()
            .filter(|kept| !kept.message.topic.starts_with("$SYS/"))
    }
}
