//! Examples that are tests: frames with the values that they must give.

use super::config::{Example, Expected, Gives, Wanted};
use super::{Outcome, Profile, Reader};
use crate::field::record::{Entry, Record, Value};
use crate::frame::{Damage, Item};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// What came of bytes from a line.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    /// What the good frames mean, in their order, with their data.
    pub frames: Vec<(Vec<u8>, usize, Outcome)>,
    /// What was no frame.
    pub damaged: Vec<(Damage, Vec<u8>)>,
    /// How many bytes were still waited for when nothing more came.
    pub waiting: bool,
}

/// Why an example failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The field, if it is about one.
    pub field: Option<String>,
    /// What was expected and what came.
    pub what: String,
}

impl Profile {
    /// Sends bytes through framing, checks and fields, as if they had come from a line that then falls silent.
    pub fn try_bytes(&self, wire: &[u8], request: Option<&[u8]>) -> Tried {
        let mut tried = Tried::default();
        let mut reader = Reader::new(self.clone());
        let mut decoder = self.framing().decoder();
        let mut now = Instant::now();
        decoder.extend(wire, now);
        for silence in [false, true] {
            if silence {
                // Every method waits less than that.
                while let Some(deadline) = decoder.deadline() {
                    now = deadline + Duration::from_millis(1);
                    decoder.expire(now);
                    take(&mut decoder, &mut reader, request, &mut tried);
                }
                tried.waiting = decoder.reset() > 0;
            } else {
                take(&mut decoder, &mut reader, request, &mut tried);
            }
        }
        tried
    }

    /// Tries an example. Gives what is wrong with it.
    pub fn try_example(&self, example: &Example) -> Result<(), Vec<Failure>> {
        let whole = |what: String| vec![Failure { field: None, what }];
        let wire = wire(example).map_err(whole)?;
        let keyed = example.keys.as_ref().and_then(|keys| self.keyed(keys));
        let profile = keyed.as_ref().unwrap_or(self);
        if let Some(name) = &example.command {
            return profile.try_command(name, example, &wire).map_err(whole);
        }
        if !example.with.is_empty() {
            return Err(whole(
                "`with` has the parameters of a `command`, and there is none".into(),
            ));
        }
        let request = match &example.request {
            Some(text) => Some(super::example::bytes(text).map_err(whole)?),
            None => None,
        };
        let tried = profile.try_bytes(&wire, request.as_deref());
        tried.compare(example.gives, &example.values, example.tolerance.unwrap_or(1e-6))
    }
}

impl Profile {
    /// Builds a command as it is sent. Gives how that differs from what an example says.
    fn try_command(&self, name: &str, example: &Example, wire: &[u8]) -> Result<(), String> {
        if example.request.is_some() || example.gives != Gives::Values || !example.values.0.is_empty() {
            return Err("an example of a command has no `request`, `gives` or `values`".into());
        }
        let command = self.command(name);
        let command = command.ok_or_else(|| format!("there is no command `{name}`"))?;
        let with = example.with.iter();
        let with = with.map(|(name, value)| (name.clone(), value.clone())).collect();
        let sent = command.with(with, None);
        let sent = sent.map_err(|error| format!("`{name}` can't be sent: {error}"))?;
        match sent == wire {
            true => Ok(()),
            false => {
                let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
                Err(format!(
                    "expected {}, but `{name}` is sent as {}",
                    hex(wire),
                    hex(&sent)
                ))
            }
        }
    }
}

/// The bytes of an example as they stand on the line.
pub(super) fn wire(example: &Example) -> Result<Vec<u8>, String> {
    match &example.text {
        Some(text) if example.wire.is_empty() => Ok(text.as_bytes().to_vec()),
        Some(_) => Err("an example has `wire` or `text`, not both".into()),
        None => bytes(&example.wire),
    }
}

/// Hexadecimal digits as bytes; blanks are ignored.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(&digits);
    decoded.map_err(|_| "the bytes are not hexadecimal digits in pairs".into())
}

fn take(decoder: &mut crate::frame::Decoder, reader: &mut Reader, request: Option<&[u8]>, tried: &mut Tried) {
    let guard = reader.profile().guard().clone();
    while let Some((branch, item)) = decoder.next_of(&guard) {
        match item {
            Item::Frame(data) => {
                let outcome = reader.read(branch, data, request);
                tried.frames.push((data.to_vec(), branch, outcome));
            }
            Item::Damaged { why, bytes } => tried.damaged.push((why, bytes.to_vec())),
        }
    }
}

