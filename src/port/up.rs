//! From the device: which messages a frame becomes.

use super::config::{Publish, When};
use crate::broker::{Message, Qos};
use crate::field::record::Record;
use crate::octets::Octets;
pub(crate) use crate::publish::Unpublished;
use crate::publish::{self, Frame, Groups, Origin, Out};
use regex::bytes::Regex;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// The publish entries of a port.
#[derive(Debug)]
pub(crate) struct Uplink {
    of: Arc<Origin>,
    entries: Vec<Entry>,
    seq: u64,
}

#[derive(Debug)]
struct Entry {
    says: publish::Entry,
    qos: Qos,
    retain: bool,
    when: Condition,
}

#[derive(Debug)]
enum Condition {
    Always,
    Prefix(Octets),
    Kind(String),
    Matches(Regex),
    /// Templates name groups of the expression.
    Captures(Regex),
}

/// Takes messages, or why there is none, with the number of the entry.
type Send<'a> = dyn FnMut(usize, Result<Message, Unpublished>) + 'a;

impl Uplink {
    /// The entries of the port of this name.
    pub(crate) fn new(port: Arc<str>, entries: &[Publish]) -> Uplink {
        Uplink::of(Origin { port, device: None }, entries.iter())
    }

    /// The entries for one device of a port.
    pub(crate) fn of<'a>(of: Origin, entries: impl Iterator<Item = &'a Publish>) -> Uplink {
        let of = Arc::new(of);
        let entries = entries.map(|publish| Entry::new(&of, publish)).collect();
        Uplink { of, entries, seq: 0 }
    }

    /// Makes the messages of one good frame whose last byte came at `time`, and hands each to `send` with the
    /// number of its entry. What is to wait is kept until [`time`](Uplink::time).
    pub(crate) fn messages(
        &mut self,
        bytes: &[u8],
        record: Option<&Record>,
        time: SystemTime,
        now: Instant,
        mut send: impl FnMut(usize, Result<Message, Unpublished>),
    ) {
        let seq = self.seq;
        self.seq += 1;
        let frame = Frame {
            of: &self.of,
            bytes,
            record,
            time,
            seq,
        };
        for (number, entry) in self.entries.iter_mut().enumerate() {
            entry.frame(&frame, now, &mut |made| send(number, made));
        }
    }

    /// Whether an entry says when values can't be read.
    pub(crate) fn says_unread(&self) -> bool {
        self.entries.iter().any(|entry| entry.says.says_unread())
    }

    /// Says that the values of these frames, the last that came, can't be read since this time, and why.
    pub(crate) fn unread(
        &mut self,
        last: &[(Vec<u8>, Record)],
        since: SystemTime,
        why: &str,
        send: &mut Send<'_>,
    ) {
        let none = (last.is_empty()).then_some((&[][..], None));
        let last = last.iter().map(|(bytes, record)| (&**bytes, Some(record)));
        for (bytes, record) in last.chain(none) {
            let frame = Frame {
                of: &self.of,
                bytes,
                record,
                time: since,
                seq: self.seq,
            };
            for (number, entry) in self.entries.iter_mut().enumerate() {
                let Some(groups) = entry.groups(&frame).filter(|_| entry.says.says_unread()) else {
                    continue;
                };
                let (qos, retain) = (entry.qos, entry.retain);
                entry.says.unread(&frame, &groups, why, &mut |made| {
                    send(number, made.map(|out| message(out, qos, retain)));
                });
            }
        }
    }

    /// How many entries there are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// When [`time`](Uplink::time) is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.entries
            .iter()
            .filter_map(|entry| entry.says.deadline())
            .min()
    }

    /// What time brings: ends of intervals and windows, and what is said of silence.
    pub(crate) fn time(&mut self, now: Instant, send: &mut Send<'_>) {
        for (number, entry) in self.entries.iter_mut().enumerate() {
            let (qos, retain) = (entry.qos, entry.retain);
            entry.says.time(now, &mut |made| {
                send(number, made.map(|out| message(out, qos, retain)))
            });
        }
    }

    /// All that is held back, now, because there is no later.
    pub(crate) fn flush(&mut self, now: Instant, send: &mut Send<'_>) {
        for (number, entry) in self.entries.iter_mut().enumerate() {
            let (qos, retain) = (entry.qos, entry.retain);
            entry.says.flush(now, &mut |made| {
                send(number, made.map(|out| message(out, qos, retain)))
            });
        }
    }
}

