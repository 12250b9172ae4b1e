//! A client's end: what it has heard, what it owes, and what a client that keeps the rules may rely on.

use super::super::super::wire::heard::{Heard, heard};
use super::super::super::wire::{Packet, Version};
use super::super::{Outlet, Seat, filter};
use super::Qos;
use bytes::BytesMut;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Client {
    pub(super) connection: Option<(Seat, Arc<Outlet>)>,
    pub(super) five: bool,
    version: Option<Version>,
    /// Whether it has acknowledged only what it has heard, since its session began.
    pub(super) honest: bool,
    /// Acknowledgements that it has not sent yet.
    pub(super) owes: Vec<Packet>,
    /// QoS 2 messages that it has got and that are not released yet.
    open: HashMap<NonZeroU16, String>,
    /// How often each QoS 2 message came as a new one.
    once: HashMap<String, usize>,
    /// What it has ever subscribed to in this session.
    filters: HashSet<&'static str>,
    /// The same of the sessions before, and whether it has not always been honest in them.
    earlier: HashSet<&'static str>,
    once_dishonest: bool,
    began: bool,
    /// Topics that the broker has named by a number on this connection.
    aliases: HashMap<u16, String>,
    /// On this connection: the last QoS 1 message of each topic.
    last: HashMap<String, u32>,
}

impl Client {
    pub(super) fn connects(&mut self, version: Version) {
        self.version = Some(version);
        self.five = version.is_five();
        self.owes.clear();
        self.last.clear();
        self.aliases.clear();
    }

    /// Its session begins anew, or nothing of what was is left in it.
    pub(super) fn begins_anew(&mut self) {
        self.once_dishonest |= self.began && !self.honest;
        (self.began, self.honest) = (true, true);
        self.open.clear();
        self.once.clear();
        self.earlier.extend(self.filters.drain());
    }

    /// The broker has been restarted: a session may be back whose end was not written yet.
    pub(super) fn may_be_back(&mut self) {
        self.honest &= !self.once_dishonest;
        self.filters.extend(&self.earlier);
    }

    pub(super) fn subscribes(&mut self, filter: &'static str) {
        self.filters.insert(filter);
    }

    pub(super) fn hears(&mut self, bytes: &mut BytesMut) {
        let version = self.version.expect("who reads has connected");
        for one in heard(version, bytes) {
            match one {
                Heard::Publish {
                    topic,
                    payload,
                    qos,
                    id,
                    dup,
                    retain,
                    ..
                } => {
                    let text = String::from_utf8(payload.to_vec()).expect("as it was published");
                    assert!(!(dup && qos == Qos::AtMostOnce), "DUP with QoS 0");
                    self.message(&topic, text, qos, id, retain);
                }
                Heard::Pubrec(id) => self.owes.push(Packet::Pubrel(id)),
                Heard::Pubrel(id) => {
                    self.open.remove(&id);
                    self.owes.push(Packet::Pubcomp(id));
                }
                Heard::Connack(..) | Heard::Puback(..) | Heard::Pubcomp(_) | Heard::Other(_) => {}
            }
        }
    }

    fn message(&mut self, topic: &str, text: String, qos: Qos, id: Option<NonZeroU16>, retain: bool) {
        assert_eq!(
            id.is_some(),
            qos != Qos::AtMostOnce,
            "a packet id where there must be one"
        );
        let Some(id) = id else { return };
        if qos == Qos::AtLeastOnce {
            self.owes.push(Packet::Puback(id));
            self.in_order(topic, &text, retain);
            return;
        }
        self.owes.push(Packet::Pubrec(id, 0));
        if !self.honest {
            return;
        }
        match self.open.insert(id, text.clone()) {
            Some(before) => assert_eq!(before, text, "the id {id} of a message that is not released"),
            None => self.once_more(text, retain),
        }
    }

    /// Exactly once: for each subscription, where they are told apart.
    fn once_more(&mut self, text: String, retain: bool) {
        // What was retained comes again when it is asked for again; wills and empty ones have no number.
        let numbered = text.ends_with(" 0") || text.ends_with("long");
        if retain || !numbered {
            return;
        }
        let count = self.once.entry(text.clone()).or_default();
        *count += 1;
        let most = self.filters.len().max(1);
        assert!(
            *count <= most,
            "{text:?} came {count} times, with {most} subscriptions"
        );
    }

    /// Messages of one publisher's topic keep their order (MQTT-4.6.0-6). What a group passes on, and what was retained,
    /// comes late.
    fn in_order(&mut self, topic: &str, text: &str, retain: bool) {
        let mut words = text.split(' ');
        let (Some("1"), Some(number)) = (words.next(), words.next()) else {
            return;
        };
        let shared = self.filters.iter().any(|filter| filter.starts_with("$share"));
        let several = self
            .filters
            .iter()
            .filter(|filter| !topic.is_empty() && filter::matches(filter, topic))
            .count()
            > 1;
        if retain || shared || several || topic.is_empty() || !self.honest {
            return;
        }
        let number = number.parse().expect("its number");
        let last = self.last.entry(topic.into()).or_default();
        assert!(number >= *last, "{number} on {topic} came after {last}");
        *last = number;
    }
}
