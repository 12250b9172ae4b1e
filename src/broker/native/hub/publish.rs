//! A message on its way in: what it must be, who gets it, and whether it is kept.

use super::super::message::{Kept, Message};
use super::super::shown::Shown;
use super::super::wire::{Ack, Fault, Publish, reason};
use super::session::{Endpoint, Session, Share};
use super::tree::{Found, Group};
use super::{Flow, Holder, Hub, Key, Timer, filter};
use crate::broker::{Qos, Sent};
use bytes::Bytes;
use bytestring::ByteString;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Routed {
    /// Whether somebody is subscribed to its topic.
    pub(crate) matched: bool,
    /// A receiver that is behind, and is worth waiting for.
    pub(crate) held_by: Option<Key>,
}

impl Routed {
    /// What the publisher is to do.
    pub(super) fn flow(self) -> Flow {
        self.held_by
            .map_or(Flow::On, |key| Flow::Hold(Holder::Reader(key)))
    }
}

/// A subscription that a message is for.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) key: Key,
    pub(super) qos: Qos,
    pub(super) as_published: bool,
    pub(super) id: Option<NonZeroU32>,
    /// Whether it is delivered for itself, though others of the session match, too.
    pub(super) apart: bool,
    pub(super) share: Option<Arc<Share>>,
}

/// A message, and its copy for those who must wait for it.
pub(super) struct Publication {
    pub(super) message: Message,
    /// How its sender has numbered it.
    pub(super) sent: Option<Sent>,
    shared: Option<Arc<Message>>,
}

impl Publication {
    pub(super) fn new(message: Message) -> Publication {
        Publication {
            message,
            sent: None,
            shared: None,
        }
    }

    /// A copy of its own: the message itself is a part of what came from the socket in one read, which would be kept
    /// as long.
    pub(super) fn share(&mut self) -> Arc<Message> {
        let message = &self.message;
        let shared = self.shared.get_or_insert_with(|| {
            let topic = match &message.topic {
                topic if topic.is_empty() => ByteString::new(),
                topic => ByteString::from(&**topic),
            };
            Arc::new(Message {
                topic,
                payload: Bytes::copy_from_slice(&message.payload),
                ..message.clone()
            })
        });
        shared.clone()
    }
}

impl Hub {
    /// A client's PUBLISH.
    pub(super) fn published(&mut self, key: Key, publish: Publish, now: Instant) -> Result<Flow, Fault> {
        self.stats.publishes_received += 1;
        self.stats.publish_bytes_received += publish.payload.len() as u64;
        let topic = self.named(key, &publish)?;
        if publish.qos as u8 > self.settings.max_qos {
            return Err(Fault::new(
                reason::QOS_NOT_SUPPORTED,
                "a quality of service that is not allowed",
            ));
        }
        if publish.retain && !self.settings.retain {
            return Err(Fault::new(
                reason::RETAIN_NOT_SUPPORTED,
                "nothing is retained here",
            ));
        }
        if !filter::topic_has_few_levels(&topic) {
            return Err(Fault::protocol("the topic has too many levels"));
        }
        if let (Some(id), Qos::ExactlyOnce) = (publish.id, publish.qos) {
            let received = &self.sessions[key].received;
            if received.contains_key(&id.get()) {
                // It has come again: it was taken the first time (section 4.3.3).
                self.acknowledge(key, Ack::Pubrec, id, reason::SUCCESS);
                return Ok(Flow::On);
            }
            if received.len() >= self.settings.max_inflight.into() {
                let what = "more unacknowledged messages than are allowed";
                return Err(Fault::new(reason::RECEIVE_MAXIMUM_EXCEEDED, what));
            }
        }
        let refused = self.refusal(key, &topic, &publish);
        let message = Message {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            expires: publish
                .expiry
                .and_then(|seconds| now.checked_add(Duration::from_secs(seconds.into()))),
            properties: publish.properties,
        };
        let (code, routed) = match (refused, publish.qos, publish.id) {
            (Some(code), ..) => (code, Routed::default()),
            (None, Qos::ExactlyOnce, Some(id)) => {
                // It is delivered when it is released (section 4.3.3, method A).
                let message = Publication::new(message).share();
                self.record_received(key, id, &message);
                self.sessions[key].received.insert(id.get(), message);
                (reason::SUCCESS, Routed::default())
            }
            (None, ..) => {
                let sent = publish.id.map(|id| Sent {
                    client: self.sessions[key].client.clone().into_bytes(),
                    id: id.get(),
                    again: publish.dup,
                });
                let routed = self.publish_of(message, sent, Some(key), now);
                let nobody = !routed.matched;
                let code = if nobody {
                    reason::NO_MATCHING_SUBSCRIBERS
                } else {
                    reason::SUCCESS
                };
                (code, routed)
            }
        };
        if let Some(id) = publish.id {
            let kind = if publish.qos == Qos::ExactlyOnce {
                Ack::Pubrec
            } else {
                Ack::Puback
            };
            self.acknowledge(key, kind, id, code);
        }
        Ok(routed.flow())
    }