impl Tried {
    /// The records that would be published.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.frames.iter().filter_map(|(_, _, outcome)| match outcome {
            Outcome::Values(record) => Some(record),
            _ => None,
        })
    }

    /// Whether this came, with these values in one of the records or over all of them.
    pub fn compare(&self, gives: Gives, values: &Expected, tolerance: f64) -> Result<(), Vec<Failure>> {
        let fitting: Vec<&Record> = self
            .frames
            .iter()
            .filter_map(|(_, _, outcome)| match (gives, outcome) {
                (Gives::Values, Outcome::Values(record))
                | (Gives::Error, Outcome::Error(record))
                | (Gives::Ack, Outcome::Ack(record))
                | (Gives::NoData, Outcome::NoData(record)) => Some(record),
                _ => None,
            })
            .collect();
        let published = self.records().count();
        let fits = match gives {
            Gives::Values => published > 0,
            Gives::Error | Gives::Ack | Gives::NoData => !fitting.is_empty() && published == 0,
            Gives::Refused => published == 0,
            Gives::Ignore => {
                let quiet = |outcome: &Outcome| {
                    matches!(
                        outcome,
                        Outcome::Ignored(_) | Outcome::Unknown | Outcome::Gathered
                    )
                };
                self.damaged.is_empty() && self.frames.iter().all(|(_, _, outcome)| quiet(outcome))
            }
            Gives::Incomplete => published == 0,
        };
        if !fits {
            let what = format!("expected {}, got {}", gives.words(), self.words());
            return Err(vec![Failure { field: None, what }]);
        }
        let failures: Vec<Failure> = values
            .0
            .iter()
            .filter_map(|(name, wanted)| {
                let entry = fitting.iter().rev().find_map(|record| record.find(name));
                let why = match entry {
                    Some(entry) => wanted.differs(entry, tolerance)?,
                    None => "expected a value, got none".to_owned(),
                };
                Some(Failure {
                    field: Some(name.clone()),
                    what: why,
                })
            })
            .collect();
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }

    /// In words, what came.
    pub fn words(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for (_, _, outcome) in &self.frames {
            words.push(match outcome {
                Outcome::Values(record) => format!("values of a `{}`", record.kind()),
                Outcome::Error(record) => format!("an error of the device (`{}`)", record.kind()),
                Outcome::Ack(_) => "an acknowledgement".into(),
                Outcome::NoData(_) => "no data".into(),
                Outcome::Ignored(kind) => format!("a `{kind}`, to be ignored"),
                Outcome::Gathered => "a part of a record".into(),
                Outcome::Unknown => "a frame of no known kind".into(),
                Outcome::Refused(fault) => format!("a refused frame ({fault})"),
            });
        }
        for (why, bytes) in &self.damaged {
            words.push(format!("{} bytes damaged ({why})", bytes.len()));
        }
        if words.is_empty() {
            words.push("nothing".into());
        }
        words.join(", ")
    }
}

impl Gives {
    fn words(self) -> &'static str {
        match self {
            Gives::Values => "values",
            Gives::Refused => "a refusal",
            Gives::Error => "an error of the device",
            Gives::Ack => "an acknowledgement",
            Gives::NoData => "no data",
            Gives::Ignore => "a frame with nothing to publish",
            Gives::Incomplete => "nothing yet",
        }
    }
}

impl Wanted {
    /// In words, how the value differs; None: it does not.
    pub(super) fn differs(&self, entry: Entry<'_>, tolerance: f64) -> Option<String> {
        if self.same(entry.value, tolerance) {
            return None;
        }
        let mut found = String::new();
        match entry.value {
            Value::Absent => found.push_str("no value"),
            _ => entry.write(&mut found),
        }
        let mut wanted = String::new();
        self.write(&mut wanted);
        Some(format!("expected {wanted}, got {found}"))
    }

    fn same(&self, value: &Value, tolerance: f64) -> bool {
        match (self, value) {
            (Wanted::Text(text), Value::Absent) => text.is_empty() || text == "absent",
            (Wanted::Bool(wanted), Value::Bool(found)) => wanted == found,
            (Wanted::Number(wanted), Value::Bool(found)) => *wanted == f64::from(u8::from(*found)),
            (Wanted::Number(wanted), value) => value
                .number()
                .is_some_and(|found| (found - wanted).abs() <= tolerance + wanted.abs() * 1e-12),
            (Wanted::Text(wanted), value @ (Value::Text(_) | Value::Bytes(_) | Value::Time(_))) => {
                let mut found = String::new();
                value.write(None, &mut found);
                found == *wanted
                    || match value {
                        Value::Bytes(_) => found.eq_ignore_ascii_case(wanted),
                        // A time may be given without its seconds, where these are nought.
                        Value::Time(_) => found.strip_suffix(":00") == Some(wanted),
                        _ => false,
                    }
            }
            (Wanted::List(wanted), Value::List(found)) => {
                wanted.len() == found.len()
                    && wanted
                        .iter()
                        .zip(found)
                        .all(|(wanted, found)| wanted.same(found, tolerance))
            }
            (Wanted::Table(wanted), Value::Record(record)) => wanted.iter().all(|(name, wanted)| {
                record
                    .find(name)
                    .is_some_and(|entry| wanted.same(entry.value, tolerance))
            }),
            _ => false,
        }
    }

    fn write(&self, out: &mut String) {
        let _ = match self {
            Wanted::Number(x) => write!(out, "{x}"),
            Wanted::Text(text) => write!(out, "{text:?}"),
            Wanted::Bool(yes) => write!(out, "{yes}"),
            Wanted::List(all) => {
                out.push('[');
                for (n, one) in all.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    one.write(out);
                }
                out.push(']');
                Ok(())
            }
            Wanted::Table(all) => {
                out.push('{');
                for (n, (name, one)) in all.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    let _ = write!(out, "{name} = ");
                    one.write(out);
                }
                out.push('}');
                Ok(())
            }
        };
    }
}
