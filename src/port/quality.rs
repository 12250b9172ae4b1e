//! What is known of the values of a bus's devices, and since when and why not: retained, and told as it changes.

use super::Port;
use crate::bus::{Change, Fault};
use crate::field::record::Record;
use crate::field::timestamp;
use crate::profile::asked::Address;
use crate::topic::Topic;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;
use tracing::{info, warn};

/// What is known of a device's values.
pub(super) struct Seen {
    topic: Topic,
    address: Option<Address>,
    state: &'static str,
    since: SystemTime,
    why: Option<Fault>,
    polls: BTreeMap<Arc<str>, Known>,
}

/// What is known of a poll.
#[derive(Default)]
pub(super) struct Known {
    /// Since when it can't be read, and why.
    pub(super) unread: Option<(SystemTime, Fault)>,
    pub(super) last: Option<(SystemTime, Map<String, Json>)>,
    /// The last frame of each kind, where entries say for which values there are none.
    frames: Vec<(Vec<u8>, Record)>,
}

/// So many kinds of frame of one poll are remembered.
const KINDS: usize = 8;

impl Known {
    /// A good frame has come.
    pub(super) fn came(&mut self, bytes: &[u8], record: &Record) {
        let frame = (bytes.to_vec(), record.clone());
        let same = |(_, known): &(Vec<u8>, Record)| known.kind() == record.kind();
        match self.frames.iter().position(same) {
            Some(at) => self.frames[at] = frame,
            None if self.frames.len() < KINDS => self.frames.push(frame),
            None => {}
        }
    }

    /// Why its values can't be read, and what they were last, if that is so.
    fn lacks(&self) -> Option<Map<String, Json>> {
        let (since, why) = self.unread.as_ref()?;
        let mut told = Map::new();
        told.insert("reason".into(), why.name().into());
        told.insert("text".into(), why.to_string().into());
        told.insert("since".into(), timestamp(*since).into());
        if let Some((time, values)) = &self.last {
            told.insert("last".into(), Json::Object(values.clone()));
            told.insert("last-time".into(), timestamp(*time).into());
        }
        Some(told)
    }
}

impl Seen {
    /// Nothing is known yet.
    pub(super) fn new(topic: Topic, address: Option<Address>) -> Seen {
        Seen {
            topic,
            address,
            state: "unknown",
            since: SystemTime::now(),
            why: None,
            polls: BTreeMap::new(),
        }
    }

    fn json(&self, name: &str) -> Vec<u8> {
        let polls = self.polls.iter().map(|(name, known)| {
            let lacks = known.lacks();
            let state = if lacks.is_some() { "unread" } else { "good" };
            let mut poll = lacks.unwrap_or_default();
            poll.insert("state".into(), state.into());
            (name.to_string(), Json::Object(poll))
        });
        let mut whole = json!({
            "device": name,
            "state": self.state,
            "since": timestamp(self.since),
            "polls": Json::Object(polls.collect()),
        });
        if let Some(address) = &self.address {
            whole["address"] = address.json();
        }
        if let Some(why) = &self.why {
            whole["reason"] = why.name().into();
            whole["text"] = why.to_string().into();
        }
        whole.to_string().into_bytes()
    }
}

impl Port {
    pub(super) fn known(&mut self, device: usize, poll: Arc<str>, change: impl FnOnce(&mut Known) -> bool) {
        let Some(master) = &mut self.master else { return };
        let Some(seen) = master.seen.get_mut(device) else {
            return;
        };
        let new = !seen.polls.contains_key(&poll);
        if change(seen.polls.entry(poll).or_default()) || new {
            master.fresh.insert(device);
        }
    }

    /// Publishes in the entries that want it why a poll's values can't be read.
    pub(super) fn say_unread(&mut self, number: usize, poll: &Arc<str>) {
        let (Some(master), _, mut out) = self.outward() else {
            return;
        };
        let (Some(uplink), Some(base)) = (master.uplinks.get_mut(number), master.bases.get(number)) else {
            return;
        };
        let (Some(seen), Some(device)) = (master.seen.get(number), master.bus.device(number)) else {
            return;
        };
        let Some((known, mut told)) = seen
            .polls
            .get(poll)
            .and_then(|known| Some((known, known.lacks()?)))
        else {
            return;
        };
        if !uplink.says_unread() {
            return;
        }
        told.insert("device".into(), (&*device.name).into());
        told.insert("poll".into(), (&**poll).into());
        if let Some(address) = &seen.address {
            told.insert("address".into(), address.json());
        }
        let since = known
            .unread
            .as_ref()
            .map_or_else(SystemTime::now, |(since, _)| *since);
        let why = Json::Object(told).to_string();
        uplink.unread(&known.frames, since, &why, &mut |entry, message| {
            // What can't be published has been counted and warned of.
            out.publish(message, base + entry);
        });
    }

    pub(super) fn device(&mut self, number: usize, change: Change, why: Option<Fault>) {
        let Some(master) = &mut self.master else { return };
        let (Some(seen), Some(device)) = (master.seen.get_mut(number), master.bus.device(number)) else {
            return;
        };
        let name = &self.name;
        match (change, &why) {
            (Change::Came, _) if seen.state == "unknown" => {
                info!(event = "device-answers", port = %name, device = %device.name, "the device answers");
            }
            (Change::Came, _) => {
                info!(event = "device-answers", notice = true, port = %name, device = %device.name, "the device answers again");
            }
            // The port has said it.
            (Change::Went, Some(Fault::Gone)) => {}
            (Change::Went, why) => {
                let why = why.as_ref().map(Fault::to_string).unwrap_or_default();
                warn!(event = "device-silent", port = %name, device = %device.name, "the device does not answer, trying on: {why}");
            }
        }
        seen.state = if change == Change::Came {
            "online"
        } else {
            "offline"
        };
        seen.since = SystemTime::now();
        seen.why = why;
        master.fresh.insert(number);
    }

    /// Publishes what has changed of the devices.
    pub(super) fn say_devices(&mut self) {
        let fresh = self
            .master
            .as_mut()
            .map(|master| std::mem::take(&mut master.fresh));
        for number in fresh.unwrap_or_default() {
            let Some(master) = &self.master else { return };
            let (Some(seen), Some(device)) = (master.seen.get(number), master.bus.device(number)) else {
                continue;
            };
            let (topic, payload) = (seen.topic.clone(), seen.json(&device.name));
            self.publish_own(topic, payload.into());
        }
    }
}