    /// Why a message is not taken, by the reason code for its acknowledgement.
    fn refusal(&mut self, key: Key, topic: &str, publish: &Publish) -> Option<u8> {
        let session = &self.sessions[key];
        if self.settings.message_size != 0 && publish.payload.len() > self.settings.message_size {
            self.stats.dropped += 1;
            return Some(reason::PACKET_TOO_LARGE);
        }
        // Only the broker speaks there; but for those that bridge two brokers, and tell so.
        let system = topic.starts_with("$SYS/") && !filter::matches("$SYS/broker/connection/+/state", topic);
        if system || topic.starts_with("$share/") {
            return Some(reason::NOT_AUTHORIZED);
        }
        if !session.grants.may_publish(session.below_mount(topic)) {
            tracing::debug!(client = %Shown(&session.client), topic = %Shown(topic), "publish refused: not allowed");
            return Some(reason::NOT_AUTHORIZED);
        }
        None
    }

    /// The topic of a PUBLISH, which an alias may stand for (MQTT 5 section 3.3.2.3.4).
    fn named(&mut self, key: Key, publish: &Publish) -> Result<ByteString, Fault> {
        let most = usize::from(self.settings.max_alias);
        let session = &mut self.sessions[key];
        let whole = match &session.mount {
            Some(mount) if !publish.topic.is_empty() => format!("{mount}{}", publish.topic).into(),
            _ => publish.topic.clone(),
        };
        if whole.len() > usize::from(u16::MAX) {
            // MQTT-4.7.3-3: who is not below the mount point could not be told of it.
            let what = "the topic and the mount point are too long together";
            return Err(Fault::new(reason::TOPIC_NAME_INVALID, what));
        }
        let Some(alias) = publish.alias else {
            return Ok(whole);
        };
        let at = usize::from(alias.get());
        let invalid = |what| Fault::new(reason::TOPIC_ALIAS_INVALID, what);
        if at > most {
            return Err(invalid("a topic alias above the maximum"));
        }
        let Some(connection) = session.connection_mut() else {
            return Ok(whole);
        };
        let aliases = &mut connection.aliases.get_or_insert_default().theirs;
        if whole.is_empty() {
            let known = aliases.get(at).cloned().flatten();
            return known.ok_or_else(|| Fault::protocol("a topic alias that stands for nothing"));
        }
        if aliases.len() <= at {
            aliases.resize(at + 1, None);
        }
        // A copy of its own, as in `Publication::share`.
        aliases[at] = Some(ByteString::from(&*whole));
        Ok(whole)
    }

    /// Gives a message to all that are subscribed to its topic, and keeps it if it is to be retained.
    pub(crate) fn publish(&mut self, message: Message, from: Option<Key>, now: Instant) -> Routed {
        self.publish_of(message, None, from, now)
    }

    fn publish_of(
        &mut self,
        message: Message,
        sent: Option<Sent>,
        from: Option<Key>,
        now: Instant,
    ) -> Routed {
        let mut publication = Publication::new(message);
        publication.sent = sent;
        if publication.message.retain && self.settings.retain {
            self.retain(&mut publication, from, now);
        }
        let mut hits = std::mem::take(&mut self.hits);
        let mut routed = Routed {
            matched: self.hit(&publication.message.topic, from, &mut hits),
            held_by: None,
        };
        if hits.len() > 1 {
            // Subscriptions of one session that overlap become one delivery for clients before MQTT 5; a client of
            // MQTT 5 gets one for each, with its identifier (section 3.3.4 leaves the choice).
            hits.sort_by_key(|hit| (hit.key, hit.apart));
        }
        self.scratch.begin();
        let mut rest = hits.as_slice();
        while let Some(first) = rest.first() {
            let same = |hit: &Hit| hit.key == first.key && !hit.apart && !first.apart;
            let count = 1 + rest[1..].iter().take_while(|hit| same(hit)).count();
            let (these, others) = rest.split_at(count);
            rest = others;
            if let Some(key) = self.deliver(&mut publication, these, now) {
                routed.held_by = Some(key);
            }
        }
        hits.clear();
        hits.shrink_to(1024);
        self.hits = hits;
        routed
    }

