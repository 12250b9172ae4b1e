//! To the device: what a message on a command topic becomes on the line.

use super::config::{Command, ResultTopic, WhenFull};
use super::outbox::{Policy, Queued};
use crate::broker::{Message, Qos};
use crate::field;
use crate::frame::{self, Framing};
use crate::profile::{CommandError, Guard, Profile};
use crate::topic::{Filter, Topic};
use std::time::{Duration, Instant};

/// Why a command does not reach the line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// It was retained: it would come again at each start.
    #[error(
        "a retained command is refused, since it would come again at every start; publish it without retain, or set `accept-retained = true`"
    )]
    Retained,
    /// The payload makes no bytes.
    #[error("{0}")]
    Payload(field::Error),
    /// The bytes make no frame.
    #[error("{0}")]
    Frame(frame::EncodeError),
    /// The payload does not hold what the device's command needs.
    #[error("{0}")]
    Command(CommandError),
    /// The device has no such command.
    #[error("the device's profile has no command `{0}`")]
    NoCommand(String),
}

impl Refused {
    /// The name under which it is counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Refused::Retained => "retained",
            Refused::Payload(_) => "payload",
            Refused::Frame(_) | Refused::Command(CommandError::Frame(_)) => "frame",
            Refused::Command(_) | Refused::NoCommand(_) => "payload",
        }
    }
}

/// The command entries of a port.
#[derive(Debug)]
pub(crate) struct Downlink {
    entries: Vec<Entry>,
    framing: Framing,
    guard: Guard,
    profile: Option<Profile>,
}

#[derive(Debug)]
struct Entry {
    filter: Filter,
    payload: field::Down,
    command: Option<String>,
    bare: bool,
    accept_retained: bool,
    expire: Duration,
    result: Option<ResultTopic>,
}

/// When a command is too old: as its entry says, or before as its publisher does.
pub(crate) fn expiry(message: &Message, entry: Instant) -> Instant {
    let own = message.beside.as_ref().and_then(|beside| beside.expires);
    own.map_or(entry, |own| own.min(entry))
}

impl Downlink {
    /// The entries, and what makes frames of their bytes.
    pub(crate) fn new(
        entries: &[Command],
        framing: Framing,
        guard: Guard,
        profile: Option<Profile>,
    ) -> Downlink {
        let entries = entries
            .iter()
            .map(|command| Entry {
                filter: command.topic.clone(),
                payload: command.payload.clone(),
                command: command.command.clone(),
                bare: command.bare,
                accept_retained: command.accept_retained,
                expire: command.expire.into(),
                result: command.result.clone(),
            })
            .collect();
        Downlink {
            entries,
            framing,
            guard,
            profile,
        }
    }

    /// Makes the frame of a message; or says of which entry it is and why not. `None`: no entry is for its topic.
    pub(crate) fn frame(&self, message: &Message, now: Instant) -> Option<Result<Queued, (usize, Refused)>> {
        let entry = self
            .entries
            .iter()
            .position(|entry| entry.filter.matches(&message.topic))?;
        Some(
            self.encode(entry, message, now)
                .map_err(|refused| (entry, refused)),
        )
    }

    /// Whether a message on this topic is a command.
    pub(crate) fn is_command(&self, topic: &Topic) -> bool {
        self.entries.iter().any(|entry| entry.filter.matches(topic))
    }

    /// Where the life of a command is told.
    pub(crate) fn result(&self, message: &Message) -> Option<Topic> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.filter.matches(&message.topic))?;
        entry.result.as_ref()?.of(message.topic.as_str())
    }

    fn encode(&self, index: usize, message: &Message, now: Instant) -> Result<Queued, Refused> {
        let entry = &self.entries[index];
        let expires = expiry(message, now + entry.expire);
        if message.retain && !entry.accept_retained {
            return Err(Refused::Retained);
        }
        if let Some(name) = &entry.command {
            let command = self.profile.as_ref().and_then(|profile| profile.command(name));
            let command = command.ok_or_else(|| Refused::NoCommand(name.clone()))?;
            let frame = command.frame(&message.payload).map_err(Refused::Command)?;
            return Ok(Queued {
                topic: message.topic.clone(),
                frame,
                entry: index,
                expires,
                ticket: 0,
            });
        }
        let data = entry
            .payload
            .bytes(&message.topic, &entry.filter, &message.payload)
            .map_err(Refused::Payload)?;
        let frame = if entry.bare {
            data
        } else {
            let mut frame = Vec::with_capacity(data.len() + 16);
            self.framing
                .encode(&data, &self.guard, &mut frame)
                .map_err(Refused::Frame)?;
            frame
        };
        Ok(Queued {
            topic: message.topic.clone(),
            frame,
            entry: index,
            expires,
            ticket: 0,
        })
    }
}

/// What the broker is asked for.
pub(crate) fn subscriptions(commands: &[Command]) -> Vec<(Filter, Qos)> {
    commands
        .iter()
        .map(|command| (command.topic.clone(), command.qos))
        .collect()
}

/// What the queue is asked for.
pub(crate) fn policies(commands: &[Command]) -> Vec<Policy> {
    commands
        .iter()
        .map(|command| Policy {
            queue: command.queue.0,
            drop_oldest: command.when_full == WhenFull::DropOldest,
            spacing: command.spacing.into(),
            wake: command.wake.0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn downlink(toml: &str) -> Downlink {
        #[derive(serde::Deserialize)]
        struct Held {
            command: Vec<Command>,
        }
        let held: Held = toml::from_str(toml).unwrap();
        let framing = frame::Config::default().build(Duration::from_millis(1)).unwrap();
        Downlink::new(&held.command, framing, Guard::default(), None)
    }

    fn message(topic: &str, payload: &'static str, retain: bool) -> Message {
        Message {
            topic: Topic::parse(topic).unwrap(),
            payload: Bytes::from_static(payload.as_bytes()),
            qos: Qos::AtMostOnce,
            retain,
            beside: None,
        }
    }

    #[test]
    fn a_command_is_templated_and_framed() {
        let down = downlink(
            "[[command]]\ntopic = 'scale/+/set'\npayload = { template = 'SET {{ 1 }} {{ payload }}' }",
        );
        let now = Instant::now();
        let queued = down
            .frame(&message("scale/3/set", "on", false), now)
            .unwrap()
            .unwrap();
        assert_eq!(queued.frame, b"SET 3 on\n");
        assert!(queued.expires > now);
        assert!(down.frame(&message("other", "on", false), now).is_none());
    }

    #[test]
    fn a_bare_command_is_sent_as_it_is() {
        let down = downlink("[[command]]\ntopic = 'a'\npayload = 'hex'\nbare = true");
        let queued = down
            .frame(&message("a", "42 4d e2 0a", false), Instant::now())
            .unwrap()
            .unwrap();
        assert_eq!(queued.frame, [0x42, 0x4d, 0xe2, 0x0a]);
    }

    #[test]
    fn retained_and_unframeable_commands_are_refused_with_the_reason() {
        let down = downlink("[[command]]\ntopic = 'a'\n[[command]]\ntopic = 'b'\naccept-retained = true");
        let now = Instant::now();
        assert_eq!(
            down.frame(&message("a", "x", true), now)
                .unwrap()
                .unwrap_err()
                .1
                .name(),
            "retained"
        );
        assert!(down.frame(&message("b", "x", true), now).unwrap().is_ok());
        assert_eq!(
            down.frame(&message("a", "x\ny", false), now)
                .unwrap()
                .unwrap_err()
                .1
                .name(),
            "frame"
        );
    }
}