fn message(out: Out, qos: Qos, retain: bool) -> Message {
    Message {
        topic: out.topic,
        payload: out.payload,
        qos,
        retain,
        beside: None,
    }
}

impl Entry {
    fn new(of: &Arc<Origin>, publish: &Publish) -> Entry {
        let when = match &publish.when {
            None => Condition::Always,
            Some(When::Prefix(prefix)) => Condition::Prefix(prefix.clone()),
            Some(When::Kind(kind)) => Condition::Kind(kind.clone()),
            Some(When::Regex(pattern)) => {
                let groups: Vec<&str> = pattern.groups().collect();
                let used = publish.used();
                let regex = pattern.regex().clone();
                if used.iter().any(|name| groups.contains(&name.as_str())) {
                    Condition::Captures(regex)
                } else {
                    Condition::Matches(regex)
                }
            }
        };
        Entry {
            says: publish::Entry::new(of.clone(), &publish.plan()),
            qos: publish.qos,
            retain: publish.retain,
            when,
        }
    }

    /// What the condition takes out of a frame; `None` where it doesn't hold.
    fn groups(&self, frame: &Frame<'_>) -> Option<Groups> {
        let bytes = frame.bytes;
        Some(match &self.when {
            Condition::Always => Vec::new(),
            Condition::Prefix(prefix) if bytes.starts_with(prefix) => Vec::new(),
            Condition::Kind(kind) if frame.record.is_some_and(|record| record.kind() == kind) => Vec::new(),
            Condition::Matches(regex) if regex.is_match(bytes) => Vec::new(),
            Condition::Captures(regex) => match regex.captures(bytes) {
                Some(captures) => regex
                    .capture_names()
                    .flatten()
                    .filter_map(|name| Some((name.into(), captures.name(name)?.as_bytes().to_vec())))
                    .collect(),
                None => return None,
            },
            Condition::Prefix(_) | Condition::Kind(_) | Condition::Matches(_) => return None,
        })
    }

    fn frame(&mut self, frame: &Frame<'_>, now: Instant, send: &mut dyn FnMut(Result<Message, Unpublished>)) {
        let Some(groups) = self.groups(frame) else { return };
        let (qos, retain) = (self.qos, self.retain);
        self.says.frame(frame, &groups, now, &mut |made| {
            send(made.map(|out| message(out, qos, retain)));
        });
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
        uplink.messages(
            frame,
            None,
            SystemTime::UNIX_EPOCH,
            Instant::now(),
            |_, message| {
                all.push(match message {
                    Ok(message) => Ok((message.topic.to_string(), message.payload.to_vec())),
                    Err(error) => Err(error.to_string()),
                });
            },
        );
        all
    }

    #[test]
    fn each_entry_whose_condition_holds_makes_a_message() {
        let mut uplink = uplink(
            r#"
            [[publish]]
            topic = "home/{{ port }}/raw"
            [[publish]]
            topic = "home/{{ port }}/hex"
            payload = "hex"
            when = { prefix = "T=" }
            [[publish]]
            topic = "home/{{ id }}/value"
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
            topic = "home/{{ id }}"
            when = { regex = "(?<id>x*)" }
            "#,
        );
        let all = messages(&mut uplink, b"\xff");
        assert!(all[0].as_ref().unwrap_err().starts_with("home/text: "), "{all:?}");
        assert!(
            all[1].as_ref().unwrap_err().starts_with("home/{{ id }}: "),
            "{all:?}"
        );
    }
}
