//! From the device: which messages a frame becomes.

use super::config::{Publish, When};
use crate::broker::{Message, Qos};
use crate::field::{self, Context};
use crate::octets::Octets;
use crate::topic::{self, Template};
use regex::bytes::{Captures, Regex};
use std::sync::Arc;
use std::time::SystemTime;

/// Why a frame did not become a message of one entry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unpublished {
    /// The payload can't be made of these bytes.
    #[error("{template}: {source}")]
    Payload { template: String, source: field::Error },
    /// The values of the frame make no topic.
    #[error("{template}: {source}")]
    Topic {
        template: String,
        source: topic::RenderError,
    },
}

/// The publish entries of a port.
#[derive(Debug)]
pub(crate) struct Uplink {
    port: Arc<str>,
    entries: Vec<Entry>,
    seq: u64,
}

#[derive(Debug)]
struct Entry {
    topic: Template,
    payload: field::Up,
    qos: Qos,
    retain: bool,
    when: Condition,
}

#[derive(Debug)]
enum Condition {
    Always,
    Prefix(Octets),
    Matches(Regex),
    /// The topic names groups of the expression.
    Captures(Regex),
}

impl Uplink {
    /// The entries of the port of this name.
    pub(crate) fn new(port: Arc<str>, entries: &[Publish]) -> Uplink {
        let entries = entries.iter().map(Entry::new).collect();
        Uplink {
            port,
            entries,
            seq: 0,
        }
    }

    /// Makes the messages of one good frame whose last byte came at `time`, and hands each to `send` with the
    /// number of its entry.
    pub(crate) fn messages(
        &mut self,
        frame: &[u8],
        time: SystemTime,
        mut send: impl FnMut(usize, Result<Message, Unpublished>),
    ) {
        let seq = self.seq;
        self.seq += 1;
        for (number, entry) in self.entries.iter().enumerate() {
            let captures = match &entry.when {
                Condition::Always => None,
                Condition::Prefix(prefix) if frame.starts_with(prefix) => None,
                Condition::Matches(regex) if regex.is_match(frame) => None,
                Condition::Captures(regex) => match regex.captures(frame) {
                    Some(captures) => Some(captures),
                    None => continue,
                },
                Condition::Prefix(_) | Condition::Matches(_) => continue,
            };
            let context = Context {
                port: &self.port,
                time,
                seq,
            };
            send(number, entry.message(frame, &context, captures.as_ref()));
        }
    }
}

impl Entry {
    fn new(publish: &Publish) -> Entry {
        let when = match &publish.when {
            None => Condition::Always,
            Some(When::Prefix(prefix)) => Condition::Prefix(prefix.clone()),
            Some(When::Regex(pattern)) => {
                let named = publish.topic.names().any(|name| !Publish::NAMES.contains(&name));
                let regex = pattern.regex().clone();
                if named {
                    Condition::Captures(regex)
                } else {
                    Condition::Matches(regex)
                }
            }
        };
        Entry {
            topic: publish.topic.clone(),
            payload: publish.payload.clone(),
            qos: publish.qos,
            retain: publish.retain,
            when,
        }
    }

    fn message(
        &self,
        frame: &[u8],
        context: &Context<'_>,
        captures: Option<&Captures<'_>>,
    ) -> Result<Message, Unpublished> {
        let template = || self.topic.to_string();
        let seq;
        let seq = if self.topic.names().any(|name| name == "seq") {
            seq = context.seq.to_string();
            seq.as_bytes()
        } else {
            &[]
        };
        let topic = self
            .topic
            .render(|name| match name {
                "port" => Some(context.port.as_bytes()),
                "seq" => Some(seq),
                group => captures?.name(group).map(|found| found.as_bytes()),
            })
            .map_err(|source| Unpublished::Topic {
                template: template(),
                source,
            })?;
        let payload = self
            .payload
            .render(frame, context)
            .map_err(|source| Unpublished::Payload {
                template: template(),
                source,
            })?;
        Ok(Message {
            topic,
            payload,
            qos: self.qos,
            retain: self.retain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uplink(toml: &str) -> Uplink {
        #[derive(serde::Deserialize)]
        struct Held {
            publish: Vec<Publish>,
        }
        let held: Held = toml::from_str(toml).unwrap();
        Uplink::new("air".into(), &held.publish)
    }

    fn messages(uplink: &mut Uplink, frame: &[u8]) -> Vec<Result<(String, Vec<u8>), String>> {
        let mut all = Vec::new();
        uplink.messages(frame, SystemTime::UNIX_EPOCH, |_, message| {
            all.push(match message {
                Ok(message) => Ok((message.topic.to_string(), message.payload.to_vec())),
                Err(error) => Err(error.to_string()),
            });
        });
        all
    }

    #[test]
    fn each_entry_whose_condition_holds_makes_a_message() {
        let mut uplink = uplink(
            r#"
            [[publish]]
            topic = "home/{port}/raw"
            [[publish]]
            topic = "home/{port}/hex"
            payload = "hex"
            when = { prefix = "T=" }
            [[publish]]
            topic = "home/{id}/value"
            when = { regex = "^(?<id>[^=]+)=" }
            "#,
        );
        assert_eq!(
            messages(&mut uplink, b"T=1"),
            [
                Ok(("home/air/raw".into(), b"T=1".to_vec())),
                Ok(("home/air/hex".into(), b"543d31".to_vec())),
                Ok(("home/T/value".into(), b"T=1".to_vec())),
            ]
        );
        assert_eq!(messages(&mut uplink, b"?").len(), 1);
        assert_eq!(
            messages(&mut uplink, b"a/b=1")[1],
            Ok(("home/a%2Fb/value".into(), b"a/b=1".to_vec()))
        );
    }

    #[test]
    fn what_cannot_be_published_is_said_with_its_topic() {
        let mut uplink = uplink(
            r#"
            [[publish]]
            topic = "home/text"
            payload = "text"
            [[publish]]
            topic = "home/{id}"
            when = { regex = "(?<id>x*)" }
            "#,
        );
        let all = messages(&mut uplink, b"\xff");
        assert!(all[0].as_ref().unwrap_err().starts_with("home/text: "), "{all:?}");
        assert!(all[1].as_ref().unwrap_err().starts_with("home/{id}: "), "{all:?}");
    }
}
