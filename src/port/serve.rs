//! Being asked: a port whose other end has a Modbus master, which this side answers as one device.

use super::outbox::{Policy, Queued};
use crate::broker::{Message, Qos};
use crate::bus;
use crate::field::Mistake;
use crate::field::config::{Field, Order};
use crate::field::encode::ParameterError;
use crate::field::record::Record;
use crate::frame::Framing;
use crate::profile::{Bank, Guard};
use crate::template::Values;
use crate::topic::{Filter, Template, Topic};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// A reply that could not be written for so long is of no use to the master any more.
const EXPIRES: Duration = Duration::from_secs(1);
/// Replies that may wait for the line. A master asks again only when it has waited for the last one.
const QUEUE: usize = 4;

/// A Modbus device that this port is, for a master at the other end: `[port.serve]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The device's address on the line, 1 to 247.
    #[schemars(range(min = 1, max = 247))]
    pub address: u8,
    /// Where values come from, with `{{ field }}` for a field's name: `"plc/{{ field }}"`. What the broker keeps of
    /// them is taken at once. A message holds the value alone.
    pub topic: Template,
    /// The registers, as in a device's profile: `{ name = "power", input = 0, type = "f32" }`. What is `writable` a
    /// master may write, and it is published as the port's values are.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub fields: Vec<Field>,
    /// Which byte of a number comes first, unless a field says otherwise. Default `big`.
    #[serde(default)]
    pub order: Option<Order>,
    /// Whether registers hold 0 until a value has come. Default false: they are refused with exception 4 (server
    /// device failure), so that a master never takes nothing for a value.
    #[serde(default)]
    pub zero: bool,
}

impl Config {
    /// What is wrong with it, by the key.
    pub(crate) fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = match Bank::new(&self.fields, self.order.as_ref(), self.zero) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes,
        };
        let mut wrong = |path: &str, what: &str| {
            mistakes.push(Mistake {
                path: path.to_owned(),
                what: what.to_owned(),
            });
        };
        if !(1..=247).contains(&self.address) {
            wrong("address", "an address is from 1 to 247");
        }
        if self.fields.is_empty() {
            wrong("fields", "it has no registers");
        }
        let names: Vec<&str> = self.topic.names().collect();
        match names[..] {
            ["field"] => {}
            [] if self.fields.len() == 1 => {}
            _ => wrong(
                "topic",
                "it tells the fields apart with `{{ field }}`, and knows no other name",
            ),
        }
        mistakes
    }

    /// The topics of its fields, in their order.
    fn topics(&self) -> Vec<Topic> {
        let names = self.fields.iter().filter_map(|field| field.name.as_deref());
        names
            .filter_map(|name| self.topic.render(&Name(name)).ok())
            .collect()
    }

    /// What the broker is asked for.
    pub(crate) fn subscriptions(&self) -> Vec<(Filter, Qos)> {
        let filters = self
            .topics()
            .into_iter()
            .filter_map(|topic| Filter::parse(topic.as_str()).ok());
        filters.map(|filter| (filter, Qos::AtLeastOnce)).collect()
    }

    /// The names of what a master may write.
    pub(crate) fn writable(&self) -> Vec<String> {
        let writable = self.fields.iter().filter(|field| field.writable);
        writable.filter_map(|field| field.name.clone()).collect()
    }
}

/// The name of a field, for the topic.
struct Name<'a>(&'a str);

impl Values for Name<'_> {
    fn bytes<'v>(&'v self, name: &str, _: &'v mut String) -> Option<&'v [u8]> {
        (name == "field").then_some(self.0.as_bytes())
    }

    fn value(&self, name: &str) -> Option<minijinja::Value> {
        (name == "field").then(|| self.0.into())
    }
}

/// The device at work.
#[derive(Debug)]
pub(super) struct Slave {
    address: u8,
    bank: Bank,
    /// One for each field.
    topics: Vec<Topic>,
    framing: Framing,
    guard: Guard,
    /// The silence before a reply.
    silence: Duration,
}

impl Slave {
    /// The device as the configuration says; none, where something is wrong with it.
    pub(super) fn new(config: &Config, framing: Framing, guard: Guard, char_time: Duration) -> Option<Slave> {
        Some(Slave {
            address: config.address,
            bank: Bank::new(&config.fields, config.order.as_ref(), config.zero).ok()?,
            topics: config.topics(),
            framing,
            guard,
            silence: bus::silence(char_time),
        })
    }

    /// What its replies ask of the queue.
    pub(super) fn policy() -> Policy {
        Policy {
            queue: QUEUE,
            drop_oldest: true,
            spacing: Duration::ZERO,
            wake: Duration::ZERO,
        }
    }

    /// A message came; `None`: its topic is none of a field's.
    pub(super) fn message(&mut self, message: &Message) -> Option<Result<(), ParameterError>> {
        let number = self.topics.iter().position(|topic| *topic == message.topic)?;
        Some(self.bank.set(number, &message.payload))
    }

    /// The reply to a frame, and when it may be sent.
    pub(super) fn answer(&mut self, frame: &[u8], now: Instant) -> Option<(Queued, Instant)> {
        let reply = self.bank.answer(self.address, frame)?;
        let mut bytes = Vec::with_capacity(reply.len() + 2);
        // What is answered is never longer than a frame may be.
        self.framing.encode(&reply, &self.guard, &mut bytes).ok()?;
        let queued = Queued {
            topic: self.topics.first()?.clone(),
            frame: bytes,
            entry: 0,
            expires: now + EXPIRES,
            ticket: 0,
        };
        Some((queued, now + self.silence))
    }

    /// What the master has written since this was asked.
    pub(super) fn written(&mut self) -> Vec<Record> {
        self.bank
            .written()
            .into_iter()
            .map(|(_, record)| record)
            .collect()
    }
}
