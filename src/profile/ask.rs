//! What a profile asks for, compiled: the requests that stand in polls and sessions, and whose a reply is.

use super::asked::{Address, Place, Poll, Step, Wake};
use super::command::{self, Command, Common};
use super::config::{self, Config};
use super::{Mistake, Outcome};
use crate::field::config::{Decode, Field, Order};
use crate::field::decode::Run;
use crate::field::plan::{self, Layout, Source};
use crate::field::record::{Record, Value};
use std::sync::Arc;

/// Where a reply says whose it is.
#[derive(Debug)]
pub(super) enum Whose {
    Field(Arc<str>),
    Data(Box<Layout>),
}

impl Whose {
    pub(super) fn compile(config: &Config, mistakes: &mut Vec<Mistake>) -> Option<Whose> {
        match config.bus.address.as_ref()? {
            Place::Field(name) => Some(Whose::Field(name.as_str().into())),
            Place::Data(field) => {
                let named = Field {
                    name: Some("address".into()),
                    ..Field::clone(field)
                };
                let order = config.order.clone().unwrap_or(Order::Big);
                let mut found = Vec::new();
                let layout = plan::compile(
                    &Source {
                        kind: "address",
                        decode: &Decode::Binary,
                        order: &order,
                        collect: None,
                        fields: &[named],
                        require: &[],
                        stop: None,
                        path: String::new(),
                        keys: &config.keys,
                        fields_key: "fields",
                    },
                    &mut found,
                );
                let sound = found.is_empty();
                mistakes.extend(found.into_iter().map(|mistake| Mistake {
                    path: mistake.path.replacen("fields[0]", "bus.address", 1),
                    what: mistake.what,
                }));
                sound.then(|| Whose::Data(Box::new(layout)))
            }
        }
    }

    pub(super) fn is_of(&self, data: &[u8], outcome: &Outcome, address: &Address) -> Option<bool> {
        let record = match self {
            Whose::Field(name) => match outcome {
                Outcome::Values(record)
                | Outcome::Error(record)
                | Outcome::Ack(record)
                | Outcome::NoData(record) => return Some(same(address, record.find(name)?.good()?)),
                _ => return None,
            },
            Whose::Data(layout) => Run::new(None).frame(layout, data).ok()?,
        };
        Some(same(address, first(&record)?))
    }
}

fn first(record: &Record) -> Option<&Value> {
    record.find("address")?.value.into()
}

fn same(address: &Address, value: &Value) -> bool {
    let mut text = String::new();
    value.write(None, &mut text);
    match address {
        // A number may be written with digits, be they of one kind or another.
        Address::Number(n) => match value.number() {
            Some(x) => x == *n as f64,
            None => text.parse() == Ok(*n),
        },
        Address::Text(wanted) => text.eq_ignore_ascii_case(wanted),
    }
}

/// Compiles the requests that stand in polls and sessions, and looks at all that these name.
pub(super) fn compile(config: &Config, common: &Common, mistakes: &mut Vec<Mistake>) -> Vec<Command> {
    let mut asks = Asks {
        config,
        common,
        mistakes,
        made: Vec::new(),
    };
    for (n, poll) in config.poll.iter().enumerate() {
        let path = format!("poll[{n}]");
        if poll.name.is_empty() {
            asks.wrong(&path, "", "`name` is missing");
        } else if config.poll[..n].iter().any(|other| other.name == poll.name) {
            asks.wrong(
                &path,
                ".name",
                &format!("there is a poll `{}` already", poll.name),
            );
        }
        if poll.every.is_some_and(|every| every.0.is_zero()) {
            asks.wrong(&path, ".every", "nothing can be asked for all the time");
        }
        asks.poll(poll, &path);
    }
    if let Some(session) = &config.session {
        if session.step.is_empty() {
            asks.wrong("session", "", "it has no `[[session.step]]`");
        }
        asks.steps(&session.step, "session.step");
        asks.steps(&session.close, "session.close");
        asks.kinds(&session.lost, "session.lost");
    }
    asks.made
}

struct Asks<'a> {
    config: &'a Config,
    common: &'a Common,
    mistakes: &'a mut Vec<Mistake>,
    made: Vec<Command>,
}

impl Asks<'_> {
    fn wrong(&mut self, path: &str, key: &str, what: &str) {
        self.mistakes.push(Mistake {
            path: format!("{path}{key}"),
            what: what.to_owned(),
        });
    }

    fn poll(&mut self, poll: &Poll, path: &str) {
        let own = poll.bytes.is_some() || poll.text.is_some() || !poll.fields.is_empty();
        match (&poll.command, own, poll.step.is_empty()) {
            (Some(name), false, true) => self.named(name, path),
            (None, true, true) => {
                let body = config::Command {
                    name: path.to_owned(),
                    bytes: poll.bytes.clone(),
                    text: poll.text.clone(),
                    fields: poll.fields.clone(),
                    order: poll.order.clone(),
                    bare: poll.bare,
                    ..config::Command::default()
                };
                self.made
                    .extend(command::compile_one(&body, path, self.common, self.mistakes));
            }
            (None, false, false) => self.steps(&poll.step, &format!("{path}.step")),
            (None, false, true) => self.wrong(
                path,
                "",
                "it asks for nothing: give it `command`, or `bytes`, `text` or `fields`, or steps",
            ),
            _ => self.wrong(
                path,
                "",
                "it asks in one way: `command`, or `bytes`, `text` or `fields`, or steps",
            ),
        }
        self.kinds(&poll.reply, &format!("{path}.reply"));
        for (n, part) in poll.parts.iter().enumerate() {
            self.poll(part, &format!("{path}.parts[{n}]"));
        }
    }

    fn steps(&mut self, steps: &[Step], path: &str) {
        for (n, step) in steps.iter().enumerate() {
            let path = format!("{path}[{n}]");
            match (&step.command, step.bytes.is_some() || step.text.is_some()) {
                (Some(name), false) => self.named(name, &path),
                (None, true) => {
                    let body = config::Command {
                        name: path.clone(),
                        bytes: step.bytes.clone(),
                        text: step.text.clone(),
                        bare: step.bare,
                        ..config::Command::default()
                    };
                    self.made
                        .extend(command::compile_one(&body, &path, self.common, self.mistakes));
                }
                (Some(_), true) => self.wrong(&path, "", "a step sends a `command`, or `bytes` or `text`"),
                (None, false)
                    if step.silent
                        && step.wait.is_none()
                        && step.baud.is_none()
                        && step.wake == Wake::default() =>
                {
                    self.wrong(&path, "", "the step does nothing");
                }
                (None, false) => {}
            }
            if step.repeat > 0 && step.reply.is_empty() {
                self.wrong(
                    &path,
                    ".repeat",
                    "it needs the kinds in `reply` for which it repeats",
                );
            }
            self.kinds(&step.reply, &format!("{path}.reply"));
        }
    }

    fn named(&mut self, name: &str, path: &str) {
        if !self.config.command.iter().any(|command| command.name == *name) {
            self.wrong(path, ".command", &format!("there is no command `{name}`"));
        }
    }

    fn kinds(&mut self, names: &[String], path: &str) {
        for name in names {
            let known = match self.config.kind.is_empty() {
                true => name == "frame",
                false => self.config.kind.iter().any(|kind| kind.name == *name),
            };
            if !known {
                self.wrong(path, "", &format!("there is no kind `{name}`"));
            }
        }
    }
}
