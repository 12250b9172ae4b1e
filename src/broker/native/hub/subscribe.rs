//! Subscriptions, made and ended, and the retained messages that they bring.

use super::super::message::{Kept, Options};
use super::super::shown::Shown;
use super::super::wire::{Fault, reason};
use super::session::{Cursor, Subscription};
use super::tree::Sub;
use super::{Hub, Key, filter};
use bytestring::ByteString;
use std::num::NonZeroU16;
use std::time::Instant;

impl Hub {
    /// A client's SUBSCRIBE: each filter is answered for itself.
    pub(super) fn subscribe(
        &mut self,
        key: Key,
        id: NonZeroU16,
        filters: Vec<(ByteString, Options)>,
        now: Instant,
    ) -> Result<(), Fault> {
        let five = self.is_five(key);
        self.answers(key, filters.len())?;
        for (text, options) in &filters {
            // MQTT-3.8.3-4.
            if five && options.no_local && text.starts_with("$share/") {
                return Err(Fault::protocol("no local on a shared subscription"));
            }
        }
        let parsed = parsed(filters.iter().map(|(text, _)| text))?;
        let codes: Vec<u8> = parsed
            .into_iter()
            .zip(&filters)
            .map(|(parsed, (_, options))| {
                let parsed = parsed.ok_or(reason::TOPIC_FILTER_INVALID);
                parsed
                    .and_then(|parsed| self.subscribe_one(key, parsed, *options))
                    .unwrap_or_else(|code| code)
            })
            .collect();
        self.say(key, |outlet, out| outlet.encoder.suback(id, &codes, out));
        self.pump(key, now);
        Ok(())
    }

    /// The code for the SUBACK, either way.
    fn subscribe_one(&mut self, key: Key, parsed: filter::Parsed, options: Options) -> Result<u8, u8> {
        let session = &self.sessions[key];
        if !session.grants.may_subscribe(&parsed.filter) {
            tracing::debug!(client = %Shown(&session.client), filter = %Shown(&parsed.filter), "subscription refused: not allowed");
            return Err(reason::NOT_AUTHORIZED);
        }
        let whole = session.mounted(&parsed.group, &parsed.filter);
        let most = self.settings.max_subscriptions;
        if most != 0 && session.subscriptions.len() >= most && !session.subscriptions.contains_key(&whole) {
            return Err(reason::QUOTA_EXCEEDED);
        }
        // What is kept must not hold on to all that came in the same read.
        let whole = ByteString::from(&*whole);
        let filter = match (&session.mount, &parsed.group) {
            (Some(mount), _) => format!("{mount}{}", parsed.filter).into(),
            (None, None) => whole.clone(),
            (None, Some(_)) => ByteString::from(&*parsed.filter),
        };
        let group = parsed.group.map(|group| ByteString::from(&*group));
        let subscription = Subscription {
            options,
            group: group.clone(),
            filter: filter.clone(),
        };
        self.record_subscribed(key, &whole, options);
        let new = self.enter_subscription(key, whole, subscription);
        let wanted = match options.retain_handling {
            0 => true,
            1 => new,
            _ => false,
        };
        // MQTT-4.8.2 says nothing of retained messages for a group; nobody sends them.
        if wanted && group.is_none() {
            self.refresh_sys(&filter);
            self.sessions[key].cursors.push_back(Cursor {
                filter,
                options,
                after: None,
            });
        }
        Ok(options.qos.min(self.most_qos()) as u8)
    }

    /// Puts a subscription into all tables; says whether it is new.
    pub(super) fn enter_subscription(
        &mut self,
        key: Key,
        whole: ByteString,
        subscription: Subscription,
    ) -> bool {
        let session = &self.sessions[key];
        let sub = Sub {
            mount: session.wild_below(&subscription.filter),
            key,
            options: subscription.options,
            apart: self.is_five(key),
        };
        let new = self
            .tree
            .insert(subscription.group.as_ref(), &subscription.filter, sub);
        if new && self.sys.subscribed(&subscription.filter) {
            self.start_sys();
        }
        let session = &mut self.sessions[key];
        if !new && subscription.group.is_none() {
            // Its retained messages are being sent already: once is enough.
            session
                .cursors
                .retain(|cursor| cursor.filter != subscription.filter);
        }
        session.subscriptions.insert(whole, Box::new(subscription));
        new
    }

