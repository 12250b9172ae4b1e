//! Anything that a hub might say.

use super::super::super::message::{Message, Options, Who};
use super::super::super::wire::Will;
use crate::broker::Qos;
use bytes::Bytes;
use bytestring::ByteString;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::num::NonZeroU32;

pub(in super::super) fn text() -> impl Strategy<Value = ByteString> {
    "[a-zé/]{0,12}".prop_map(ByteString::from)
}

pub(in super::super) fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

pub(in super::super) fn qos() -> impl Strategy<Value = Qos> {
    prop_oneof![
        Just(Qos::AtMostOnce),
        Just(Qos::AtLeastOnce),
        Just(Qos::ExactlyOnce)
    ]
}

pub(in super::super) fn will() -> impl Strategy<Value = Will> {
    let rest = (any::<bool>(), option::of(any::<u32>()), option::of(bytes()));
    (any::<u32>(), text(), bytes(), qos(), rest).prop_map(|(delay, topic, payload, qos, rest)| Will {
        delay,
        topic,
        payload,
        qos,
        retain: rest.0,
        expiry: rest.1,
        properties: rest.2,
    })
}

pub(in super::super) fn message(topic: impl Strategy<Value = ByteString>) -> impl Strategy<Value = Message> {
    (
        topic,
        bytes(),
        qos(),
        any::<bool>(),
        option::weighted(0.2, bytes()),
    )
        .prop_map(|(topic, payload, qos, retain, properties)| Message {
            topic,
            payload,
            qos,
            retain,
            expires: None,
            properties,
        })
}

pub(in super::super) fn who() -> impl Strategy<Value = Who> {
    (option::of(text()), text(), text()).prop_map(|(user, client, listener)| Who {
        user,
        client,
        listener,
    })
}

pub(in super::super) fn ids() -> impl Strategy<Value = Vec<NonZeroU32>> {
    vec(
        (1..100_000u32).prop_map(|id| NonZeroU32::new(id).expect("not zero")),
        0..3,
    )
}

pub(in super::super) fn options() -> impl Strategy<Value = Options> {
    (qos(), any::<bool>(), any::<bool>(), 0..3u8, ids()).prop_map(
        |(qos, no_local, retain_as_published, retain_handling, ids)| Options {
            qos,
            no_local,
            retain_as_published,
            retain_handling,
            id: ids.first().copied(),
        },
    )
}
