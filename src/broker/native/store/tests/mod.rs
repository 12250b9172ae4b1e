//! What is told comes back, whatever happened in between.

mod damage;
mod disk;
mod killed;
mod model;
mod older;
mod rate;
pub(super) mod some;

use super::{Change, Loaded, SessionRecord, Store, StoreError};
use crate::broker::Qos;
use crate::broker::native::message::{Kept, Message, Who};
use bytes::Bytes;
use bytestring::ByteString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOUR: u32 = 3_600;

fn open(folder: &Path) -> (Store, Loaded) {
    let begin = Instant::now();
    loop {
        match Store::open(folder, Duration::from_secs(5)) {
            // Another test starts a child, which has our files until it runs its own program.
            Err(StoreError::InUse { .. }) if begin.elapsed() < Duration::from_secs(5) => {
                std::thread::yield_now()
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Hands over a batch and waits until it counts as written.
async fn commit(store: &Store, batch: Vec<Change>) {
    let ticket = store.commit(batch);
    store.committed().wait_for(|at| *at >= ticket).await.unwrap();
}

fn message(topic: &str, payload: &'static [u8]) -> Message {
    Message {
        topic: topic.into(),
        payload: Bytes::from_static(payload),
        qos: Qos::AtLeastOnce,
        retain: false,
        expires: None,
        properties: None,
    }
}

fn retain(topic: &str, payload: &'static [u8]) -> Change {
    kept(message(topic, payload))
}

/// What we retain ourselves.
fn kept(message: Message) -> Change {
    Change::Retain(Kept {
        message: Arc::new(message),
        source: None,
    })
}

fn session(client: &str, expiry: u32) -> Change {
    Change::Session {
        client: client.into(),
        record: SessionRecord {
            expiry,
            user: None,
            listener: ByteString::new(),
            away: Some(Duration::ZERO),
            last_id: 0,
            will: None,
        },
    }
}

fn queue(client: &str, seq: u64, message: Message) -> Change {
    Change::Queue {
        client: client.into(),
        seq,
        packet_id: None,
        message: Arc::new(message),
        qos: Qos::AtLeastOnce,
        retain: false,
        ids: Vec::new(),
    }
}

fn done(client: &str, seq: u64) -> Change {
    Change::Done {
        client: ByteString::from(client),
        seq,
    }
}

/// The topics of what is retained.
fn topics(loaded: &Loaded) -> Vec<&str> {
    loaded.retained.iter().map(|kept| &*kept.message.topic).collect()
}