    /// Finds who is subscribed to a topic; says whether somebody is, be it one who does not want it from itself.
    fn hit(&mut self, topic: &str, from: Option<Key>, hits: &mut Vec<Hit>) -> bool {
        let sessions = &self.sessions;
        let mut any = false;
        let leaving = !self.leaving.is_empty();
        let is_over = |key: Key| leaving && sessions.get(key).is_some_and(Session::is_over);
        self.tree.matches(topic, |found| match found {
            Found::One(sub) if is_over(sub.key) || !sub.sees(topic) => {}
            Found::One(sub) => {
                any = true;
                if !(sub.options.no_local && from == Some(sub.key)) {
                    hits.push(Hit {
                        key: sub.key,
                        qos: sub.options.qos,
                        as_published: sub.options.retain_as_published,
                        id: sub.options.id,
                        apart: sub.apart,
                        share: None,
                    });
                }
            }
            Found::Group(group) => {
                let ready = |key: Key| match sessions.get(key).map(|session| &session.endpoint) {
                    Some(Endpoint::Net(_)) => sessions[key].pressure.since.is_none(),
                    Some(Endpoint::Local(_)) => true,
                    _ => false,
                };
                let present = |key: Key| sessions.get(key).is_some_and(|session| !session.is_away());
                if let Some(at) = turn(group, topic, ready)
                    .or_else(|| turn(group, topic, present))
                    .or_else(|| turn(group, topic, |key| !is_over(key)))
                {
                    let sub = group.members[at];
                    hits.push(Hit {
                        key: sub.key,
                        qos: sub.options.qos,
                        as_published: sub.options.retain_as_published,
                        id: sub.options.id,
                        apart: true,
                        share: Some(Arc::new(Share {
                            group: group.name.clone(),
                            filter: group.filter.clone(),
                        })),
                    });
                }
            }
        });
        any || !hits.is_empty()
    }

    /// Keeps a message for those who subscribe later, or clears the one that is kept.
    fn retain(&mut self, publication: &mut Publication, from: Option<Key>, now: Instant) {
        if publication.message.payload.is_empty() {
            let topic = publication.message.topic.clone();
            if self.retained.clear(&topic) {
                self.record_unretained(&topic, publication.message.qos, now);
            }
            return;
        }
        let source = from.and_then(|key| {
            let session = self.sessions.get(key)?;
            let ours = matches!(session.endpoint, Endpoint::Local(_));
            (!ours).then(|| session.who.clone())
        });
        let kept = Kept {
            message: publication.share(),
            source,
        };
        let expires = kept.message.expires;
        if self.retained.set(kept.clone(), self.settings.max_retained) {
            self.record_retained(kept, now);
            if expires.is_some() && !self.sweeping {
                self.sweeping = true;
                self.arm(now + SWEEP, Timer::Sweep);
            }
        } else {
            self.stats.not_retained += 1;
        }
    }
}

/// How long a retained message that is too old may take up room: nobody is given it meanwhile.
const SWEEP: Duration = Duration::from_secs(60);

impl Hub {
    /// Forgets retained messages that are too old.
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut old = Vec::new();
        self.retained.expire(now, |topic| old.push(topic.clone()));
        for topic in old {
            self.record_unretained(&topic, Qos::AtMostOnce, now);
        }
        if self.retained.iter().any(|kept| kept.message.expires.is_some()) {
            self.sweeping = true;
            self.arm(now + SWEEP, Timer::Sweep);
        }
    }
}

/// The next member of a group for whom `good` holds: each in its turn.
fn turn(group: &mut Group, topic: &str, good: impl Fn(Key) -> bool) -> Option<usize> {
    let count = group.members.len();
    let at = (0..count)
        .map(|step| (group.next + step) % count)
        .find(|at| good(group.members[*at].key) && group.members[*at].sees(topic))?;
    group.next = (at + 1) % count;
    Some(at)
}
