//! Any sequence of changes, and the file opened again after each part of it, against a model that forgets nothing.

use super::some;
use super::*;
use crate::broker::native::message::Options;
use crate::broker::native::wire::Will;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};

type Queued = (Option<NonZeroU16>, Message, Qos, bool, Vec<NonZeroU32>);

#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    retained: BTreeMap<ByteString, (Message, Option<Who>)>,
    sessions: BTreeMap<ByteString, Session>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Session {
    /// Expiry, user and listener, whether it is away, last packet id, will.
    record: (u32, Option<ByteString>, ByteString, bool, u16, Option<Will>),
    subscriptions: BTreeMap<ByteString, Options>,
    queue: BTreeMap<u64, (Queued, Option<(u16, bool)>)>,
    received: BTreeMap<u16, ()>,
}

impl Model {
    fn apply(&mut self, change: Change) {
        let it = match &change {
            Change::Retain(kept) => {
                self.retained.insert(kept.message.topic.clone(), both(kept));
                return;
            }
            Change::Unretain { topic } => {
                self.retained.remove(topic);
                return;
            }
            Change::Forget { client } => {
                self.sessions.remove(client);
                return;
            }
            Change::Session { client, record } => {
                let of = self.sessions.entry(client.clone()).or_default();
                let will = record.will.as_ref().map(|(_, will)| will.clone());
                let (user, listener) = (record.user.clone(), record.listener.clone());
                of.record = (
                    record.expiry,
                    user,
                    listener,
                    record.away.is_some(),
                    record.last_id,
                    will,
                );
                return;
            }
            Change::Subscribe { client, .. }
            | Change::Unsubscribe { client, .. }
            | Change::Queue { client, .. }
            | Change::Sent { client, .. }
            | Change::Done { client, .. }
            | Change::Received { client, .. }
            | Change::Released { client, .. } => self.sessions.get_mut(client),
        };
        // The hub tells nothing of a session that it has not told.
        let Some(it) = it else { return };
        match change {
            Change::Subscribe { filter, options, .. } => _ = it.subscriptions.insert(filter, options),
            Change::Unsubscribe { filter, .. } => _ = it.subscriptions.remove(&filter),
            Change::Queue {
                seq,
                packet_id,
                message,
                qos,
                retain,
                ids,
                ..
            } => {
                _ = it.queue.insert(
                    seq,
                    ((packet_id, Message::clone(&message), qos, retain, ids), None),
                )
            }
            Change::Sent {
                seq,
                packet_id,
                released,
                ..
            } => {
                if let Some((_, sent)) = it.queue.get_mut(&seq) {
                    *sent = Some((packet_id, released));
                }
            }
            Change::Done { seq, .. } => _ = it.queue.remove(&seq),
            Change::Received { packet_id, .. } => _ = it.received.insert(packet_id, ()),
            Change::Released { packet_id, .. } => _ = it.received.remove(&packet_id),
            _ => unreachable!(),
        }
    }

    fn knows(&self, change: &Change) -> bool {
        match change {
            Change::Subscribe { client, .. }
            | Change::Unsubscribe { client, .. }
            | Change::Queue { client, .. }
            | Change::Received { client, .. }
            | Change::Released { client, .. } => self.sessions.contains_key(client),
            Change::Sent { client, seq, .. } | Change::Done { client, seq } => self
                .sessions
                .get(client)
                .is_some_and(|of| of.queue.contains_key(seq)),
            _ => true,
        }
    }
}

fn both(kept: &Kept) -> (Message, Option<Who>) {
    (Message::clone(&kept.message), kept.source.as_deref().cloned())
}

fn seen(loaded: Loaded) -> Model {
    let mut model = Model::default();
    for kept in loaded.retained {
        model.retained.insert(kept.message.topic.clone(), both(&kept));
    }
    for of in loaded.sessions {
        let record = of.record;
        let will = record.will.map(|(_, will)| will);
        assert!(of.queue.is_sorted_by_key(|waiting| waiting.seq));
        let queue = of.queue.into_iter().map(|waiting| {
            let queued = (
                waiting.packet_id,
                Message::clone(&waiting.message),
                waiting.qos,
                waiting.retain,
                waiting.ids,
            );
            (waiting.seq, (queued, waiting.sent))
        });
        let session = Session {
            record: (
                record.expiry,
                record.user,
                record.listener,
                record.away.is_some(),
                record.last_id,
                will,
            ),
            subscriptions: of.subscriptions.into_iter().collect(),
            queue: queue.collect(),
            received: of.received.into_iter().map(|id| (id, ())).collect(),
        };
        model.sessions.insert(of.client, session);
    }
    model
}

