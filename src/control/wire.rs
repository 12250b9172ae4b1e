//! What the lines on the control socket mean; a file of such lines is a recording.
//!
//! Each line is one JSON object in UTF-8, ended by `\n`. A client sends one line, its [`Request`] (`{}`
//! asks for everything), and then only reads. It gets, told apart by their keys:
//!
//! ```json
//! {"hello":{"version":"0.1.0","format":1,"ports":["air","scale"]}}
//! {"time":"2026-03-01T12:00:00.000250Z","port":"air","direction":"up","verdict":"published","bytes":"543d"}
//! {"time":"2026-03-01T12:00:01.000000Z","port":"air","direction":"up","verdict":"damaged","why":"check","bytes":"54"}
//! {"time":"2026-03-01T12:00:02.000000Z","port":"air","direction":"up","verdict":"state","why":"open","bytes":""}
//! {"missed":12}
//! {"bye":"the gateway stops"}
//! {"reloaded":"port air changed; 1 port untouched"}
//! {"error":"no port is called \"aire\": there are air, scale"}
//! ```
//!
//! - `hello` comes first, once. `format` is [`FORMAT`]; it is raised when an old reader would misread a line.
//! - The line with `time` is what passed: `time` is that of the last byte (RFC 3339, UTC, microseconds);
//!   `direction` is `up` (device to MQTT) or `down`; `verdict` is `published`, `sent`, `skipped`, `damaged`,
//!   `refused` or `state`, and `why` stands beside the last three; `bytes` are the frame's, in lower-case
//!   hex. A `state` line has no bytes, and its `why` is the port's new state:
//!   `open`, `waiting`, `busy`, `failing` or `closed`.
//! - `missed`: so many events, of all ports and kinds, passed while this client did not read.
//! - `reloaded` answers the request `{"reload":true}`, for which the configuration is read again; instead of `hello`
//!   and all else. An `error` says why it stays as it was.
//! - `bye`, `reloaded` or `error` is the last line; the connection is closed after it.
//!
//! A reader ignores keys and lines that it doesn't know. Keys and their meaning stay; new ones may come.

use super::{Direction, Event};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::time::SystemTime;

/// The version of the lines' meaning, in `hello`.
pub const FORMAT: u32 = 1;

/// What a client asks for. All parts that are given must hold.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Request {
    /// Only these ports; none named: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Only this way. States pass: they say why nothing comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Only what went wrong (`damaged`, `refused`). States pass.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bad: bool,
    /// Nothing of that, but the configuration is to be read again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reload: bool,
}

/// One line that the server sends.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the module says what each line means")]
pub enum Line<'a> {
    Event(Record<'a>),
    Hello { hello: Hello },
    Missed { missed: u64 },
    Reloaded { reloaded: String },
    Error { error: String },
    Bye { bye: String },
}

/// The greeting.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// mqttyd's version.
    pub version: String,
    /// [`FORMAT`] of the lines that follow.
    pub format: u32,
    /// The configured ports, in their order in the file.
    pub ports: Vec<String>,
}

/// An [`Event`] as it is written and read.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When its last byte was read or written.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub time: SystemTime,
    /// The port's name.
    pub port: Cow<'a, str>,
    /// Which way it went.
    pub direction: Direction,
    /// `Verdict::name`.
    pub verdict: Cow<'a, str>,
    /// `Verdict::why`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<Cow<'a, str>>,
    /// The frame.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    pub bytes: Cow<'a, [u8]>,
}

impl Request {
    /// Whether a client with this request wants the event.
    pub(super) fn wants(&self, event: &Event) -> bool {
        if !self.ports.is_empty() && !self.ports.iter().any(|name| **name == *event.port) {
            return false;
        }
        match event.verdict.name() {
            "state" => true,
            verdict => {
                self.direction.is_none_or(|way| way == event.direction)
                    && (!self.bad || matches!(verdict, "damaged" | "refused"))
            }
        }
    }
}

impl Line<'_> {
    /// Reads a line; `None` is one of a kind that this version doesn't know.
    pub fn parse(text: &str) -> Option<Line<'static>> {
        serde_json::from_str(text).ok()
    }

    /// Appends the line with its end.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, self).expect("a line has no part that JSON cannot hold");
        out.push(b'\n');
    }
}

impl<'a> From<&'a Event> for Record<'a> {
    fn from(event: &'a Event) -> Record<'a> {
        Record {
            time: event.time,
            port: Cow::Borrowed(&event.port),
            direction: event.direction,
            verdict: Cow::Borrowed(event.verdict.name()),
            why: event.verdict.why().map(Cow::Borrowed),
            bytes: Cow::Borrowed(&event.bytes),
        }
    }
}

