//! What a template sees: the frame, its values, and, where one message is for one value, that value.

use crate::field::record::{Entry, Quality, Record, Value};
use crate::field::timestamp;
use crate::template::Values;
use minijinja::Value as Given;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

/// Names that every entry has.
pub(crate) const PLAIN: [&str; 3] = ["port", "seq", "time"];
/// Names that entries of a port with several devices have, too.
pub(crate) const DEVICE: [&str; 2] = ["device", "address"];
/// Names that stand for one value, so that an entry with one of them makes a message for each value.
pub(crate) const VALUE: [&str; 5] = ["field", "value", "unit", "quality", "title"];
/// Names that stand for all values, by their names: `fields["wind-speed"]`.
const ALL: [&str; 3] = ["fields", "units", "qualities"];

/// Whose frames they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// The port's name.
    pub(crate) port: Arc<str>,
    /// The device's name and its address, where the port has several.
    pub(crate) device: Option<(Arc<str>, Arc<str>)>,
}

/// One frame of a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Whose it is.
    pub(crate) of: &'a Origin,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// Its values, where the port has fields.
    pub(crate) record: Option<&'a Record>,
    /// When its last byte came.
    pub(crate) time: SystemTime,
    /// Its number on this port.
    pub(crate) seq: u64,
}

/// What the named groups of a regular expression stand for.
pub(crate) type Groups = Vec<(Box<str>, Vec<u8>)>;

/// What a template sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) frame: &'a Frame<'a>,
    pub(super) groups: &'a Groups,
    /// The value that the message is for, with its path.
    pub(super) one: Option<(&'a str, Entry<'a>)>,
    pub(super) missing: Missing<'a>,
}

/// Whether the values can't be had any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Missing<'a> {
    /// They are there.
    #[default]
    No,
    /// Nothing has come for long.
    Stale,
    /// The device could not be asked for them: a JSON object that says why, since when, and what was last.
    Unread(&'a str),
}

impl Missing<'_> {
    /// The quality that all values have then.
    pub(super) fn quality(self) -> Option<&'static str> {
        match self {
            Missing::No => None,
            Missing::Stale => Some("stale"),
            Missing::Unread(_) => Some("unread"),
        }
    }
}

/// The quality's name.
pub(super) fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Good => "good",
        Quality::Absent => "absent",
        Quality::OutOfRange => "out-of-range",
    }
}

/// Every name that is not a field's.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    PLAIN.into_iter().chain(["kind"]).chain(VALUE).chain(ALL)
}

impl Scene<'_> {
    fn is_there(&self) -> bool {
        self.missing == Missing::No
    }

    fn find(&self, path: &str) -> Option<Entry<'_>> {
        self.frame.record.filter(|_| self.is_there())?.find(path)
    }

    fn quality(&self, of: Quality) -> &'static str {
        self.missing.quality().unwrap_or_else(|| quality(of))
    }

    fn all(&self, each: impl Fn(&Entry<'_>) -> Option<Given>) -> Option<Given> {
        let entries = self.frame.record?.iter();
        let pairs = entries.filter_map(|entry| Some((entry.info.name.to_string(), each(&entry)?)));
        Some(Given::from(pairs.collect::<BTreeMap<String, Given>>()))
    }
}

impl Values for Scene<'_> {
    fn bytes<'a>(&'a self, name: &str, scratch: &'a mut String) -> Option<&'a [u8]> {
        match name {
            "port" => return Some(self.frame.of.port.as_bytes()),
            "seq" => {
                let _ = write!(scratch, "{}", self.frame.seq);
            }
            "time" => scratch.push_str(&timestamp(self.frame.time)),
            "kind" if self.frame.record.is_some() => return Some(self.frame.record?.kind().as_bytes()),
            "field" if self.one.is_some() => return Some(self.one?.0.as_bytes()),
            "value" if self.one.is_some() => self
                .one?
                .1
                .good()
                .filter(|_| self.is_there())
                .map(|_| ())
                .and_then(|()| {
                    self.one?.1.write(scratch);
                    Some(())
                })?,
            "unit" if self.one.is_some() => return Some(self.one?.1.unit().as_bytes()),
            "quality" if self.one.is_some() => return Some(self.quality(self.one?.1.quality).as_bytes()),
            "title" if self.one.is_some() => {
                return Some(self.one?.1.info.title.as_deref().unwrap_or_default().as_bytes());
            }
            _ => {
                if let Some((_, group)) = self.groups.iter().find(|(known, _)| **known == *name) {
                    return Some(group);
                }
                match name.split_once('.') {
                    Some(("fields", field)) => self.find(field)?.good().and_then(|_| {
                        self.find(field)?.write(scratch);
                        Some(())
                    })?,
                    Some(("units", field)) => scratch.push_str(self.find(field)?.unit()),
                    Some(("qualities", field)) => {
                        scratch.push_str(self.quality(self.frame.record?.find(field)?.quality));
                    }
                    _ => match (self.find(name), &self.frame.of.device) {
                        // A field of this name goes first.
                        (None, Some((device, _))) if name == "device" => return Some(device.as_bytes()),
                        (None, Some((_, address))) if name == "address" => return Some(address.as_bytes()),
                        (entry, _) => {
                            let entry = entry?;
                            entry.good()?;
                            entry.write(scratch);
                        }
                    },
                }
            }
        }
        Some(scratch.as_bytes())
    }

    fn value(&self, name: &str) -> Option<Given> {
        match name {
            "seq" => Some(Given::from(self.frame.seq)),
            "value" if self.one.is_some() => {
                let value = self.one?.1.good().filter(|_| self.is_there())?;
                Some(given(value))
            }
            "fields" => self.all(|entry| entry.good().filter(|_| self.is_there()).map(given)),
            "units" => self.all(|entry| Some(Given::from(entry.unit()))),
            "qualities" => self.all(|entry| Some(Given::from(self.quality(entry.quality)))),
            _ => {
                if !words().any(|word| word == name)
                    && !self.groups.iter().any(|(known, _)| **known == *name)
                    && (self.find(name).is_some() || !DEVICE.contains(&name))
                {
                    return self.find(name)?.good().map(given);
                }
                let mut scratch = String::new();
                let bytes = self.bytes(name, &mut scratch)?;
                Some(Given::from(String::from_utf8_lossy(bytes)))
            }
        }
    }
}

/// A value as formulas have it.
fn given(value: &Value) -> Given {
    match value {
        Value::Absent => Given::from(()),
        Value::Bool(yes) => Given::from(*yes),
        Value::Int(n) => Given::from(*n),
        Value::Uint(n) => Given::from(*n),
        Value::Fixed(fixed) => Given::from(fixed.float()),
        Value::Float(x) => Given::from(*x),
        Value::Text(text) => Given::from(&**text),
        Value::Bytes(_) | Value::Time(_) => {
            let mut text = String::new();
            value.write(None, &mut text);
            Given::from(text)
        }
        Value::List(values) => Given::from(values.iter().map(given).collect::<Vec<_>>()),
        Value::Record(record) => {
            let good = record
                .iter()
                .filter_map(|entry| Some((entry.info.name.to_string(), given(entry.good()?))));
            Given::from(good.collect::<BTreeMap<String, Given>>())
        }
    }
}