/// A change of few clients, topics and numbers, so that they meet.
fn change() -> impl Strategy<Value = Change> {
    let client = || prop_oneof![Just("a"), Just("b"), Just("")].prop_map(ByteString::from);
    let topic = || prop_oneof![Just("t/1"), Just("t/2"), Just("é/3")].prop_map(ByteString::from);
    let record = (
        HOUR..=u32::MAX,
        proptest::option::of(some::text()),
        some::text(),
        any::<bool>(),
        any::<u16>(),
        proptest::option::of(some::will()),
    )
        .prop_map(|(expiry, user, listener, away, last_id, will)| SessionRecord {
            last_id,
            expiry,
            user,
            listener,
            away: away.then_some(Duration::ZERO),
            will: will.map(|will| (Duration::from_secs(HOUR.into()), will)),
        });
    prop_oneof![
        3 => (some::message(topic()), proptest::option::of(some::who())).prop_map(|(message, source)| {
            Change::Retain(Kept { message: Arc::new(message), source: source.map(Arc::new) })
        }),
        1 => topic().prop_map(|topic| Change::Unretain { topic }),
        4 => (client(), record).prop_map(|(client, record)| Change::Session { client, record }),
        1 => client().prop_map(|client| Change::Forget { client }),
        2 => (client(), topic(), some::options())
            .prop_map(|(client, filter, options)| Change::Subscribe { client, filter, options }),
        1 => (client(), topic()).prop_map(|(client, filter)| Change::Unsubscribe { client, filter }),
        6 => (client(), 0..3u16, some::message(topic()), some::qos(), any::<bool>(), some::ids()).prop_map(
            |(client, id, message, qos, retain, ids)| Change::Queue {
                client, seq: 0, packet_id: NonZeroU16::new(id), message: Arc::new(message), qos, retain, ids,
            }
        ),
        3 => (client(), 1..20u64, any::<u16>(), any::<bool>()).prop_map(
            |(client, seq, packet_id, released)| Change::Sent { client, seq, packet_id, released }
        ),
        3 => (client(), 1..20u64).prop_map(|(client, seq)| Change::Done { client, seq }),
        2 => (client(), 0..4u16).prop_map(|(client, packet_id)| Change::Received { client, packet_id }),
        2 => (client(), 0..4u16).prop_map(|(client, packet_id)| Change::Released { client, packet_id }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_told_comes_back(parts in vec((vec(vec(change(), 0..8), 0..6), any::<bool>()), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut model = Model::default();
        let mut seq = 0;
        for (batches, anew) in parts {
            let (store, loaded) = open(folder.path());
            prop_assert_eq!(&seen(loaded), &model);
            if anew {
                // Everything is replaced by nothing.
                model = Model::default();
                store.replace(Vec::new());
            }
            for mut batch in batches {
                batch.retain_mut(|change| {
                    if let Change::Queue { seq: of, .. } = change {
                        seq += 1;
                        *of = seq;
                    }
                    let known = model.knows(change);
                    if known {
                        model.apply(change.clone());
                    }
                    known
                });
                store.commit(batch);
            }
            runtime.block_on(store.close());
        }
        let (store, loaded) = open(folder.path());
        prop_assert_eq!(&seen(loaded), &model);
        runtime.block_on(store.close());
    }
}

#[tokio::test]
async fn an_age_goes_on_while_nobody_looks() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let now = Instant::now();
    let until = |millis| Message {
        expires: Some(now + Duration::from_millis(millis)),
        ..message("t", b"1")
    };
    let keep = |topic: &str, millis| {
        kept(Message {
            topic: topic.into(),
            ..until(millis)
        })
    };
    let sent = Change::Sent {
        client: "here".into(),
        seq: 3,
        packet_id: 7,
        released: false,
    };
    let record = |expiry, will| SessionRecord {
        expiry,
        user: None,
        listener: ByteString::new(),
        away: Some(Duration::from_secs(10)),
        last_id: 0,
        will,
    };
    let of = |client: &str, record| Change::Session {
        client: client.into(),
        record,
    };
    let will = Will {
        delay: 60,
        topic: "will".into(),
        payload: Bytes::new(),
        qos: Qos::AtMostOnce,
        retain: false,
        expiry: None,
        properties: None,
    };
    let all = vec![
        keep("old", 0),
        keep("young", 3_600_000),
        of("here", record(11, None)),
        of("gone", record(10, None)),
        of("gone/will", record(10, Some((Duration::ZERO, will.clone())))),
        queue("here", 1, until(0)),
        queue("here", 2, until(3_600_000)),
        queue("here", 3, until(0)),
        sent,
        queue("gone", 1, message("t", b"1")),
        queue("gone/will", 1, message("t", b"1")),
    ];
    commit(&store, all).await;
    store.close().await;
    let (store, mut loaded) = open(folder.path());
    assert_eq!(topics(&loaded), ["young"]);
    let expires = loaded.retained[0].message.expires.unwrap();
    let off = expires.max(now + Duration::from_secs(3_600)) - expires.min(now + Duration::from_secs(3_600));
    assert!(off < Duration::from_millis(100), "{off:?}");
    loaded.sessions.sort_by(|a, b| a.client.cmp(&b.client));
    let names: Vec<_> = loaded.sessions.iter().map(|session| &*session.client).collect();
    assert_eq!(names, ["gone/will", "here"]);
    assert_eq!(loaded.sessions[0].record.will, Some((Duration::ZERO, will)));
    assert!(loaded.sessions[0].queue.is_empty());
    // One that is on its way is still to be acknowledged, however old it is.
    let seqs: Vec<_> = loaded.sessions[1]
        .queue
        .iter()
        .map(|waiting| waiting.seq)
        .collect();
    assert_eq!(seqs, [2, 3]);
    assert!(loaded.sessions[1].record.away >= Some(Duration::from_secs(10)));
    store.close().await;
}