impl Serialize for Direction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Direction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match &*Cow::<str>::deserialize(deserializer)? {
            "up" => Ok(Direction::Up),
            "down" => Ok(Direction::Down),
            other => Err(de::Error::invalid_value(
                de::Unexpected::Str(other),
                &"\"up\" or \"down\"",
            )),
        }
    }
}

fn write_time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    // humantime panics before 1970 and fails after 9999; a clock may be set to anything.
    let last = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799);
    let time = (*time).clamp(SystemTime::UNIX_EPOCH, last);
    serializer.collect_str(&humantime::format_rfc3339_micros(time))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    humantime::parse_rfc3339(&Cow::<str>::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn write_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&HEXLOWER_PERMISSIVE.encode_display(bytes))
}

fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'static, [u8]>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map(Cow::Owned)
        .map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::time::Duration;

    fn event(direction: Direction, verdict: Verdict) -> Event {
        Event {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_772_366_400_000_250),
            port: "air".into(),
            direction,
            bytes: Bytes::from_static(b"T="),
            verdict,
        }
    }

    fn written(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        line.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_lines_are_those_of_the_documentation() {
        let good = event(Direction::Up, Verdict::Published);
        let text = written(&Line::Event(Record::from(&good)));
        assert_eq!(
            text,
            "{\"time\":\"2026-03-01T12:00:00.000250Z\",\"port\":\"air\",\"direction\":\"up\",\
             \"verdict\":\"published\",\"bytes\":\"543d\"}\n"
        );
        let bad = event(Direction::Down, Verdict::Refused("a \"full\" queue\n".into()));
        let text = written(&Line::Event(Record::from(&bad)));
        assert_eq!(text.matches('\n').count(), 1);
        assert_eq!(Line::parse(&text), Some(Line::Event(Record::from(&bad))));
        let doc = include_str!("wire.rs");
        let examples: Vec<_> = doc
            .lines()
            .filter_map(|line| line.strip_prefix("//! {"))
            .collect();
        assert_eq!(examples.len(), 8);
        for text in examples {
            let text = format!("{{{text}\n");
            assert_eq!(written(&Line::parse(&text).unwrap()), text);
        }
    }

    #[test]
    fn a_reader_ignores_what_it_does_not_know() {
        assert_eq!(Line::parse("{\"news\":1}"), None);
        assert_eq!(
            Line::parse("{\"missed\":3,\"since\":\"noon\"}"),
            Some(Line::Missed { missed: 3 })
        );
    }

    #[test]
    fn a_clock_before_1970_is_written_as_1970() {
        let mut early = event(Direction::Up, Verdict::Published);
        early.time = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert!(written(&Line::Event(Record::from(&early))).contains("1970-01-01T00:00:00.000000Z"));
    }

    #[test]
    fn filters_are_joined_and_states_pass() {
        let request = |text: &str| serde_json::from_str::<Request>(text).unwrap();
        let up = event(Direction::Up, Verdict::Published);
        let damaged = event(Direction::Up, Verdict::Damaged("check"));
        let down = event(Direction::Down, Verdict::Sent);
        let state = event(Direction::Up, Verdict::State("open".into()));
        let wanted = |text: &str| [&up, &damaged, &down, &state].map(|event| request(text).wants(event));
        assert_eq!(wanted("{}"), [true, true, true, true]);
        assert_eq!(wanted(r#"{"ports":["scale"]}"#), [false, false, false, false]);
        assert_eq!(wanted(r#"{"ports":["scale","air"]}"#), [true, true, true, true]);
        assert_eq!(wanted(r#"{"direction":"down"}"#), [false, false, true, true]);
        assert_eq!(wanted(r#"{"bad":true}"#), [false, true, false, true]);
        assert_eq!(
            wanted(r#"{"bad":true,"direction":"down"}"#),
            [false, false, false, true]
        );
        assert!(serde_json::from_str::<Request>(r#"{"prots":[]}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"direction":"left"}"#).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(micros in 0u64..200_000_000_000_000_000, port: String, why: Option<String>, bytes: Vec<u8>) {
            let record = Record {
                time: SystemTime::UNIX_EPOCH + Duration::from_micros(micros),
                port: port.into(),
                direction: Direction::Down,
                verdict: "refused".into(),
                why: why.map(Cow::Owned),
                bytes: bytes.into(),
            };
            let line = Line::Event(record);
            prop_assert_eq!(Line::parse(&written(&line)), Some(line));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = Line::parse(&text);
            let _ = serde_json::from_str::<Request>(&text);
        }
    }
}