    /// A client's UNSUBSCRIBE.
    pub(super) fn unsubscribe(
        &mut self,
        key: Key,
        id: NonZeroU16,
        filters: Vec<ByteString>,
    ) -> Result<(), Fault> {
        self.answers(key, filters.len())?;
        let codes: Vec<u8> = parsed(filters.iter())?
            .iter()
            .map(|parsed| match parsed {
                Some(parsed) => self.unsubscribe_one(key, parsed),
                None => reason::TOPIC_FILTER_INVALID,
            })
            .collect();
        self.say(key, |outlet, out| outlet.encoder.unsuback(id, &codes, out));
        Ok(())
    }

    /// Whether a client of MQTT 5 takes a SUBACK or UNSUBACK with so many codes (MQTT-3.1.2-24). Nothing else answers it.
    fn answers(&self, key: Key, codes: usize) -> Result<(), Fault> {
        // The packet id, no properties, and the codes.
        let rest = 3 + codes;
        let header = if rest < 128 { 2 } else { 3 };
        match self.sessions[key].connection() {
            Some(connection) if header + rest > connection.longest => Err(Fault::new(
                reason::PACKET_TOO_LARGE,
                "its answer is longer than the packets that it takes",
            )),
            _ => Ok(()),
        }
    }

    fn unsubscribe_one(&mut self, key: Key, parsed: &filter::Parsed) -> u8 {
        let session = &mut self.sessions[key];
        let whole = session.mounted(&parsed.group, &parsed.filter);
        let Some(subscription) = session.subscriptions.remove(&whole) else {
            return reason::NO_SUBSCRIPTION_EXISTED;
        };
        if session.subscriptions.len() < session.subscriptions.capacity() / 4 {
            session.subscriptions.shrink_to_fit();
        }
        if subscription.group.is_none() {
            session
                .cursors
                .retain(|cursor| cursor.filter != subscription.filter);
        }
        self.take_out(key, &subscription);
        self.record_unsubscribed(key, &whole);
        reason::SUCCESS
    }

    fn is_five(&self, key: Key) -> bool {
        let connection = self.sessions[key].connection();
        connection.is_some_and(|connection| connection.outlet.encoder.version().is_five())
    }

    fn most_qos(&self) -> crate::broker::Qos {
        match self.settings.max_qos {
            0 => crate::broker::Qos::AtMostOnce,
            1 => crate::broker::Qos::AtLeastOnce,
            _ => crate::broker::Qos::ExactlyOnce,
        }
    }

    /// Whether who published a retained message may still do so.
    pub(super) fn source_may_still(&self, kept: &Kept) -> bool {
        let Some(source) = kept.source.as_ref().filter(|_| self.settings.check_source) else {
            return true;
        };
        let mount = self.settings.mounts.get(&source.listener);
        let topic = &*kept.message.topic;
        let topic = mount.map_or(topic, |mount| topic.strip_prefix(&**mount).unwrap_or(topic));
        self.granted(source).may_publish(topic)
    }
}

/// Takes the filters of a packet apart; `None` for a group that is none. MQTT-4.7.1 says what a filter is: another thing
/// is a malformed packet.
fn parsed<'a>(texts: impl Iterator<Item = &'a ByteString>) -> Result<Vec<Option<filter::Parsed>>, Fault> {
    texts
        .map(|text| match filter::parse(text, true) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(filter::Invalid::Group) => Ok(None),
            Err(filter::Invalid::Filter) => Err(Fault::malformed("a filter that is none")),
        })
        .collect()
}
